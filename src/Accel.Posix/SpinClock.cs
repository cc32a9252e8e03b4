using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// Counts the time that a thread looks at its sockets in vain, so that a busy CPU is explained. Its own cost is two
/// reads of the time stamp counter for each spin.
/// </summary>
internal unsafe struct SpinClock(PosixStack s)
{
    private ulong _since = s.Kernel.Ticks();

    /// <summary>A round of the network path is no spinning.</summary>
    public void LeaveOut(ulong ticks) => _since += ticks;

    /// <summary>Counts what went by since the beginning, or since the last time.</summary>
    public void Note(PosixStack s, AccelThread* t) => Note(s, t, s.Kernel.Ticks());

    public void Note(PosixStack s, AccelThread* t, ulong ticks)
    {
        long spun = (long)(ticks - _since);
        _since = ticks;
        // Another thread's round may have been left out, too.
        if (spun > 0)
            s.CountTime(t, Counter.SpinNs, (ulong)spun);
    }
}
