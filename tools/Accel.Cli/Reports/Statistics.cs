namespace Accel.Cli.Reports;

/// <summary>A median with its 95 % interval.</summary>
public readonly record struct Estimate(double Median, double Low, double High);

/// <summary>
/// Medians of runs. The intervals are bootstrap percentiles: the runs are drawn again, with replacement, 2000 times,
/// from one seed, so that a report can be reproduced from its figures.
/// </summary>
public static class Statistics
{
    private const int Draws = 2000, Seed = 1;

    public static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        int middle = sorted.Length / 2;
        return sorted.Length == 0 ? double.NaN
            : sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }

    public static Estimate Of(IReadOnlyList<double> values) =>
        Interval(Median(values), random => Median(Drawn(values, random)));

    /// <summary>The ratio of two medians, each side drawn for itself.</summary>
    public static Estimate Ratio(IReadOnlyList<double> above, IReadOnlyList<double> below) =>
        Interval(Median(above) / Median(below), random => Median(Drawn(above, random)) / Median(Drawn(below, random)));

    private static Estimate Interval(double median, Func<Random, double> draw)
    {
        var random = new Random(Seed);
        double[] draws = [.. Enumerable.Range(0, Draws).Select(_ => draw(random)).Order()];
        return new(median, draws[(int)(Draws * 0.025)], draws[(int)(Draws * 0.975)]);
    }

    private static IEnumerable<double> Drawn(IReadOnlyList<double> values, Random random) =>
        values.Select(_ => values[random.Next(values.Count)]);
}
