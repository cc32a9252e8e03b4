using Accel.Cli.Processes;

namespace Accel.Cli.Reports;

/// <summary>Throughput of one connection by the size of its writes, with the intervals of the medians.</summary>
internal static class SizePlot
{
    private const double Width = 640, Height = 320, Left = 70, Right = 16, Top = 16, Bottom = 44;

    public static string Of(IReadOnlyList<(int Bytes, CaseFinding Finding)> sizes)
    {
        (int Bytes, CaseFinding Finding)[] whole = [.. sizes.Where(s => s.Finding.IsWhole)];
        var svg = new Svg(Width, Height, "Throughput by message size");
        if (whole.Length < 2) return svg.ToString();
        Side[] sides = [Side.Kernel, Side.Accel];
        LogScale y = LogScale.Decades(whole.SelectMany(s => sides.Select(side => s.Finding.Value(side).Median * 1e9)),
            Height - Bottom, Top);
        var x = new LogScale(whole[0].Bytes, whole[^1].Bytes, Left, Width - Right);
        foreach (double tick in y.Ticks())
        {
            svg.Line(Left, y.At(tick), Width - Right, y.At(tick), "grid");
            svg.Text(Left - 8, y.At(tick) + 4, $"{LogScale.Short(tick)}B/s", "end", "tick");
        }
        foreach ((int bytes, _) in whole)
        {
            svg.Line(x.At(bytes), Top, x.At(bytes), Height - Bottom, "grid");
            svg.Text(x.At(bytes), Height - Bottom + 16, bytes < 1024 ? $"{bytes} B" : $"{bytes / 1024} KiB",
                bytes == whole[^1].Bytes ? "end" : "middle", "tick");
        }
        svg.Text((Left + Width) / 2, Height - 6, "size of a write", "middle", "tick");
        foreach (Side side in sides)
        {
            string name = side == Side.Kernel ? "kernel" : "accel";
            svg.Path(whole.Select(s => (x.At(s.Bytes), y.At(s.Finding.Value(side).Median * 1e9))), $"curve {name}");
            foreach ((int bytes, CaseFinding finding) in whole)
            {
                Estimate e = finding.Value(side);
                svg.Line(x.At(bytes), y.At(e.Low * 1e9), x.At(bytes), y.At(e.High * 1e9), $"whisker {name}");
                svg.Dot(x.At(bytes), y.At(e.Median * 1e9), name, $"{name}: {LogScale.Short(e.Median * 1e9)}B/s");
            }
        }
        return svg.ToString();
    }
}
