using Accel.Cli.Processes;

namespace Accel.Cli.Bench;

/// <summary>
/// Kernel and accelerated runs by turns, each with fresh processes, so that both see the same phases of the machine.
/// </summary>
public static class Interleaved
{
    public static Result Measure(BenchCase c, Surroundings at, int runs, double? ringMicros,
        Action<int>? progress = null)
    {
        var samples = new Dictionary<Side, List<Sample>> { [Side.Kernel] = [], [Side.Accel] = [] };
        string? error = null;
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
        return new(c, ringMicros, Median(samples[Side.Kernel]), Median(samples[Side.Accel]), error);
    }

    private static Sample? Median(List<Sample> samples)
        => samples.Count == 0 ? null : new(Median(samples, s => s.Value), Median(samples, s => s.ServerMicros),
            Median(samples, s => s.ClientMicros));

    private static double Median(List<Sample> samples, Func<Sample, double> figure)
    {
        double[] sorted = [.. samples.Select(figure).Order()];
        int middle = sorted.Length / 2;
        return sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}
