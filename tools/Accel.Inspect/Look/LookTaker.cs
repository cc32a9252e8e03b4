using System.Diagnostics;
using System.Globalization;
using Accel.Core.Memory;
using Microsoft.Win32.SafeHandles;

namespace Accel.Inspect.Look;

/// <summary>
/// Looks at the stacks of this network namespace for users who may not look at them themselves. What it reads is
/// theirs to write, so nothing of it is believed: whose a region is says the kernel, counts are clamped, files are read
/// and not mapped, no link of a list is followed, and all of it has a bound (<see cref="LookLimits"/>).
/// </summary>
public sealed class LookTaker(LookLimits limits)
{
    /// <summary>Of a process with 100,000 connections the descriptors cost more than all of its tables.</summary>
    private const long IndexMilliseconds = 30_000;

    private readonly RegionIndex _index = new(IndexMilliseconds);

    /// <summary>A region, once, with all that hold it.</summary>
    private sealed record Found(RegionFile File)
    {
        public SortedSet<int> Holders { get; } = [File.Pid];
    }

    /// <summary>CPU time of the last look.</summary>
    public long SpentNs { get; private set; }

    /// <summary>Regions of the last look.</summary>
    public int Regions { get; private set; }

    /// <summary>Writes a look; <paramref name="only"/>: at the stacks of this user.</summary>
    public void Take(uint? only, Stream to)
    {
        var budget = new LookBudget(limits);
        using var writer = new BinaryWriter(to, System.Text.Encoding.UTF8, leaveOpen: true);
        writer.Write(LookFormat.Magic);
        writer.Write(LookFormat.Version);
        writer.Write(LayoutHash.Value);
        writer.Write(Stopwatch.GetTimestamp());
        var notes = new SortedSet<string>();
        Regions = 0;
        var found = new Dictionary<FileIdentity, Found>();
        foreach ((uint user, List<int> pids) in Processes(only, notes))
        {
            budget.Begin();
            Find(pids, found, notes, budget);
            if (budget.IsUserOver)
                notes.Add($"user {user}: too many processes or descriptors for one look, some are left out");
        }
        // A region of another user, as a neighbour or an heir holds it, is its owner's to show.
        foreach (IGrouping<uint, Found> regions in found.Values.GroupBy(f => f.File.Identity.Uid).OrderBy(g => g.Key))
        {
            if (only is not null && regions.Key != only) continue;
            budget.Begin();
            var regionWriter = new RegionWriter(writer, budget);
            foreach (Found one in regions.OrderBy(f => f.File.Header.Kind).TakeWhile(_ => budget.GoesOn()))
                Write(regionWriter, one, notes);
            foreach (int pid in regionWriter.Processes) WriteProcess(writer, pid);
            if (budget.IsUserOver)
                notes.Add($"user {regions.Key}: too many stacks or sockets for one look, some are left out");
        }
        foreach (string note in notes.Take(limits.Notes))
        {
            writer.Write(LookFormat.Note);
            writer.Write(note);
        }
        writer.Write(LookFormat.End);
        SpentNs = budget.SpentNs;
    }

    /// <summary>The processes of this network namespace by their users, root first.</summary>
    private SortedDictionary<uint, List<int>> Processes(uint? only, SortedSet<string> notes)
    {
        string? here = ProcLink.Network("self");
        var users = new SortedDictionary<uint, List<int>>();
        var all = new HashSet<int>();
        int hidden = 0;
        foreach (string folder in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(folder), CultureInfo.InvariantCulture, out int pid)) continue;
            all.Add(pid);
            if (ProcLink.Network($"{pid}") is not { } network)
            {
                hidden++;
                continue;
            }
            if (network != here || UserOf(pid) is not { } user || (only ?? user) != user && user != 0) continue;
            if (!users.TryGetValue(user, out List<int>? pids)) users[user] = pids = [];
            pids.Add(pid);
        }
        _index.Begin(all);
        // One that has ended says nothing either; the first process never ends.
        if (hidden > 0 && ProcLink.Network("1") is null)
            notes.Add("acceld may not look at others' processes (it needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH)");
        return users;
    }

    private void Find(
        List<int> pids, Dictionary<FileIdentity, Found> found, SortedSet<string> notes, LookBudget budget)
    {
        foreach (int pid in pids.TakeWhile(_ => budget.GoesOn()))
        {
            foreach (RegionFile file in _index.Of(pid, notes, Environment.TickCount64, budget.GoesOn))
            {
                if (found.TryGetValue(file.Identity, out Found? known)) known.Holders.Add(pid);
                else found[file.Identity] = new Found(file);
            }
            while (notes.Count > limits.Notes) notes.Remove(notes.Max!);
        }
    }

    private void Write(RegionWriter regions, Found one, SortedSet<string> notes)
    {
        try
        {
            using SafeFileHandle file = one.File.Open();
            regions.Write(one.File.Header, file, one.Holders);
            Regions++;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            notes.Add($"{one.File.Header.Kind} region of process {one.File.Pid}: {e.Message}");
        }
    }

    private static void WriteProcess(BinaryWriter writer, int pid)
    {
        if (LiveSurroundings.Read(pid) is not ({ } name, var state)) return;
        writer.Write(LookFormat.Process);
        writer.Write(pid);
        writer.Write(name);
        writer.Write((ushort)state);
        writer.Write(ProcessCpu.Nanoseconds(pid));
    }

    /// <summary>The real user of a process: /proc/PID itself is root's where a process gave up its rights.</summary>
    private static uint? UserOf(int pid)
    {
        try
        {
            if (FileIdentity.OwnerOf($"/proc/{pid}") is not 0u and var owner) return owner;
            foreach (string line in File.ReadLines($"/proc/{pid}/status"))
            {
                if (line.StartsWith("Uid:", StringComparison.Ordinal))
                    return uint.Parse(line.Split('\t')[1], CultureInfo.InvariantCulture);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It has ended.
        }
        return null;
    }
}
