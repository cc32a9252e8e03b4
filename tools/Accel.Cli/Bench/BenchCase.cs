using Accel.Cli.Processes;

namespace Accel.Cli.Bench;

/// <summary>
/// One case: its name and unit, whether less is better, the settings of its accelerated side, and how one run goes.
/// </summary>
public sealed record BenchCase(
    string Name, string Unit, bool LessIsBetter, Dictionary<string, string> Environment, string[] Programs,
    Func<Side, BenchCase, Surroundings, Sample> Measure)
{
    /// <summary>Above 1: the accelerated side is better.</summary>
    public double Ratio(double kernel, double accel) => LessIsBetter ? kernel / accel : accel / kernel;
}
