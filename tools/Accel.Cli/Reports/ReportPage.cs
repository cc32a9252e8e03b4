using System.Globalization;
using System.Text;
using Accel.Cli.Bench;
using Accel.Cli.Processes;

namespace Accel.Cli.Reports;

/// <summary>The page: one file, without anything from elsewhere.</summary>
internal static class ReportPage
{
    private const string Style = """
        :root { --back: #fff; --text: #1b1f24; --dim: #5b6470; --line: #d9dee4;
          --kernel: #6a7787; --accel: #d1570a; --row: #f5f7f9; }
        @media (prefers-color-scheme: dark) {
          :root { --back: #15181c; --text: #e4e8ec; --dim: #98a2ad; --line: #333a42;
            --kernel: #8d9bab; --accel: #f08a3c; --row: #1c2126; } }
        body { background: var(--back); color: var(--text); font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif;
          margin: 2rem auto; max-width: 1320px; padding: 0 1.5rem; }
        h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin: 2.4rem 0 .4rem; }
        h3 { font-size: 1rem; margin: 1.4rem 0 .2rem; } p { max-width: 62rem; margin: .4rem 0; }
        table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .6rem 0; font-size: 14px; }
        th, td { padding: .28rem .8rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
        th { color: var(--dim); font-weight: 600; } th:first-child, td:first-child, .words td { text-align: left; }
        .words td { white-space: normal; } tbody tr:nth-child(even) { background: var(--row); }
        .range, .dim { color: var(--dim); font-size: 12.5px; } .worse { color: #b3261e; font-weight: 600; }
        .key span { display: inline-block; width: 1.6em; height: .35em; margin: 0 .4em 0 1em;
          vertical-align: middle; border-radius: 2px; }
        .scroll { overflow-x: auto; } svg { max-width: none; display: block; }
        text { fill: var(--text); font-size: 12px; } text.tick { fill: var(--dim); font-size: 11px; }
        text.head { font-weight: 600; font-size: 13px; }
        .grid { stroke: var(--line); stroke-width: 1; } .strong { stroke: var(--dim); stroke-dasharray: 3 3; }
        .curve { fill: none; stroke-width: 2.2; stroke-linejoin: round; } .whisker { stroke-width: 1.4; }
        .curve.kernel, .whisker.kernel { stroke: var(--kernel); } .curve.accel, .whisker.accel { stroke: var(--accel); }
        circle.kernel, rect.kernel { fill: var(--kernel); } circle.accel, rect.accel { fill: var(--accel); }
        .curve.unmet { stroke-dasharray: 4 4; opacity: .6; } circle.unmet { opacity: .6; }
        """;

    public static string Of(Findings f)
    {
        var page = new StringBuilder();
        page.Append("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
            + "<title>Accel beside the kernel</title><meta name=\"viewport\" content=\"width=device-width\">\n"
            + "<style>\n");
        page.Append(Style).Append("</style></head><body>\n");
        page.Append("<h1>Accel beside the kernel</h1>\n");
        page.Append(CultureInfo.InvariantCulture, $"<p>{Svg.Escaped(Method(f))}</p>\n");
        page.Append("<p class=\"key\"><span style=\"background:var(--kernel);margin-left:0\"></span>kernel"
            + "<span style=\"background:var(--accel)\"></span>Accel</p>\n");
        Latency(page, f);
        page.Append("<h2>Throughput by message size</h2>\n<p>One connection on this host, from one program to another; "
            + "the whisker is the interval of the median.</p>\n");
        page.Append("<div class=\"scroll\">").Append(SizePlot.Of(f.Sizes)).Append("</div>\n");
        page.Append("<h2>Every case</h2>\n<p>A ratio above 1: Accel is better. Local: both ends on this host. Nic: two "
            + "network namespaces joined by a veth pair, with the end or ends that the name says accelerated.</p>\n");
        Table(page, f.Cases.Concat(f.Sizes.Select(s => s.Finding)));
        page.Append("<h2>CPU time of an operation</h2>\n<p>User and system time of the accelerated ends, on the kernel "
            + "and with Accel; spinning is counted as what it is. Stream cases: of one write; bulk cases: of "
            + "64 KiB.</p>\n"
            + "<div class=\"scroll\">").Append(CpuPlot.Of(f.Cases)).Append("</div>\n");
        page.Append("<h2>Machine</h2>\n<table class=\"words\"><tbody>");
        foreach ((string name, string value) in f.Machine)
            page.Append($"<tr><td>{Svg.Escaped(name)}</td><td>{Svg.Escaped(value)}</td></tr>");
        return page.Append("</tbody></table>\n</body></html>\n").ToString();
    }

