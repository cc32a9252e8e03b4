using System.Diagnostics;
using Accel.Inspect;

namespace Accel.Stat;

/// <summary>All stacks at one time, and the sample before it, which rates are told by.</summary>
public sealed class Sample
{
    private readonly Dictionary<string, StackReading> _before;
    private readonly double _seconds;

    private Sample(IReadOnlyList<StackReading> stacks, IReadOnlyList<string> refusals, long at, Sample? before)
    {
        Stacks = stacks;
        Refusals = refusals;
        At = at;
        _before = before?.Stacks.ToDictionary(s => s.Id) ?? [];
        _seconds = before is null ? 0 : Stopwatch.GetElapsedTime(before.At, at).TotalSeconds;
        HasRates = before is not null;
    }

    public IReadOnlyList<StackReading> Stacks { get; }

    /// <summary>What could not be read, and why.</summary>
    public IReadOnlyList<string> Refusals { get; }

    /// <summary>Timestamp of the monotonic clock.</summary>
    public long At { get; }

    public bool HasRates { get; }

    /// <summary>Looks at the machine; <paramref name="before"/>: an earlier sample to tell rates by.</summary>
    public static Sample Take(int? pid, Sample? before, RegionIndex? index = null)
    {
        using Machine machine = Machine.Look(index);
        return Take(machine, pid, before);
    }

    public static Sample Take(Machine machine, int? pid, Sample? before) => Of(
        [.. machine.Stacks.Where(s => pid is null || s.Processes.Any(p => p.Pid == pid))
            .Select(s => StackReading.Of(machine, s))],
        [.. machine.Refusals.Where(r => pid is null || r.Contains($" process {pid}:", StringComparison.Ordinal))],
        machine.NowNs, before);

    public static Sample Of(
        IReadOnlyList<StackReading> stacks, IReadOnlyList<string> refusals, long at, Sample? before) =>
        new(stacks, refusals, at, before);

    /// <summary>
    /// A gauge as it stands; of a counter the total, or with an earlier sample what was added per second.
    /// </summary>
    public double Value(StackReading stack, Figure figure)
    {
        long now = figure.Of(stack);
        if (figure.Kind == FigureKind.Gauge || !HasRates) return now;
        return Rate(now, _before.TryGetValue(stack.Id, out StackReading? was) ? figure.Of(was) : 0);
    }

    /// <summary>The same of one counter by its name.</summary>
    public double Counter(StackReading stack, string name) => !HasRates ? stack.Counters[name]
        : Rate(stack.Counters[name], _before.GetValueOrDefault(stack.Id)?.Counters[name] ?? 0);

    /// <summary>The same of drops, by their reason.</summary>
    public double Drop(StackReading stack, string name) => !HasRates ? stack.Dropped[name]
        : Rate(stack.Dropped[name], _before.GetValueOrDefault(stack.Id)?.Dropped[name] ?? 0);

    /// <summary>Of one process: nanoseconds of CPU time, or with an earlier sample those of each second.</summary>
    public double Cpu(StackReading stack, ProcessReading process)
    {
        if (!HasRates) return process.CpuNs;
        long? was = _before.GetValueOrDefault(stack.Id)?.Processes.FirstOrDefault(p => p.Pid == process.Pid)?.CpuNs;
        return was is null ? 0 : Rate(process.CpuNs, was.Value);
    }

    // A connection that closes between two reads of a copy is counted a moment late: never below nothing.
    private double Rate(long now, long was) => _seconds <= 0 ? 0 : Math.Max(0, now - was) / _seconds;
}
