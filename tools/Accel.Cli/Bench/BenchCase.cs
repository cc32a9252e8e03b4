using Accel.Cli.Processes;

namespace Accel.Cli.Bench;

/// <summary>
/// One case: its name and unit, whether less is better, the settings of its accelerated side, and how one run goes.
/// </summary>
public sealed record BenchCase(
    string Name, string Unit, bool LessIsBetter, Dictionary<string, string> Environment, string[] Programs,
    Func<Stage, BenchCase, Surroundings, Sample> Measure)
{
    public Ends Accelerated { get; init; } = Ends.Both;

    /// <summary>
    /// What the second column measures instead of an accelerated program: the least that the machine asks for.
    /// </summary>
    public Func<Stage, Surroundings, Sample>? Bare { get; init; }

    /// <summary>Segmentation and checksums are left to the devices, as machines come.</summary>
    public bool Offloads { get; init; } = true;

    /// <summary>The ratio that is wanted at least.</summary>
    public double? Target { get; init; }

    /// <summary>Above 1: the accelerated side is better.</summary>
    public double Ratio(double kernel, double accel) => LessIsBetter ? kernel / accel : accel / kernel;

    /// <summary>CPU time for one operation, of the ends that the case accelerates.</summary>
    public double CpuMicros(Sample sample) =>
        (Accelerated.HasFlag(Ends.Server) ? sample.ServerMicros : 0)
        + (Accelerated.HasFlag(Ends.Client) ? sample.ClientMicros : 0);
}
