using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// The threads of the stack that sleep until a frame comes. Links whose frames wake only whom they must (ring mode)
/// have to know whether there are any: a number that is too high costs time, one that is too low costs a frame's delay.
/// </summary>
[method: ColdPath]
public sealed unsafe class NicSleepers(PosixStack s, ILink[] links)
{
    /// <summary>AccelThread.Own: this thread is counted.</summary>
    private const int OwnCounted = 10;

    /// <summary>There are such links.</summary>
    public bool Matters { get; } = AnyRing(links);

    /// <summary>The thread is about to sleep, and will look at the links once more before.</summary>
    public void Enter(AccelThread* t)
    {
        if (!Matters)
            return;
        if (t->Own[OwnCounted] == 0)
        {
            t->Own[OwnCounted] = 1;
            // In this order, and the other in Leave: who is killed in between leaves a number that is too high.
            Add(1);
            Interlocked.Increment(ref s.S.ProcessAt(s.Slot)->SleepsForFrames);
        }
        Doze();
    }

    /// <summary>It does not sleep, or not any more. Needless calls do no harm.</summary>
    public void Leave(AccelThread* t)
    {
        if (t->Own[OwnCounted] == 0)
            return;
        t->Own[OwnCounted] = 0;
        ref int counted = ref s.S.ProcessAt(s.Slot)->SleepsForFrames;
        int threads = Volatile.Read(ref counted);
        // Not if the process is leaving, and has been buried: this thread was among those then.
        while (threads > 0)
        {
            int seen = Interlocked.CompareExchange(ref counted, threads - 1, threads);
            if (seen == threads)
            {
                Add(-1);
                return;
            }
            threads = seen;
        }
    }

    /// <summary>Of a process that has ended none sleeps.</summary>
    [ColdPath]
    public void Bury(ProcessSlot* process)
    {
        int threads = Interlocked.Exchange(ref process->SleepsForFrames, 0);
        if (threads != 0)
            Add(-threads);
    }

    /// <summary>For one who polls the descriptors themselves, and so sees what has come.</summary>
    public void Doze()
    {
        foreach (ILink link in links)
            link.Doze();
    }

    [ColdPath]
    private static bool AnyRing(ILink[] links)
    {
        bool any = false;
        foreach (ILink link in links)
            any |= link.Info->RingBytes != 0;
        return any;
    }

    private void Add(int threads)
    {
        foreach (ILink link in links)
            Interlocked.Add(ref link.Info->Sleepers, threads);
    }
}
