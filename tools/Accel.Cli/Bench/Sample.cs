namespace Accel.Cli.Bench;

/// <summary>What one run gave: the case's figure, and the CPU time of each end for one operation.</summary>
public readonly record struct Sample(double Value, double ServerMicros, double ClientMicros)
{
    public static Sample Of(double value, double operations, double serverMicros, double clientMicros)
        => new(value, serverMicros / operations, clientMicros / operations);
}
