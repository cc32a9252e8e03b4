namespace Accel.Inspect;

/// <summary>
/// Where regions were found, for those who look again and again: of a process with many descriptors all are looked at
/// every few seconds only, and in between those that were regions then. A process without regions is looked at each
/// time, and so is one with few descriptors.
/// </summary>
/// <param name="againMilliseconds">Time until all are looked at again.</param>
public sealed class RegionIndex(long againMilliseconds = 5000)
{
    private const int Few = 500;

    private readonly Dictionary<int, Found> _found = [];

    private sealed record Found(long AtMilliseconds, int[] Descriptors);

    /// <summary>Processes whose descriptors this user may not see, of those asked about.</summary>
    public int Denied { get; private set; }

    public IEnumerable<RegionFile> Of(int pid, ICollection<string> refusals, long nowMilliseconds) =>
        Of(pid, refusals, nowMilliseconds, static () => true);

    /// <summary>The same, as long as the caller wants more.</summary>
    public IEnumerable<RegionFile> Of(
        int pid, ICollection<string> refusals, long nowMilliseconds, Func<bool> goOn)
    {
        if (_found.TryGetValue(pid, out Found? known) && nowMilliseconds - known.AtMilliseconds < againMilliseconds)
        {
            RegionFile[] still = [.. RegionFile.Of(pid, known.Descriptors.TakeWhile(_ => goOn()), refusals)];
            if (still.Length == known.Descriptors.Length) return still;
        }
        _found.Remove(pid);
        int[] all = RegionFile.Descriptors(pid, goOn, out bool isDenied);
        if (isDenied) Denied++;
        RegionFile[] files = [.. RegionFile.Of(pid, all.TakeWhile(_ => goOn()), refusals)];
        if (all.Length > Few && files.Length > 0)
            _found[pid] = new(nowMilliseconds, [.. files.Select(f => f.Descriptor)]);
        return files;
    }

    /// <summary>Counts anew, and forgets processes that are not there any more.</summary>
    public void Begin(IReadOnlySet<int> pids)
    {
        Denied = 0;
        foreach (int gone in _found.Keys.Where(p => !pids.Contains(p)).ToList()) _found.Remove(gone);
    }
}
