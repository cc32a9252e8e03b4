using System.Globalization;
using Accel.Cli.Processes;

namespace Accel.Cli.Reports;

/// <summary>CPU time of an operation, the kernel's being 100 %, with the figures beside the bars.</summary>
internal static class CpuPlot
{
    private const double Width = 980, Row = 40, Label = 270, Most = 430, Bar = 13;

    public static string Of(IEnumerable<CaseFinding> cases)
    {
        CaseFinding[] shown = [.. cases.Where(c => c.IsWhole && c.Cpu(Side.Kernel).Median > 0)];
        var svg = new Svg(Width, shown.Length * Row + 26, "CPU time of an operation");
        // A case that costs more than the kernel is shown as such, up to twice as much.
        const double Full = 2;
        svg.Line(Label + Most / Full, 18, Label + Most / Full, shown.Length * Row + 22, "grid strong");
        svg.Text(Label + Most / Full, 12, "kernel = 100 %", "middle", "tick");
        for (int i = 0; i < shown.Length; i++)
        {
            double top = 24 + i * Row;
            Estimate kernel = shown[i].Cpu(Side.Kernel), accel = shown[i].Cpu(Side.Accel);
            double part = accel.Median / kernel.Median;
            svg.Text(Label - 10, top + 18, $"{shown[i].Path} {shown[i].Case.Name}", "end", "label");
            svg.Bar(Label, top, Most / Full, Bar, "kernel", Text(kernel));
            svg.Bar(Label, top + Bar + 2, Math.Min(part, Full) * Most / Full, Bar, "accel", Text(accel));
            svg.Text(Label + Most / Full + 8, top + 11, Text(kernel), "start", "tick");
            svg.Text(Label + Math.Max(1, Math.Min(part, Full)) * Most / Full + 8, top + Bar + 13,
                string.Create(CultureInfo.InvariantCulture, $"{Text(accel)} ({part * 100:0} %)"), "start", "tick");
        }
        return svg.ToString();
    }

    private static string Text(Estimate e) => string.Create(CultureInfo.InvariantCulture,
        $"{Short(e.Median)} us [{Short(e.Low)}, {Short(e.High)}]");

    private static string Short(double value) =>
        value.ToString(value >= 10 ? "0.#" : "0.##", CultureInfo.InvariantCulture);
}
