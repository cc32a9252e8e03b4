namespace Accel.Core.Memory;

/// <summary>Tells whether the thread that a lock word names is still there.</summary>
public unsafe interface ILiveness
{
    /// <summary>False only if no thread of that id exists any more.</summary>
    bool IsThreadAlive(int tid);

    /// <summary>Lets another thread of this CPU run.</summary>
    void Yield();

    /// <summary>Sleeps for some milliseconds, or until somebody wakes the word; not if it has another value.</summary>
    void Sleep(int* word, int value);

    /// <summary>Wakes all, of any process, who sleep on a word of shared memory.</summary>
    void Wake(int* word);
}

/// <summary>
/// A mutual-exclusion word in shared memory: 0 = free, else the kernel thread id of the holder. Held for tens of
/// nanoseconds, so a contender spins and yields; a holder that died is found out and its lock taken over.
/// </summary>
public static unsafe class SharedLock
{
    private const int SpinsBeforeYield = 100;
    private const int YieldsBeforeCheck = 2000;

    /// <summary>
    /// Takes the lock. Returns false if it was taken over from a dead holder (state under it may be half-changed).
    /// </summary>
    public static bool Enter(ref int word, int tid, ILiveness liveness)
    {
        if (Interlocked.CompareExchange(ref word, tid, 0) == 0)
            return true;
        return Contend(ref word, tid, liveness);
    }

    /// <summary>Takes the lock only if it is free.</summary>
    public static bool TryEnter(ref int word, int tid) => Interlocked.CompareExchange(ref word, tid, 0) == 0;

    /// <summary>Takes the lock if it is free, or its holder has died.</summary>
    public static bool TryEnter(ref int word, int tid, ILiveness liveness)
    {
        int holder = Volatile.Read(ref word);
        return (holder == 0 || !liveness.IsThreadAlive(holder))
            && Interlocked.CompareExchange(ref word, tid, holder) == holder;
    }

    public static void Exit(ref int word) => Volatile.Write(ref word, 0);

    /// <summary>
    /// A thread is gone, but its id is not: exec() gives the id of the process to the thread that called it. What it
    /// held is found to be a dead thread's.
    /// </summary>
    public static void Abandon(ref int word, int tid)
    {
        // Above any thread id that Linux gives out.
        const int nobody = int.MaxValue;
        if (Volatile.Read(ref word) == tid)
            Interlocked.CompareExchange(ref word, nobody, tid);
    }

    private static bool Contend(ref int word, int tid, ILiveness liveness)
    {
        for (int round = 1; ; round++)
        {
            for (int spin = 0; spin < SpinsBeforeYield; spin++)
            {
                if (Volatile.Read(ref word) == 0 && Interlocked.CompareExchange(ref word, tid, 0) == 0)
                    return true;
                System.Runtime.Intrinsics.X86.X86Base.Pause();
            }
            liveness.Yield();
            if (round % YieldsBeforeCheck != 0)
                continue;
            int holder = Volatile.Read(ref word);
            if (holder != 0 && (holder == tid || !liveness.IsThreadAlive(holder))
                && Interlocked.CompareExchange(ref word, tid, holder) == holder)
                return false;
        }
    }
}
