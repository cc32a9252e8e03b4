using Accel.Core.Nic;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// The library's own thread. While the program waits, its own threads move the connections on; this one does it while
/// the program computes, and keeps the timers. One process of the family ticks, the others stand by.
/// </summary>
public static unsafe class Progress
{
    /// <summary>While there is traffic: so long may what has arrived, or is queued, lie untouched.</summary>
    private const long TickNs = 2_000_000;

    /// <summary>For what is due sooner than that a tick is late.</summary>
    public const long LatestNs = 2 * TickNs;

    private const long KeepNs = 20_000_000;

    /// <summary>Without traffic for so long, the thread sleeps until the next frame or timer.</summary>
    private const long IdleNs = 100_000_000;

    /// <summary>The thread's one call, entered again after each sleep. 0: this process needs it no more.</summary>
    public static long Run(PosixStack s, AccelThread* t)
    {
        s.ProgressGate.Enter(s, t);
        long result = Round(s, t);
        s.ProgressGate.Exit();
        return result;
    }

    private static long Round(PosixStack s, AccelThread* t)
    {
        long now = s.Kernel.NowNs();
        if (s.Nic is not { } nic)
            return Keep(s, t, now);
        nic.Queues.Sleepers.Leave(t);
        bool isTicker = nic.IsTicker(t);
        if (isTicker)
            nic.Engine.ClearAlarm();
        if (nic.Tend(t, now))
            nic.WatchFamily(t);
        HandoverRequests.Look(s, t);
        s.Parked.Sweep(s);
        if (!isTicker)
            return Sleep(t, null, 0, now + Waits.WatchdogNs);
        if (now - nic.Engine.LastPollNs >= TickNs || nic.Engine.NextDeadline <= now)
            nic.PumpDry(t);
        if (now - nic.Engine.LastActivityNs < IdleNs)
            return Sleep(t, null, 0, now + TickNs);
        nic.WatchFamily(t);
        return SleepUntilDue(s, t, nic, now);
    }

    /// <summary>Until a frame comes, something is due, or the program makes something due earlier.</summary>
    private static long SleepUntilDue(PosixStack s, AccelThread* t, NicPath nic, long now)
    {
        // Counted: the first frame has to wake this thread, whoever else is awake: it has to tick from then on. And
        // what the hub's news gave cause to send has not left yet.
        if (nic.Settle(t))
        {
            nic.Queues.Sleepers.Leave(t);
            return Sleep(t, null, 0, now + TickNs);
        }
        PollFd* fds = (PollFd*)t->Wait.Small;
        uint count = nic.Queues.Descriptors(fds, AccelWait.SmallFds - 2);
        if (s.Hub >= 0)
            fds[count++] = new PollFd { Fd = s.Hub, Events = (short)Ev.IN };
        int waker = Wakers.OfThread(s, t);
        if (waker < 0)
            return Sleep(t, fds, count, Math.Min(nic.Engine.NextDeadline, now + KeepNs));
        Waker* alarm = s.S.WakerAt(waker);
        s.Kernel.DrainWaker(alarm->Descriptor);
        fds[count++] = new PollFd { Fd = alarm->Descriptor, Events = (short)Ev.IN };
        return Sleep(t, fds, count, nic.Engine.SetAlarm(now + Waits.WatchdogNs, alarm->Name));
    }

    /// <summary>Without interfaces it is there for sockets that others are to fetch.</summary>
    private static long Keep(PosixStack s, AccelThread* t, long now)
    {
        HandoverRequests.Look(s, t);
        s.Parked.Sweep(s);
        return Sleep(t, null, 0, now + (s.Parked.IsEmpty ? Waits.WatchdogNs : KeepNs));
    }

    private static long Sleep(AccelThread* t, PollFd* fds, uint count, long deadline)
    {
        AccelWait* w = &t->Wait;
        w->Fds = fds;
        w->FdCount = count;
        w->Deadline = deadline;
        w->Kind = AccelWait.SleepPoll;
        return AccelResult.Wait;
    }
}
