using System.Diagnostics;
using Accel.Inspect;
using Accel.Inspect.Look;

namespace Accel.Stat;

/// <summary>All stacks at one time, and the sample before it, which rates are told by.</summary>
public sealed class Sample
{
    private readonly Dictionary<(string Id, uint Uid), StackReading> _before = [];
    private readonly double _seconds;

    private Sample(IReadOnlyList<StackReading> stacks, IReadOnlyList<string> refusals, long at, Sample? before)
    {
        Stacks = stacks;
        Refusals = refusals;
        At = at;
        _seconds = before is null ? 0 : Stopwatch.GetElapsedTime(before.At, at).TotalSeconds;
        HasRates = before is not null;
        foreach (StackReading stack in stacks)
            if (before?.Before(stack) is { } was) _before[(stack.Id, stack.Uid)] = was;
    }

    /// <summary>
    /// The reading that a later one of the stack is compared with: the one of this sample, or if both are out of the
    /// same look of acceld's, the one before it.
    /// </summary>
    private StackReading? Before(StackReading later)
    {
        StackReading? mine = Stacks.FirstOrDefault(s => (s.Id, s.Uid) == (later.Id, later.Uid));
        return mine is { IsForeign: true } && mine.AtNs == later.AtNs ? Was(mine) : mine;
    }

    private StackReading? Was(StackReading stack) => _before.GetValueOrDefault((stack.Id, stack.Uid));

    public IReadOnlyList<StackReading> Stacks { get; }

    /// <summary>What could not be read, and why.</summary>
    public IReadOnlyList<string> Refusals { get; }

    /// <summary>See <see cref="Machine.Unseen"/>.</summary>
    public string? Unseen { get; private init; }

    /// <summary>Timestamp of the monotonic clock.</summary>
    public long At { get; }

    public bool HasRates { get; }

    /// <summary>Looks at the machine; <paramref name="before"/>: an earlier sample to tell rates by.</summary>
    public static Sample Take(int? pid, Sample? before, RegionIndex? index = null, OtherStacks? others = null)
    {
        using Machine machine = Machine.Look(index, others);
        return Take(machine, pid, before);
    }

    public static Sample Take(Machine machine, int? pid, Sample? before)
    {
        StackView[] stacks = [.. machine.Stacks.Where(s => pid is null || s.Processes.Any(p => p.Pid == pid))];
        return new([.. stacks.Select(s => StackReading.Of(machine, s))],
            [.. machine.Refusals.Where(r => pid is null || r.Contains($" process {pid}:", StringComparison.Ordinal))],
            machine.NowNs, before)
        {
            // Who asked for one process and found it misses nothing.
            Unseen = pid is null || stacks.Length == 0 ? machine.Unseen : null,
        };
    }

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
        StackReading? was = Was(stack);
        return Rate(stack, now, was is null ? 0 : figure.Of(was));
    }

    /// <summary>The same of one counter by its name.</summary>
    public double Counter(StackReading stack, string name) => !HasRates ? stack.Counters[name]
        : Rate(stack, stack.Counters[name], Was(stack)?.Counters[name] ?? 0);

    /// <summary>The same of drops, by their reason.</summary>
    public double Drop(StackReading stack, string name) => !HasRates ? stack.Dropped[name]
        : Rate(stack, stack.Dropped[name], Was(stack)?.Dropped[name] ?? 0);

    /// <summary>Of one process: nanoseconds of CPU time, or with an earlier sample those of each second.</summary>
    public double Cpu(StackReading stack, ProcessReading process)
    {
        if (!HasRates) return process.CpuNs;
        long? was = Was(stack)?.Processes.FirstOrDefault(p => p.Pid == process.Pid)?.CpuNs;
        return was is null ? 0 : Rate(stack, process.CpuNs, was.Value);
    }

    // A connection that closes between two reads of a copy is counted a moment late: never below nothing.
    private double Rate(StackReading stack, long now, long was)
    {
        // acceld's look may be older than this sample, and is older than it by another time than the last one was.
        double seconds = stack.IsForeign && Was(stack) is { } before
            ? Stopwatch.GetElapsedTime(before.AtNs, stack.AtNs).TotalSeconds : _seconds;
        return seconds <= 0 ? 0 : Math.Max(0, now - was) / seconds;
    }
}
