using System.Globalization;
using Spectre.Console;

namespace Accel.Cli.Bench;

/// <summary>Results for people.</summary>
public static class Report
{
    public static Table Table(IEnumerable<Result> results)
    {
        Result[] rows = [.. results];
        bool targets = rows.Any(r => r.Case.Target is not null);
        Table table = new Table().Border(TableBorder.Simple);
        foreach (string title in (string[])["case", "unit", "kernel", "accel", "ratio", "target", "CPU/op kernel",
            "CPU/op accel", "ring"])
        {
            if (title == "target" && !targets) continue;
            table.AddColumn(title is "case" or "unit" ? new TableColumn(title)
                : new TableColumn(title).RightAligned());
        }
        foreach (Result r in rows)
        {
            string[] target = !targets ? [] : [r.Case.Target is { } wanted ? $"{Number(wanted)}x" : ""];
            table.AddRow([r.Case.Name, r.Case.Unit, Number(r.Kernel?.Value), Number(r.Accel?.Value),
                r.Ratio is { } ratio ? $"[bold]{Number(ratio)}x[/]" : "[red]failed[/]", .. target,
                Number(r.KernelCpu), Number(r.AccelCpu), Number(r.RingMicros)]);
        }
        return table;
    }

    public static string Number(double? value) => value switch
    {
        null => "-",
        >= 10_000 => value.Value.ToString("#,0", CultureInfo.InvariantCulture),
        >= 100 => value.Value.ToString("0", CultureInfo.InvariantCulture),
        >= 10 => value.Value.ToString("0.0", CultureInfo.InvariantCulture),
        _ => value.Value.ToString("0.00", CultureInfo.InvariantCulture),
    };

    /// <summary>
    /// A file gets plain text, and the width that the table needs: Spectre would take 80 columns and cut figures.
    /// </summary>
    public static IAnsiConsole Console()
    {
        IAnsiConsole console = AnsiConsole.Console;
        if (!System.Console.IsOutputRedirected) return console;
        console.Profile.Width = 120;
        console.Profile.Capabilities.Ansi = false;
        return console;
    }
}
