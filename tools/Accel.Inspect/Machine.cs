using System.Diagnostics;
using System.Globalization;
using Accel.Core.Memory;

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

    public static Machine Look()
    {
        var machine = new Machine();
        foreach (string folder in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(folder), CultureInfo.InvariantCulture, out int pid)) continue;
            foreach (RegionFile file in RegionFile.Of(pid, machine.Refusals)) machine.Add(file);
        }
        machine._stacks.Sort((a, b) => a.Header.CreatedNs.CompareTo(b.Header.CreatedNs));
        return machine;
    }

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
        string what = "region";
        try
        {
            switch (file.Header.Kind)
            {
                case RegionKind.Stack when _stacks.All(s => s.Id != id):
                    what = "stack";
                    _stacks.Add(new StackView(file));
                    break;
                case RegionKind.Nic when !_nics.ContainsKey(id):
                    what = "network path";
                    _nics[id] = new NicView(file);
                    break;
                case RegionKind.Local when !_locals.ContainsKey(id):
                    what = "local region";
                    _locals[id] = new LocalView(file);
                    break;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Refusals.Add($"{what} of process {file.Pid}: {e.Message}");
        }
    }
}
