using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// Slots of fork children whose parent ended before it could say who they are, or that there is none: a child notes its
/// pid itself, and one that has not after a long time never was.
/// </summary>
[ColdPath]
internal static unsafe class Orphans
{
    private const long PatienceNs = 10_000_000_000;
    private const int NeverWas = -1;

    /// <summary>Under the stack lock: a process ends.</summary>
    public static void Of(PosixStack s, int parent)
    {
        for (int i = 0; i < StackRegion.MaxProcesses; i++)
        {
            ProcessSlot* slot = s.S.ProcessAt(i);
            if (slot->State != ProcessSlot.Reserved || slot->Parent != (uint)parent + 1)
                continue;
            slot->StartedNs = s.Kernel.NowNs();
            slot->Parent = 0;
            Volatile.Write(ref s.S.Tables->Orphans, 1);
        }
    }

    /// <summary>Without any lock.</summary>
    public static void Look(PosixStack s, AccelThread* t)
    {
        if (Volatile.Read(ref s.S.Tables->Orphans) == 0 || t->Tid == 0)
            return;
        s.LockStack(t);
        uint left = 0;
        for (int i = 0; i < StackRegion.MaxProcesses; i++)
        {
            ProcessSlot* slot = s.S.ProcessAt(i);
            if (slot->State == ProcessSlot.Reserved && slot->Parent == 0 && !IsSettled(s, t, i, slot))
                left = 1;
        }
        s.S.Tables->Orphans = left;
        s.UnlockStack(t);
    }

    private static bool IsSettled(PosixStack s, AccelThread* t, int index, ProcessSlot* slot)
    {
        int pid = Volatile.Read(ref slot->Pid);
        if (pid > 0)
        {
            Processes.Enter(s, index, pid);
            return true;
        }
        // One that comes after all finds this, and goes on without the stack.
        if (s.Kernel.NowNs() - slot->StartedNs < PatienceNs
            || Interlocked.CompareExchange(ref slot->Pid, NeverWas, 0) != 0)
            return false;
        Changes.Begin(s, t);
        Sockets.ReleaseTable(s, t, index);
        Changes.End(s, t);
        Volatile.Write(ref slot->State, ProcessSlot.Unused);
        return true;
    }
}
