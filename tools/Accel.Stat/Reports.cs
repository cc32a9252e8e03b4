using System.Globalization;
using System.Text.Json.Nodes;
using Accel.Inspect;

namespace Accel.Stat;

/// <summary>A sample as lines for scripts and people: a table, a JSON document in one line, or rows of CSV.</summary>
public static class Reports
{
    public static List<string> Table(Sample sample, Figure sort, bool reverse)
    {
        Figure[] shown = Figures.All;
        var table = new TextTable([.. shown.Select(f => f.Title), "stack", "seen", "processes"])
            .Right([.. Enumerable.Range(0, shown.Length)]);
        foreach (StackReading stack in Sorted(sample, sort, reverse))
            table.Add([.. shown.Select(f => Numbers.Text(sample.Value(stack, f), f, sample.HasRates)), stack.Id,
                stack.Seen, Owners(stack)]);
        return sample.Stacks.Count == 0 ? ["no accelerated process that this user may look at"] : table.Lines();
    }

    public static IEnumerable<StackReading> Sorted(Sample sample, Figure sort, bool reverse)
    {
        // Of stacks that are equal the older one stays first, whichever way it is sorted.
        return reverse ? sample.Stacks.OrderBy(s => sample.Value(s, sort))
            : sample.Stacks.OrderByDescending(s => sample.Value(s, sort));
    }

    public static string Owners(StackReading stack)
    {
        string shown = string.Join(' ', stack.Processes.Take(3).Select(p =>
            p.State == "running" ? $"{p.Name}({p.Pid})" : $"{p.Name}({p.Pid},{p.State})"));
        return stack.Processes.Count > 3 ? $"{shown} and {stack.Processes.Count - 3} more" : shown;
    }

    /// <summary>Totals always; rates too where there is a sample before.</summary>
    public static JsonObject Json(Sample sample) => new()
    {
        ["monotonic_ns"] = sample.At,
        ["stacks"] = new JsonArray([.. sample.Stacks.Select(stack => Json(sample, stack))]),
        ["unseen"] = sample.Unseen,
        ["unreadable"] = new JsonArray([.. sample.Refusals.Select(r => JsonValue.Create(r))]),
    };

    public static string CsvHeader() => string.Join(',',
        (string[])["monotonic_ns", "stack", "pids", "process", .. Figures.All.Select(CsvName), "seen"]);

    public static IEnumerable<string> Csv(Sample sample, Figure sort, bool reverse) =>
        Sorted(sample, sort, reverse).Select(stack => string.Join(',',
            (string[])[Text(sample.At), stack.Id, string.Join(' ', stack.Processes.Select(p => p.Pid)),
                Quoted(stack.Processes.Count == 0 ? "" : stack.Processes[0].Name),
                .. Figures.All.Select(f => Text(sample.Value(stack, f))), stack.Seen]));

    private static string CsvName(Figure figure) =>
        figure.Unit.Length == 0 || figure.Name.Contains(figure.Unit, StringComparison.Ordinal) ? figure.Name
            : $"{figure.Name}_{figure.Unit}";

    private static JsonObject Json(Sample sample, StackReading stack)
    {
        var totals = new JsonObject();
        var rates = new JsonObject();
        foreach (Figure figure in Figures.All)
        {
            totals[figure.Name] = figure.Of(stack);
            if (sample.HasRates && figure.Kind == FigureKind.Counter)
                rates[figure.Name] = Math.Round(sample.Value(stack, figure), 3);
        }
        var json = new JsonObject
        {
            ["stack"] = stack.Id,
            ["uid"] = stack.Uid,
            ["seen"] = stack.Seen,
            ["processes"] = new JsonArray([.. stack.Processes.Select(p => new JsonObject
            {
                ["pid"] = p.Pid,
                ["name"] = p.Name,
                ["state"] = p.State,
                ["cpu_ns"] = p.CpuNs,
            })]),
            ["totals"] = totals,
            ["drops"] = Object(stack.Dropped),
            ["kernel_reasons"] = Object(stack.KernelReasons.ToDictionary(r => r.Key, r => (long)r.Value)),
            ["counters"] = Object(stack.Counters),
        };
        if (sample.HasRates) json["per_second"] = rates;
        return json;
    }

    private static JsonObject Object(Dictionary<string, long> values)
    {
        var json = new JsonObject();
        foreach ((string name, long value) in values) json[name] = value;
        return json;
    }

    private static string Quoted(string text) =>
        text.AsSpan().IndexOfAny(",\"") < 0 ? text : $"\"{text.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";

    private static string Text(double value) => value.ToString("0.###", CultureInfo.InvariantCulture);
}
