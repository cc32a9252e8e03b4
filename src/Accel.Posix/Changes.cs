using System.Runtime.CompilerServices;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// What refers to a socket is counted in one place and noted in another: descriptors, sleeping calls, messages on their
/// way. A process may be killed between the two, and then the count says more or less than there is. So each thread
/// says that it is between them. Whoever buries a process finds that one of its threads was, and has everything counted
/// anew (<see cref="Audit"/>); which is done when no thread of the others is between the two, so that the notes are
/// true.
/// </summary>
internal static unsafe class Changes
{
    private const int OwnDepth = 8;

    /// <summary>Counts and notes may disagree until <see cref="End"/>. May be nested.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Begin(PosixStack s, AccelThread* t)
    {
        if (t->Own[OwnDepth]++ == 0)
            BeginOuter(s);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void BeginOuter(PosixStack s)
    {
        ref int changing = ref s.S.ProcessAt(s.Slot)->Changing;
        // A full fence: the auditor sees this, or this thread sees the auditor.
        Interlocked.Increment(ref changing);
        while (Volatile.Read(ref s.S.Tables->Auditor) != 0)
        {
            Interlocked.Decrement(ref changing);
            GiveWay(s);
            Interlocked.Increment(ref changing);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void End(PosixStack s, AccelThread* t)
    {
        if (--t->Own[OwnDepth] == 0)
            Interlocked.Decrement(ref s.S.ProcessAt(s.Slot)->Changing);
    }

    public static bool IsInside(AccelThread* t) => t->Own[OwnDepth] != 0;

    [ColdPath]
    private static void GiveWay(PosixStack s)
    {
        for (int auditor; (auditor = Volatile.Read(ref s.S.Tables->Auditor)) != 0;)
        {
            if (!s.Kernel.IsThreadAlive(auditor))
                Interlocked.CompareExchange(ref s.S.Tables->Auditor, 0, auditor);
            else
                s.Kernel.Yield();
        }
    }

    /// <summary>
    /// As <see cref="Begin"/>, for the auditor itself: true when nobody but it is between the two, and nobody will be
    /// until it leaves. False: somebody takes long. <see cref="End"/> in any case.
    /// </summary>
    public static bool BeginAlone(PosixStack s, AccelThread* t)
    {
        const long MostNs = 5_000_000;
        t->Own[OwnDepth]++;
        Interlocked.Increment(ref s.S.ProcessAt(s.Slot)->Changing);
        long end = s.Kernel.NowNs() + MostNs;
        for (int slot = 0; slot < StackRegion.MaxProcesses;)
        {
            ProcessSlot* process = s.S.ProcessAt(slot);
            if (process->State == ProcessSlot.Unused
                || Volatile.Read(ref process->Changing) <= (slot == s.Slot ? 1 : 0)
                // Its notes are still there, and when it is buried all is counted again.
                || (process->Pid > 0 && PeerTable.HasEnded(s, process->Pid, process->StartTime)))
                slot++;
            else if (s.Kernel.NowNs() > end)
                return false;
            else
                s.Kernel.Yield();
        }
        return true;
    }
}
