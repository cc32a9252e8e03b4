namespace Accel.Posix;

/// <summary>
/// When the links' doorbells ring for what a thread sends. Ringing is a system call, so a program that works through
/// events sends all that comes of one look at them together, when it comes back for more. A thread that computes in
/// between is found out and has its frames leave at once.
/// </summary>
public static unsafe class FlushTiming
{
    /// <summary>Words of the thread's own state: it works through events; since when a frame has waited; sends to go
    /// before waiting is tried again, and above that how many the last time.</summary>
    private const int OwnEvents = 4, OwnSince = 5, OwnHasty = 6;

    private const int FlushAt = 64;

    /// <summary>In spans between two looks at the kernel's events: a frame waits no longer while others are sent, and
    /// a thread that comes back later than that was computing.</summary>
    private const ulong LongestWait = 6, Computing = 16;
    private const ulong FirstHaste = 64, MostHaste = 1 << 16;

    /// <summary>The program got events, or found none.</summary>
    public static void OnEvents(AccelThread* t, long events) => t->Own[OwnEvents] = events > 0 ? 1u : 0u;

    /// <summary>True if the thread comes back for events soon, and what it sends may wait for that.</summary>
    public static bool MayWait(AccelThread* t) => t->Own[OwnEvents] != 0 && (t->Own[OwnHasty] & uint.MaxValue) == 0;

    /// <summary>Something was queued: true if the doorbell is to ring now.</summary>
    public static bool IsDue(AccelThread* t, int frames, ulong ticks, ulong span)
    {
        ulong hasty = t->Own[OwnHasty] & uint.MaxValue;
        if (hasty > 0)
        {
            t->Own[OwnHasty]--;
            return true;
        }
        if (t->Own[OwnEvents] == 0 || frames >= FlushAt)
        {
            t->Own[OwnSince] = 0;
            return true;
        }
        if (t->Own[OwnSince] == 0)
            t->Own[OwnSince] = ticks;
        else if (ticks - t->Own[OwnSince] > LongestWait * span)
        {
            t->Own[OwnSince] = 0;
            return true;
        }
        return false;
    }

    /// <summary>The thread is back for more events, and frames have waited for that.</summary>
    public static void OnWait(AccelThread* t, ulong ticks, ulong span)
    {
        ulong since = t->Own[OwnSince];
        t->Own[OwnSince] = 0;
        if (since == 0 || ticks - since <= Computing * span)
            return;
        ulong last = t->Own[OwnHasty] >> 32;
        ulong next = last == 0 ? FirstHaste : Math.Min(2 * last, MostHaste);
        t->Own[OwnHasty] = next << 32 | next;
    }
}
