using System.Text.Json.Nodes;

namespace Accel.Cli.Bench;

/// <summary>A case's medians; no ratio where a side could not be measured, and then why.</summary>
public sealed record Result(BenchCase Case, double? RingMicros, Sample? Kernel, Sample? Accel, string? Error)
{
    public double? Ratio => Kernel is { } k && Accel is { } a ? Case.Ratio(k.Value, a.Value) : null;

    public double? KernelCpu => Kernel is { } k ? Case.CpuMicros(k) : null;

    public double? AccelCpu => Accel is { } a ? Case.CpuMicros(a) : null;

    public string ToJson()
    {
        var json = new JsonObject
        {
            ["case"] = Case.Name,
            ["kernel"] = Round(Kernel?.Value),
            ["accel"] = Round(Accel?.Value),
            ["ratio"] = Round(Ratio),
            ["unit"] = Case.Unit,
            ["cpu_kernel"] = Round(KernelCpu),
            ["cpu_accel"] = Round(AccelCpu),
        };
        if (Case.Target is { } target) json["target"] = target;
        if (Error is not null) json["error"] = Error;
        return json.ToJsonString();
    }

    /// <summary>Four significant digits: more would be noise.</summary>
    private static double? Round(double? value)
    {
        if (value is not { } v || v == 0) return value;
        int decimals = Math.Clamp(3 - (int)Math.Floor(Math.Log10(Math.Abs(v))), 0, 6);
        return Math.Round(v, decimals);
    }
}
