using System.Diagnostics;
using System.Globalization;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Stack;

namespace Accel.Inspect;

/// <summary>One look at all stacks of this machine that we may see.</summary>
public sealed class Machine : IDisposable
{
    private readonly List<StackView> _stacks = [];
    private readonly Dictionary<ulong, LocalView> _locals = [];
    private readonly Dictionary<ulong, NicView> _nics = [];

    /// <summary>CLOCK_MONOTONIC of the look, which deadlines in the regions are told by.</summary>
    public long NowNs { get; init; } = Stopwatch.GetTimestamp();

    public IReadOnlyList<StackView> Stacks => _stacks;

    /// <summary>Regions that were found and could not be read, and why.</summary>
    public SortedSet<string> Refusals { get; } = [];

    /// <summary>What is known of the processes and of the kernel's sockets.</summary>
    public required Surroundings Surroundings { get; init; }

    /// <summary>The regions that stacks keep for their local connections.</summary>
    public IReadOnlyCollection<LocalView> Locals => _locals.Values;

    /// <summary>A look; who looks again and again keeps an index.</summary>
    public static Machine Look(RegionIndex? index = null)
    {
        index ??= new();
        var machine = new Machine { Surroundings = new LiveSurroundings() };
        foreach (string folder in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(folder), CultureInfo.InvariantCulture, out int pid)) continue;
            foreach (RegionFile file in index.Of(pid, machine.Refusals, Environment.TickCount64)) machine.Add(file);
        }
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
                _stacks.Add(new StackView(header, copy, Surroundings));
                break;
            case RegionKind.Nic:
                _nics[header.Id] = new NicView(header, copy);
                break;
            case RegionKind.Local:
                _locals[header.Id] = new LocalView(header, copy);
                break;
        }
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

    /// <summary>The local region with this identity, while a process of its stack lives; else null.</summary>
    public LocalView? Local(ulong id) => _locals.GetValueOrDefault(id);

    public LocalView? OwnLocal(StackView stack) => _locals.Values.FirstOrDefault(l => l.Header.StackId == stack.Id);

    /// <summary>The stack's network path, or null if it has none.</summary>
    public unsafe NicView? Nic(StackView stack) =>
        _nics.GetValueOrDefault(stack.Region.Tables->NicRegionId)
        ?? _nics.Values.FirstOrDefault(n => n.Header.StackId == stack.Id);

    public void Dispose()
    {
        foreach (NicView nic in _nics.Values) nic.Dispose();
        foreach (StackView stack in _stacks) stack.Dispose();
        foreach (LocalView local in _locals.Values) local.Dispose();
    }

    private void Add(RegionFile file)
    {
        ulong id = file.Header.Id;
        bool known = file.Header.Kind switch
        {
            RegionKind.Stack => _stacks.Exists(s => s.Id == id),
            RegionKind.Nic => _nics.ContainsKey(id),
            _ => _locals.ContainsKey(id),
        };
        if (known) return;
        try
        {
            Add(file.Header, file.Copy(TableBytes(file.Header.Kind)));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Refusals.Add($"{file.Header.Kind} region of process {file.Pid}: {e.Message}");
        }
    }
}