    private static string Method(Findings f) => string.Create(CultureInfo.InvariantCulture,
        $"{f.Runs} runs of {f.Seconds:0.#} s for each figure, kernel and accelerated by turns, each with fresh ")
        + "processes; the same unmodified programs on both sides. Figures are medians of runs, in brackets the 95 % "
        + "bootstrap interval of the median. The two ends have a CPU each"
        + (f.IsQuick ? ". This is a quick report: the intervals of few runs say little" : "") + ".";

    private static void Latency(StringBuilder page, Findings f)
    {
        page.Append("<h2>Latency at a fixed rate</h2>\n<p>Open loop: requests leave when they are due, whatever the "
            + "answers do, and a latency counts from when its request was due. So a stall is charged to every request "
            + "that it held up. Percentiles are of all runs' requests together. Dashed: less came back than was "
            + "offered (below 99 %), so the side cannot carry the load, and the figure says how far behind it is."
            + "</p>\n");
        foreach (LatencyFinding finding in f.Latencies)
        {
            page.Append(CultureInfo.InvariantCulture, $"<h3>{Svg.Escaped(finding.Title)}</h3>\n");
            page.Append(CultureInfo.InvariantCulture, $"<p class=\"dim\">The most that each side took, closed loop: "
                + $"kernel {LogScale.Short(finding.KernelMost)}/s, Accel {LogScale.Short(finding.AccelMost)}/s.</p>\n");
            page.Append("<div class=\"scroll\">").Append(LatencyPlot.Of(finding)).Append("</div>\n");
            LatencyTable(page, finding);
        }
    }

    private static void LatencyTable(StringBuilder page, LatencyFinding finding)
    {
        page.Append("<div class=\"scroll\"><table><thead><tr><th>offered</th><th></th><th>came back</th><th>p50</th>"
            + "<th>p99 (interval over runs)</th><th>p99.9</th><th>most</th><th>server CPU a request</th></tr></thead>"
            + "<tbody>");
        foreach ((double offered, Dictionary<Side, List<LoadRun>> sides) in finding.Loads)
        {
            foreach ((Side side, List<LoadRun> runs) in sides.Where(s => s.Value.Count > 0))
            {
                Histogram all = LatencyFinding.Merged(runs);
                Estimate p99 = Statistics.Of([.. runs.Select(r => r.Latency.At(0.99))]);
                bool met = LatencyFinding.IsMet(runs, offered);
                page.Append(CultureInfo.InvariantCulture, $"<tr><td>{LogScale.Short(offered)}/s</td>"
                    + $"<td>{(side == Side.Kernel ? "kernel" : "Accel")}</td><td class=\"{(met ? "" : "worse")}\">"
                    + $"{LogScale.Short(Statistics.Median(runs.Select(r => r.Achieved)))}/s</td>"
                    + $"<td>{LogScale.Time(all.At(0.5))}</td><td>{LogScale.Time(all.At(0.99))} <span class=\"range\">"
                    + $"[{LogScale.Time(p99.Low)}, {LogScale.Time(p99.High)}]</span></td>"
                    + $"<td>{LogScale.Time(all.At(0.999))}</td>"
                    + $"<td>{LogScale.Time(all.At(1))}</td>"
                    + $"<td>{LogScale.Time(Statistics.Median(runs.Select(r => r.ServerMicros)))}</td></tr>");
            }
        }
        page.Append("</tbody></table></div>\n");
    }

    private static void Table(StringBuilder page, IEnumerable<CaseFinding> cases)
    {
        page.Append("<div class=\"scroll\"><table><thead><tr><th>case</th><th>unit</th><th>kernel</th><th>Accel</th>"
            + "<th>ratio</th></tr></thead><tbody>");
        foreach (CaseFinding c in cases)
        {
            page.Append(CultureInfo.InvariantCulture, $"<tr><td>{c.Path} {Svg.Escaped(c.Case.Name)}</td>"
                + $"<td>{Svg.Escaped(c.Case.Unit)}</td>");
            if (!c.IsWhole)
            {
                page.Append(CultureInfo.InvariantCulture,
                    $"<td colspan=\"3\" class=\"worse\">{Svg.Escaped(c.Error ?? "not measured")}</td></tr>");
                continue;
            }
            Estimate ratio = c.Ratio();
            page.Append(Cell(c.Value(Side.Kernel), "", "")).Append(Cell(c.Value(Side.Accel), "", ""))
                .Append(Cell(ratio, "x", ratio.High < 1 ? "worse" : "")).Append("</tr>");
        }
        page.Append("</tbody></table></div>\n");
    }

    private static string Cell(Estimate e, string unit, string style) => string.Create(CultureInfo.InvariantCulture,
        $"<td class=\"{style}\">{Number(e.Median)}{unit} "
        + $"<span class=\"range\">[{Number(e.Low)}, {Number(e.High)}]</span></td>");

    private static string Number(double value) => value is > 0 and < 0.1
        ? value.ToString("0.0000", CultureInfo.InvariantCulture) : Bench.Report.Number(value);
}
