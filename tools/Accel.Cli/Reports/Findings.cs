using System.Text.Json.Nodes;
using Accel.Cli.Bench;
using Accel.Cli.Processes;

namespace Accel.Cli.Reports;

/// <summary>A case of `accel bench` with all of its runs.</summary>
public sealed record CaseFinding(string Path, BenchCase Case, IReadOnlyDictionary<Side, List<Sample>> Runs,
    string? Error)
{
    public bool IsWhole => Runs[Side.Kernel].Count > 0 && Runs[Side.Accel].Count > 0;

    public Estimate Value(Side side) => Statistics.Of([.. Runs[side].Select(s => s.Value)]);

    public Estimate Cpu(Side side) => Statistics.Of([.. Runs[side].Select(Case.CpuMicros)]);

    public Estimate Ratio()
    {
        double[] kernel = [.. Runs[Side.Kernel].Select(s => s.Value)];
        double[] accel = [.. Runs[Side.Accel].Select(s => s.Value)];
        return Case.LessIsBetter ? Statistics.Ratio(kernel, accel) : Statistics.Ratio(accel, kernel);
    }
}

/// <summary>A server under open-loop load: all runs, by side and offered rate.</summary>
public sealed record LatencyFinding(
    string Name, string Title, double KernelMost, double AccelMost,
    SortedDictionary<double, Dictionary<Side, List<LoadRun>>> Loads, string? Error)
{
    /// <summary>A point counts if what came back is what was offered, to a percent.</summary>
    public static bool IsMet(IEnumerable<LoadRun> runs, double offered) =>
        Statistics.Median(runs.Select(r => r.Achieved)) >= offered * 0.99;

    public static Histogram Merged(IEnumerable<LoadRun> runs)
    {
        var all = new Histogram();
        foreach (LoadRun run in runs) all.Add(run.Latency);
        return all;
    }
}

/// <summary>Everything that a report says.</summary>
public sealed record Findings(
    IReadOnlyList<(string Name, string Value)> Machine, int Runs, double Seconds, bool IsQuick,
    IReadOnlyList<CaseFinding> Cases, IReadOnlyList<(int Bytes, CaseFinding Finding)> Sizes,
    IReadOnlyList<LatencyFinding> Latencies)
{
    public static readonly double[] Quantiles = [0.5, 0.75, 0.9, 0.99, 0.999, 0.9999, 1];

    public JsonObject ToJson() => new()
    {
        ["machine"] = new JsonObject(Machine.Select(m => KeyValuePair.Create<string, JsonNode?>(m.Name, m.Value))),
        ["method"] = new JsonObject
        {
            ["runs"] = Runs,
            ["seconds"] = Seconds,
            ["quick"] = IsQuick,
            ["interval"] = "95 % bootstrap percentile interval of the median, 2000 draws, seed 1",
        },
        ["cases"] = new JsonArray([.. Cases.Concat(Sizes.Select(s => s.Finding)).Select(ToJson)]),
        ["latency"] = new JsonArray([.. Latencies.Select(ToJson)]),
    };

    private static JsonObject ToJson(CaseFinding f)
    {
        var json = new JsonObject { ["path"] = f.Path, ["case"] = f.Case.Name, ["unit"] = f.Case.Unit };
        foreach (Side side in (Side[])[Side.Kernel, Side.Accel])
        {
            if (f.Runs[side].Count == 0) continue;
            JsonObject one = Json(f.Value(side));
            one["cpu_us"] = Json(f.Cpu(side));
            one["runs"] = new JsonArray([.. f.Runs[side].Select(s => JsonValue.Create(s.Value))]);
            json[side.ToString().ToLowerInvariant()] = one;
        }
        if (f.IsWhole) json["ratio"] = Json(f.Ratio());
        if (f.Error is not null) json["error"] = f.Error;
        return json;
    }

    private static JsonObject ToJson(LatencyFinding f)
    {
        var loads = new JsonArray();
        foreach ((double offered, Dictionary<Side, List<LoadRun>> sides) in f.Loads)
        {
            foreach ((Side side, List<LoadRun> runs) in sides.Where(s => s.Value.Count > 0))
            {
                Histogram all = LatencyFinding.Merged(runs);
                loads.Add(new JsonObject
                {
                    ["side"] = side.ToString().ToLowerInvariant(),
                    ["offered"] = offered,
                    ["achieved"] = Statistics.Median(runs.Select(r => r.Achieved)),
                    ["met"] = LatencyFinding.IsMet(runs, offered),
                    ["server_cpu_us"] = Statistics.Median(runs.Select(r => r.ServerMicros)),
                    ["p99_us"] = Json(Statistics.Of([.. runs.Select(r => r.Latency.At(0.99))])),
                    ["percentiles_us"] = new JsonObject(Quantiles.Select(q => KeyValuePair.Create<string, JsonNode?>(
                        FormattableString.Invariant($"p{q * 100:0.##}"), all.At(q)))),
                });
            }
        }
        return new()
        {
            ["case"] = f.Name,
            ["kernel_most"] = f.KernelMost,
            ["accel_most"] = f.AccelMost,
            ["loads"] = loads,
            ["error"] = f.Error,
        };
    }

    private static JsonObject Json(Estimate e) =>
        new() { ["median"] = e.Median, ["low"] = e.Low, ["high"] = e.High };
}
