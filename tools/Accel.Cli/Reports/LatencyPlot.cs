using System.Globalization;
using Accel.Cli.Processes;

namespace Accel.Cli.Reports;

/// <summary>
/// Latency by percentile, both axes logarithmic: a panel for each offered load, the kernel and the accelerated side
/// in it.
/// </summary>
internal static class LatencyPlot
{
    private const double Width = 1290, Widest = 330, Height = 288, Left = 58, Top = 42, Bottom = 46, Gap = 14;

    /// <summary>Percentiles lie at the logarithm of what is beyond them: 90 % at 1, 99 % at 2.</summary>
    private static readonly double[] Marks = [0.5, 0.9, 0.99, 0.999, 0.9999];

    public static string Of(LatencyFinding finding)
    {
        var panels = finding.Loads.Where(l => l.Value.Values.All(r => r.Count > 0)).ToArray();
        double panel = Math.Min(Widest, (Width - Left) / Math.Max(1, panels.Length) - Gap);
        var svg = new Svg(Left + panels.Length * (panel + Gap), Height, $"Latency by percentile: {finding.Title}");
        IEnumerable<double> all = panels.SelectMany(p => p.Value.Values)
            .SelectMany(runs => Curve(LatencyFinding.Merged(runs)).Select(c => c.Micros));
        LogScale y = LogScale.Decades(all, Height - Bottom, Top);
        foreach (double tick in y.Ticks()) svg.Text(Left - 8, y.At(tick) + 4, LogScale.Time(tick), "end", "tick");
        for (int i = 0; i < panels.Length; i++)
            Draw(svg, Left + i * (panel + Gap), panel, y, finding, panels[i].Key, panels[i].Value);
        return svg.ToString();
    }

    private static void Draw(Svg svg, double left, double width, LogScale y, LatencyFinding finding, double offered,
        Dictionary<Side, List<LoadRun>> sides)
    {
        double X(double quantile) => left + Math.Min(4, -Math.Log10(1 - quantile)) / 4 * width;
        string part = (offered / finding.KernelMost).ToString("0 %", CultureInfo.InvariantCulture);
        svg.Text(left, 16, $"{LogScale.Short(offered)}/s", "start", "head");
        svg.Text(left, 31, $"{part} of the kernel's most", "start", "tick");
        foreach (double tick in y.Ticks()) svg.Line(left, y.At(tick), left + width, y.At(tick), "grid");
        foreach (double mark in Marks)
        {
            svg.Line(X(mark), Top, X(mark), Height - Bottom, "grid");
            svg.Text(X(mark), Height - Bottom + 15, (mark * 100).ToString("0.##", CultureInfo.InvariantCulture),
                mark > 0.9995 ? "end" : "middle", "tick");
        }
        svg.Text(left + width / 2, Height - 6, "percent of requests answered within", "middle", "tick");
        foreach ((Side side, List<LoadRun> runs) in sides)
        {
            string name = side == Side.Kernel ? "kernel" : "accel";
            bool met = LatencyFinding.IsMet(runs, offered);
            Histogram all = LatencyFinding.Merged(runs);
            svg.Path(Curve(all).Select(c => (X(c.Quantile), y.At(c.Micros))), $"curve {name}{(met ? "" : " unmet")}");
            foreach (double mark in (double[])[0.5, 0.99])
                svg.Dot(X(mark), y.At(all.At(mark)), $"{name}{(met ? "" : " unmet")}", string.Create(
                    CultureInfo.InvariantCulture, $"{name} p{mark * 100:0.##}: {LogScale.Time(all.At(mark))}"));
        }
    }

    /// <summary>From the fastest tenth on, as far as there are ten requests beyond.</summary>
    private static IEnumerable<(double Quantile, double Micros)> Curve(Histogram all)
    {
        const int Steps = 80;
        for (int i = 0; i <= Steps; i++)
        {
            double quantile = 1 - Math.Pow(10, -4.0 * i / Steps);
            if (quantile < 0.1) continue;
            if ((1 - quantile) * all.Count < 10) yield break;
            yield return (quantile, all.At(quantile));
        }
    }
}
