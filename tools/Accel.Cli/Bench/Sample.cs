namespace Accel.Cli.Bench;

/// <summary>What one run gave: the case's figure, and the CPU time of both ends together for one operation.</summary>
public readonly record struct Sample(double Value, double CpuMicros);
