using System.Numerics;
using System.Runtime.InteropServices;

namespace Accel.Core.Memory;

/// <summary>
/// The lock of a whole stack, with work that others left to its holder: a process slot to be buried is noted by whoever
/// finds the lock taken, and done by the holder on its way out. Whoever has to wait long sleeps. A holder that died is
/// found out and its lock taken over, with what was left to it.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 64)]
public unsafe struct StackLock
{
    public const int Slots = 256;
    private const int Words = Slots / 64, SpinsBeforeYield = 100, YieldsBeforeSleep = 64;

    /// <summary>0 = free, else the kernel thread id of the holder.</summary>
    [FieldOffset(0)] public int Word;

    /// <summary>Somebody sleeps until the word changes. A flag, since a counter would not survive a sleeper.</summary>
    [FieldOffset(4)] public int Sleeping;

    /// <summary>A bit per process slot: work left to the holder.</summary>
    [FieldOffset(8)] public fixed ulong Deferred[Words];

    /// <summary>
    /// Takes the lock. Returns false if it was taken over from a dead holder (state under it may be half-changed).
    /// </summary>
    public static bool Enter(StackLock* l, int tid, ILiveness liveness)
    {
        for (int round = 0; ; round++)
        {
            for (int spin = 0; spin < SpinsBeforeYield; spin++)
            {
                if (TryEnter(l, tid))
                    return true;
                System.Runtime.Intrinsics.X86.X86Base.Pause();
            }
            if (round < YieldsBeforeSleep)
            {
                liveness.Yield();
                continue;
            }
            int holder = Volatile.Read(ref l->Word);
            if (holder == 0)
                continue;
            Interlocked.Exchange(ref l->Sleeping, 1);
            // Ends in any case: the holder may die, or leave and come back before this thread is asleep.
            liveness.Sleep(&l->Word, holder);
            if (TakeFromDead(l, tid, liveness))
                return false;
        }
    }

    /// <summary>Takes the lock only if it is free.</summary>
    public static bool TryEnter(StackLock* l, int tid) =>
        Volatile.Read(ref l->Word) == 0 && Interlocked.CompareExchange(ref l->Word, tid, 0) == 0;

    /// <summary>
    /// Leaves a slot to the holder, or takes the lock if there is none that lives. Returns true if the caller is the
    /// holder now, who finds the slot on its way out.
    /// </summary>
    public static bool Defer(StackLock* l, int slot, int tid, ILiveness liveness)
    {
        if ((uint)slot >= Slots)
            return false;
        // A full fence: who leaves after this sees the slot, and who has left is seen to have.
        Interlocked.Or(ref l->Deferred[slot / 64], 1ul << (slot % 64));
        if (TryEnter(l, tid))
            return true;
        int holder = Volatile.Read(ref l->Word);
        return holder != tid && TakeFromDead(l, tid, liveness);
    }

    /// <summary>
    /// Leaves the lock. Returns -1 if it is left; else a slot that was left to the holder, who still holds the lock:
    /// it does the work, says so with <see cref="Done"/>, and leaves again.
    /// </summary>
    public static int Exit(StackLock* l, int tid, ILiveness liveness)
    {
        do
        {
            int slot = FirstDeferred(l);
            if (slot >= 0)
                return slot;
            Interlocked.Exchange(ref l->Word, 0);
            if (Volatile.Read(ref l->Sleeping) != 0 && Interlocked.Exchange(ref l->Sleeping, 0) != 0)
                liveness.Wake(&l->Word);
            // What was left between the look and the exit is the next holder's, or else still this thread's.
        }
        while (FirstDeferred(l) >= 0 && TryEnter(l, tid));
        return -1;
    }

    /// <summary>The work of a slot is done. Not before: should the holder die of it, the next one finds it.</summary>
    public static void Done(StackLock* l, int slot) =>
        Interlocked.And(ref l->Deferred[slot / 64], ~(1ul << (slot % 64)));

    private static int FirstDeferred(StackLock* l)
    {
        if ((Volatile.Read(ref l->Deferred[0]) | Volatile.Read(ref l->Deferred[1])
            | Volatile.Read(ref l->Deferred[2]) | Volatile.Read(ref l->Deferred[3])) == 0)
            return -1;
        for (int i = 0; i < Words; i++)
        {
            ulong bits = Volatile.Read(ref l->Deferred[i]);
            if (bits != 0)
                return i * 64 + BitOperations.TrailingZeroCount(bits);
        }
        return -1;
    }

    /// <summary>
    /// A thread is gone, but its id is not: it ran exec(), or another thread did and took its id. What it held is
    /// found to be a dead thread's.
    /// </summary>
    public static void Abandon(StackLock* l, int tid) => SharedLock.Abandon(ref l->Word, tid);

    /// <summary>Takes the lock only if its holder has died. What it guards may be half-changed.</summary>
    public static bool TakeFromDead(StackLock* l, int tid, ILiveness liveness)
    {
        int holder = Volatile.Read(ref l->Word);
        return holder != 0 && (holder == tid || !liveness.IsThreadAlive(holder))
            && Interlocked.CompareExchange(ref l->Word, tid, holder) == holder;
    }
}
