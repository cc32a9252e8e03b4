namespace Accel.Cli.Reports;

/// <summary>
/// Latencies as the open-loop load counts them: merged by adding counts, never by averaging percentiles.
/// </summary>
public sealed class Histogram
{
    private readonly SortedDictionary<double, long> _counts = [];

    public long Count { get; private set; }

    public void Add(double micros, long count)
    {
        _counts[micros] = _counts.GetValueOrDefault(micros) + count;
        Count += count;
    }

    public void Add(Histogram other)
    {
        foreach ((double micros, long count) in other._counts) Add(micros, count);
    }

    /// <summary>The latency that the fraction of all requests stayed within.</summary>
    public double At(double quantile)
    {
        long wanted = Math.Max(1, (long)Math.Ceiling(quantile * Count)), seen = 0;
        foreach ((double micros, long count) in _counts)
        {
            seen += count;
            if (seen >= wanted) return micros;
        }
        return double.NaN;
    }
}
