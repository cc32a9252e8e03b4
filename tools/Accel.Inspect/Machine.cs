using System.Diagnostics;
using System.Globalization;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Stack;
using Accel.Inspect.Look;

namespace Accel.Inspect;

/// <summary>One look at all stacks of this machine that we may see.</summary>
public sealed class Machine : IDisposable
{
    private readonly List<StackView> _stacks = [];

    // By the region's name and its owner, which the kernel says: a region may have the name of another user's.
    private readonly Dictionary<(ulong Id, uint Uid), LocalView> _locals = [];
    private readonly Dictionary<(ulong Id, uint Uid), NicView> _nics = [];

    /// <summary>CLOCK_MONOTONIC of the look, which deadlines in the regions are told by.</summary>
    public long NowNs { get; init; } = Stopwatch.GetTimestamp();

    public IReadOnlyList<StackView> Stacks => _stacks;

    /// <summary>Regions that were found and could not be read, and why.</summary>
    public SortedSet<string> Refusals { get; } = [];

    /// <summary>Of stacks of other users that cannot be seen, and what helps; null if there are none.</summary>
    public string? Unseen { get; set; }

    /// <summary>What is known of the processes and of the kernel's sockets.</summary>
    public required Surroundings Surroundings { get; init; }

    /// <summary>The regions that stacks keep for their local connections.</summary>
    public IReadOnlyCollection<LocalView> Locals => _locals.Values;

    /// <summary>
    /// A look; who looks again and again keeps an index. With <paramref name="others"/> at those stacks too that only
    /// acceld may look at, if there are processes that this user may not.
    /// </summary>
    public static Machine Look(RegionIndex? index = null, OtherStacks? others = null)
    {
        index ??= new();
        var machine = new Machine { Surroundings = new LiveSurroundings() };
        HashSet<int> pids = [.. Directory.EnumerateDirectories("/proc").Select(Path.GetFileName)
            .Where(n => char.IsAsciiDigit(n![0])).Select(n => int.Parse(n!, CultureInfo.InvariantCulture))];
        index.Begin(pids);
        foreach (int pid in pids)
            foreach (RegionFile file in index.Of(pid, machine.Refusals, Environment.TickCount64)) machine.Add(file);
        if (index.Denied > 0) others?.AddTo(machine);
        machine.Sort();
        return machine;
    }

    /// <summary>Bytes of a region of that kind that are looked at: its tables.</summary>
    public static long TableBytes(RegionKind kind) => kind switch
    {
        RegionKind.Stack => StackRegion.TableBytes,
        RegionKind.Local => LocalRegion.FixedBytes,
        RegionKind.Nic => NicRegion.SizeBytes,
        _ => 0,
    };

    /// <summary>A copy of a region that was made before. It is the machine's from now on.</summary>
    public void Add(in RegionHeader header, SparseCopy copy)
    {
        switch (header.Kind)
        {
            case RegionKind.Stack:
                _stacks.Add(new StackView(header, copy, Surroundings, NowNs));
                break;
            case RegionKind.Nic:
                _nics[(header.Id, header.OwnerUid)] = new NicView(header, copy);
                break;
            case RegionKind.Local:
                _locals[(header.Id, header.OwnerUid)] = new LocalView(header, copy);
                break;
        }
    }

    /// <summary>The same of a region that acceld shows, unless it is known.</summary>
    internal void AddForeign(in RegionHeader header, SparseCopy copy, Surroundings surroundings, long nowNs)
    {
        if (IsKnown(header))
            copy.Dispose();
        else if (header.Kind == RegionKind.Stack)
            _stacks.Add(new StackView(header, copy, surroundings, nowNs, isForeign: true));
        else
            Add(header, copy);
    }

    public void Sort() => _stacks.Sort((a, b) => a.Header.CreatedNs.CompareTo(b.Header.CreatedNs));

    /// <summary>The stacks to show: all, or that of one process.</summary>
    public IEnumerable<StackView> Chosen(int? pid)
    {
        StackView[] chosen = [.. _stacks.Where(s => pid is null || s.Processes.Any(p => p.Pid == pid))];
        if (chosen.Length > 0) return chosen;
        throw new NothingToShowException(pid is null
            ? "no accelerated process that this user may look at"
            : $"process {pid} has no stack (not accelerated, no socket yet, or not yours)");
    }

    /// <summary>
    /// The local region with this identity that a stack of this user uses, while a process of its stack lives; else
    /// null.
    /// </summary>
    public LocalView? Local(ulong id, uint user) => _locals.GetValueOrDefault((id, user))
        ?? Only(_locals.Values.Where(l => l.Header.Id == id), user, l => l.Header);

    public LocalView? OwnLocal(StackView stack) => _locals.Values.FirstOrDefault(
        l => l.Header.StackId == stack.Id && l.Header.OwnerUid == stack.Header.OwnerUid);

    /// <summary>The stack's network path, or null if it has none.</summary>
    public unsafe NicView? Nic(StackView stack)
    {
        (ulong id, uint user) = (stack.Region.Tables->NicRegionId, stack.Header.OwnerUid);
        NicView? named = id == 0 ? null : _nics.GetValueOrDefault((id, user))
            ?? Only(_nics.Values.Where(n => n.Header.Id == id), user, n => n.Header);
        return named ?? _nics.Values.FirstOrDefault(
            n => n.Header.StackId == stack.Id && n.Header.OwnerUid == user);
    }

    /// <summary>
    /// The one that is the same user's, as most are; or else the only one: of a neighbour, or made before the program
    /// changed its user. Of two others one would be a lie.
    /// </summary>
    private static T? Only<T>(IEnumerable<T> found, uint user, Func<T, RegionHeader> header) where T : class
    {
        T? other = null;
        int others = 0;
        foreach (T one in found)
        {
            if (header(one).OwnerUid == user) return one;
            other = one;
            others++;
        }
        return others == 1 ? other : null;
    }

    public void Dispose()
    {
        foreach (NicView nic in _nics.Values) nic.Dispose();
        foreach (StackView stack in _stacks) stack.Dispose();
        foreach (LocalView local in _locals.Values) local.Dispose();
    }

    private void Add(RegionFile file)
    {
        if (IsKnown(file.Header)) return;
        try
        {
            Add(file.Header, file.Copy(TableBytes(file.Header.Kind)));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Refusals.Add($"{file.Header.Kind} region of process {file.Pid}: {e.Message}");
        }
    }

    private bool IsKnown(in RegionHeader header)
    {
        (ulong Id, uint Uid) key = (header.Id, header.OwnerUid);
        return header.Kind switch
        {
            RegionKind.Stack => _stacks.Exists(s => (s.Id, s.Header.OwnerUid) == key),
            RegionKind.Nic => _nics.ContainsKey(key),
            _ => _locals.ContainsKey(key),
        };
    }
}
