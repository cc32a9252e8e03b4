using System.Runtime.InteropServices;

namespace Accel.Inspect.Look;

/// <summary>
/// What one look may cost: CPU time and bytes, each user's stacks no more than a share of it. Who fills regions or
/// descriptor tables to keep acceld busy is left out, and the others are not.
/// </summary>
public sealed partial class LookBudget(LookLimits limits)
{
    private const int ThreadCpuTime = 3, Stride = 64;

    private readonly long _startedNs = CpuNs();
    private long _userStartedNs, _bytes, _userBytes;
    private bool _isUserOver;
    private int _asked;

    /// <summary>CPU time of this thread since the look began.</summary>
    public long SpentNs => CpuNs() - _startedNs;

    public bool IsOver => _bytes >= limits.Bytes || SpentNs >= limits.CpuNs;

    /// <summary>From here on it is this user's share.</summary>
    public void Begin()
    {
        _userStartedNs = CpuNs();
        _userBytes = 0;
        _isUserOver = IsOver;
    }

    public void Take(long bytes)
    {
        _bytes += bytes;
        _userBytes += bytes;
    }

    /// <summary>Asked often: the clock is looked at now and then.</summary>
    public bool GoesOn()
    {
        if (_isUserOver) return false;
        if (_userBytes >= limits.UserBytes || _bytes >= limits.Bytes) _isUserOver = true;
        else if (++_asked % Stride == 0)
        {
            long now = CpuNs();
            _isUserOver = now - _userStartedNs >= limits.UserCpuNs || now - _startedNs >= limits.CpuNs;
        }
        return !_isUserOver;
    }

    /// <summary>The user had more than its share.</summary>
    public bool IsUserOver => _isUserOver;

    private static long CpuNs()
    {
        _ = Time(ThreadCpuTime, out TimeSpec time);
        return time.Seconds * 1_000_000_000 + time.Nanoseconds;
    }

    private struct TimeSpec
    {
        public long Seconds;
        public long Nanoseconds;
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int Time(int clock, out TimeSpec time);
}

/// <summary>The bounds of one look.</summary>
public sealed record LookLimits
{
    /// <summary>Of all users together. Root's stacks come first, then by the users' numbers.</summary>
    public long CpuNs { get; init; } = 1_000_000_000;

    public long Bytes { get; init; } = 96 << 20;

    /// <summary>Of one user: some 65536 connections.</summary>
    public long UserCpuNs { get; init; } = 500_000_000;

    public long UserBytes { get; init; } = 64 << 20;

    /// <summary>What is said of regions that cannot be read.</summary>
    public int Notes { get; init; } = 32;
}
