using Accel.Cli.Processes;
using Accel.Cli.Reports;

namespace Accel.Cli.Bench;

/// <summary>
/// Kernel and accelerated runs by turns, each with fresh processes, so that both see the same phases of the machine.
/// </summary>
public static class Interleaved
{
    public static Result Measure(BenchCase c, Surroundings at, int runs, double? ringMicros,
        Action<int>? progress = null)
    {
        Dictionary<Side, List<Sample>> samples = Run(c, at, runs, out string? error, progress);
        return new(c, ringMicros, Median(samples[Side.Kernel]), Median(samples[Side.Accel]), error);
    }

    /// <summary>All runs of both sides; what went wrong ends them.</summary>
    public static Dictionary<Side, List<Sample>> Run(BenchCase c, Surroundings at, int runs, out string? error,
        Action<int>? progress = null)
    {
        var samples = new Dictionary<Side, List<Sample>> { [Side.Kernel] = [], [Side.Accel] = [] };
        error = null;
        for (int i = 0; i < runs && error is null; i++)
        {
            progress?.Invoke(i);
            foreach (Side side in (Side[])[Side.Kernel, Side.Accel])
            {
                try
                {
                    samples[side].Add(at.Run(side, c));
                }
                catch (MeasurementException e)
                {
                    error ??= e.Message; // the other side's figures are still worth having
                }
            }
        }
        return samples;
    }

    private static Sample? Median(List<Sample> samples) => samples.Count == 0 ? null
        : new(Statistics.Median(samples.Select(s => s.Value)), Statistics.Median(samples.Select(s => s.ServerMicros)),
            Statistics.Median(samples.Select(s => s.ClientMicros)));
}
