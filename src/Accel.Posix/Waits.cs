using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using Accel.Core.Local;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// How a call waits for one socket: it spins a little, and then asks the C side to sleep and to call again.
/// </summary>
public static unsafe class Waits
{
    /// <summary>
    /// At most so long between two looks, whatever the doorbells do: a lost wake costs a second, not a hang.
    /// </summary>
    public const long WatchdogNs = 1_000_000_000;

    private const int StateSocket = 0, StateDeadline = 1, StateNeverRestart = 5;
    private const ulong NotNoted = 1ul << 32;
    private const int OwnSpin = 1, OwnWatched = 2, OwnSleepStart = 3;
    private const long AdaptiveSpinNs = 50_000;
    private const long ProbeEvery = 16;
    private const uint OneWayReceives = 16;
    private const int OneWayPauses = 48;

    /// <summary>The socket that a call works on: by descriptor at its first entry, by the remembered index after a
    /// sleep (the
    /// descriptor may have been closed meanwhile, which on Linux does not end the call).</summary>
    public static Socket* Begin(PosixStack s, AccelThread* t, int fd, out int index)
    {
        HandoverRequests.Look(s, t);
        if (t->Wait.Phase == 0)
            return s.Find(fd, out index);
        index = (int)t->Wait.State[StateSocket] - 1;
        if (index < 0)
            return s.Find(fd, out index);
        Woken(s, t);
        return s.S.SocketAt(index);
    }

    /// <summary>Ends a call: gives back the reference that its sleep held.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static long End(PosixStack s, AccelThread* t, int index, long result)
    {
        if (t->Wait.State[StateSocket] != 0)
            GiveBack(s, t, index);
        return result;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void GiveBack(PosixStack s, AccelThread* t, int index)
    {
        bool noted = (t->Wait.State[StateSocket] & NotNoted) == 0;
        t->Wait.State[StateSocket] = 0;
        if (noted)
        {
            Changes.Begin(s, t);
            s.S.WakerAt(Wakers.ExistingOfThread(t))->Socket = 0;
        }
        Sockets.Release(s, t, index);
        Changes.End(s, t);
    }

    /// <summary>
    /// The socket stays while the call sleeps. The waker says so to whoever buries the process, should it be killed.
    /// </summary>
    private static void Hold(PosixStack s, AccelThread* t, Socket* socket, int index)
    {
        if (t->Wait.State[StateSocket] != 0)
            return;
        Changes.Begin(s, t);
        Interlocked.Increment(ref socket->References);
        int waker = Wakers.ExistingOfThread(t);
        // No waker to be had, or a signal handler sleeps over a call that has noted its own there: nobody may count
        // references until this one is given back.
        if (waker < 0 || s.S.WakerAt(waker)->Socket != 0)
        {
            t->Wait.State[StateSocket] = NotNoted | (ulong)index + 1;
            return;
        }
        s.S.WakerAt(waker)->Socket = (uint)index + 1;
        t->Wait.State[StateSocket] = (ulong)index + 1;
        Changes.End(s, t);
    }

    /// <summary>When the call must give up, from SO_RCVTIMEO or SO_SNDTIMEO; -1: never.</summary>
    public static long Deadline(PosixStack s, AccelThread* t, long timeoutNs)
    {
        if (timeoutNs == 0)
            return -1;
        if (timeoutNs < 0)
            return 0;
        if (t->Wait.State[StateDeadline] == 0)
        {
            t->Wait.State[StateDeadline] = (ulong)(s.Kernel.NowNs() + timeoutNs);
            // signal(7): a call on a socket with a timeout is never restarted.
            t->Wait.State[StateNeverRestart] = 1;
        }
        return (long)t->Wait.State[StateDeadline];
    }

    /// <summary>Looks at the socket until one of the events is there. False if it is time to sleep.</summary>
    public static bool Spin(PosixStack s, AccelThread* t, Socket* socket, uint events)
    {
        // A signal must get through even if the socket is always ready and the call can do nothing about it.
        if (Volatile.Read(ref t->Pending) != 0)
            return false;
        long budget = Budget(s, t);
        if (budget == 0 || t->Wait.Phase != 0 && s.SpinNs < 0)
            return false;
        if (s.SpinNs < 0 && SharesCpu(s, socket))
            return false;
        long end = s.Kernel.NowNs() + budget;
        var clock = new SpinClock(s);
        if (socket->OneWay > OneWayReceives && (events & Ev.IN) != 0)
            LetSenderGetAhead();
        while (true)
        {
            for (int i = 0; i < 32; i++)
            {
                if ((i & 3) == 0 && s.Nic is { } nic && nic.Pump(t))
                    clock.LeaveOut(nic.LastRoundTicks);
                if ((Readiness.Mask(s, socket, events) & events) != 0)
                {
                    s.CountHot(t, Counter.SpinHits);
                    clock.Note(s, t);
                    return true;
                }
                X86Base.Pause();
            }
            clock.Note(s, t);
            if (Volatile.Read(ref t->Pending) != 0)
                return false;
            if (s.Kernel.NowNs() >= end)
            {
                s.CountHot(t, Counter.SpinMisses);
                return false;
            }
        }
    }

    /// <summary>
    /// A reader that answers nothing and empties the ring after each small write makes every write a cache miss for
    /// both. A fraction of a microsecond is enough for the writer to put several into the lines that it has.
    /// </summary>
    private static void LetSenderGetAhead()
    {
        for (int i = 0; i < OneWayPauses; i++)
            X86Base.Pause();
    }

    /// <summary>
    /// Nanoseconds that the calling thread may spin now. The adaptive spin is off while it has not paid lately.
    /// </summary>
    public static long Budget(PosixStack s, AccelThread* t)
    {
        if (s.SpinNs >= 0)
            return s.SpinNs;
        // Own[OwnSpin]: low half: sleeps since spinning was given up (0 = it is on).
        ulong off = t->Own[OwnSpin];
        if (off == 0)
            return AdaptiveSpinNs;
        t->Own[OwnSpin] = off + 1;
        return off % ProbeEvery == 0 ? AdaptiveSpinNs : 0;
    }

    /// <summary>
    /// Learns from how a wait ended: an event soon after falling asleep says that spinning would have caught it.
    /// </summary>
    public static void Learn(PosixStack s, AccelThread* t)
    {
        s.Nic?.Queues.Sleepers.Leave(t);
        if (s.SpinNs >= 0 || t->Own[OwnSleepStart] == 0)
            return;
        long slept = s.Kernel.NowNs() - (long)t->Own[OwnSleepStart];
        t->Own[OwnSleepStart] = 0;
        if (slept < 2 * AdaptiveSpinNs)
            t->Own[OwnSpin] = 0;
        else if (t->Own[OwnSpin] == 0)
            t->Own[OwnSpin] = 1;
    }

    /// <summary>Notes that the thread goes to sleep, for <see cref="Learn"/>.</summary>
    public static void NoteSleep(PosixStack s, AccelThread* t)
    {
        s.CountHot(t, Counter.Sleeps);
        if (s.SpinNs < 0)
            t->Own[OwnSleepStart] = (ulong)s.Kernel.NowNs();
        if (s.Nic is { } nic)
            t->Wait.Deadline = nic.HasLateFrames ? 0 : nic.Timekeeping(t, t->Wait.Deadline);
    }

    /// <summary>
    /// True if the other end last waited on the CPU that this thread runs on: spinning would only keep it from running.
    /// </summary>
    public static bool SharesCpu(PosixStack s, Socket* socket)
    {
        uint cpu = s.Kernel.Cpu() + 1;
        if (socket->State == (uint)SocketState.Listening && s.Region(socket->Region) is { IsMapped: true } region)
        {
            Listener* listener = region.ListenerAt((int)socket->Index);
            listener->Cpu = cpu;
            return Volatile.Read(ref listener->ClientCpu) == cpu;
        }
        if (socket->State != (uint)SocketState.Connected || !s.Sides(socket, out Wire wire))
            return false;
        if (wire.Me->Cpu != cpu)
            wire.Me->Cpu = cpu;
        return Volatile.Read(ref wire.Peer->Cpu) == cpu;
    }

    /// <summary>
    /// Prepares to sleep until one of the events, the deadline or a signal. Returns ACCEL_WAIT, or 0 if an event came
    /// meanwhile
    /// and the caller should try again.
    /// </summary>
    public static long Sleep(PosixStack s, AccelThread* t, Socket* socket, int index, uint events, long deadline)
    {
        s.Peers.Refresh(t);
        // What the pump takes in ends most waits over an interface: then there is nothing to announce.
        if (s.Nic is { } path && path.PumpDry(t) && (Readiness.Mask(s, socket, events) & events) != 0
            && Volatile.Read(ref t->Pending) == 0)
            return 0;
        AccelWait* w = &t->Wait;
        PollFd* fds = (PollFd*)w->Small;
        uint count = 0;
        int waker = Wakers.OfThread(s, t);
        if (waker >= 0)
        {
            int bell = Wakers.BellIn(s, t, waker, socket->Region);
            if (bell >= 0)
                WatchFromThread(s, t, socket, (uint)bell);
            fds[count++] = new PollFd { Fd = s.S.WakerAt(waker)->Descriptor, Events = (short)Ev.IN };
        }
        if (s.Hub >= 0)
            fds[count++] = new PollFd { Fd = s.Hub, Events = (short)Ev.IN };
        if (s.Nic is { } nic)
            count += nic.Queues.SleepOn(fds + count);
        if (Sockets.HasKernelSide(socket))
            fds[count++] = new PollFd { Fd = Sockets.KernelDescriptor(s, index), Events = (short)Ev.IN };
        if (waker >= 0)
        {
            Wakers.Announce(s, t, s.S.WakerAt(waker));
            if ((((Readiness.Mask(s, socket, events) & events) != 0) | LocalArrival.IsDue(s, socket))
                && Volatile.Read(ref t->Pending) == 0)
            {
                Wakers.Retract(s, t, s.S.WakerAt(waker));
                return 0;
            }
        }
        // What has come since the pump ends the sleep as it begins: the descriptors tell.
        s.Nic?.Queues.Sleepers.Enter(t);
        Hold(s, t, socket, index);
        long watchdog = s.Kernel.NowNs() + (waker < 0 ? WatchdogNs / 100 : WatchdogNs);
        w->Deadline = deadline < 0 ? watchdog : Math.Min(deadline, watchdog);
        w->Kind = AccelWait.SleepPoll;
        w->Fds = fds;
        w->FdCount = count;
        NoteSleep(s, t);
        return AccelResult.Wait;
    }

    /// <summary>Sleeps until a descriptor of the kernel's is ready: the other end of a splice().</summary>
    public static long SleepOnFile(PosixStack s, AccelThread* t, Socket* socket, int index, int fd, uint events)
    {
        AccelWait* w = &t->Wait;
        PollFd* fds = (PollFd*)w->Small;
        fds[0] = new PollFd { Fd = fd, Events = (short)events };
        int waker = Wakers.ExistingOfThread(t);
        if (waker >= 0)
            Wakers.Announce(s, t, s.S.WakerAt(waker));
        Hold(s, t, socket, index);
        w->Deadline = -1;
        w->Kind = AccelWait.SleepPoll;
        w->Fds = fds;
        w->FdCount = 1;
        return AccelResult.Wait;
    }

    /// <summary>After a sleep on one socket: takes the announcement back and the wakes out of the waker.</summary>
    private static void Woken(PosixStack s, AccelThread* t)
    {
        Learn(s, t);
        int waker = Wakers.ExistingOfThread(t);
        if (waker < 0)
            return;
        Waker* w = s.S.WakerAt(waker);
        Wakers.Retract(s, t, w);
        AccelWait* wait = &t->Wait;
        PollFd* fds = (PollFd*)wait->Small;
        for (uint i = 0; i < wait->FdCount && wait->Result > 0; i++)
        {
            if (fds[i].Revents == 0)
                continue;
            if (fds[i].Fd == w->Descriptor)
                TakeWakes(s, t, w);
            else if (fds[i].Fd == s.Hub)
                s.Peers.OnHub(t);
            else
                s.Nic?.Pump(t);
        }
    }

    public static void TakeWakes(PosixStack s, AccelThread* t, Waker* waker)
    {
        s.Kernel.TakeWake(waker->Descriptor);
        s.CountHot(t, Counter.WakesReceived);
    }

    /// <summary>Registers the thread's doorbell with a socket. It stays there until the thread waits for another
    /// socket, so that a
    /// thread that blocks on one socket again and again registers once.</summary>
    private static void WatchFromThread(PosixStack s, AccelThread* t, Socket* socket, uint bell)
    {
        if (!Notifier.WatchWords(s, socket, out uint* watch, out ushort* bells, out int source))
            return;
        ulong watched = (ulong)socket->Region << 32 | (uint)(source + 1);
        if (t->Own[OwnWatched] != watched)
            ForgetWatched(s, t);
        t->Own[OwnWatched] = watched;
        Notifier.Watch(watch, bells, bell, armed: false);
    }

    /// <summary>Takes the thread's doorbell from the socket it last waited for.</summary>
    public static void ForgetWatched(PosixStack s, AccelThread* t)
    {
        ulong watched = t->Own[OwnWatched];
        int waker = Wakers.ExistingOfThread(t);
        if (watched == 0 || waker < 0)
            return;
        t->Own[OwnWatched] = 0;
        uint regionIndex = (uint)(watched >> 32);
        int source = (int)(uint)watched - 1;
        LocalRegion region = s.Region(regionIndex);
        int bell = region.IsMapped ? Wakers.BellIn(s, t, waker, regionIndex) : -1;
        if (bell < 0)
            return;
        if (source >= LocalRegion.ListenerSource)
        {
            Listener* listener = region.ListenerAt(source - LocalRegion.ListenerSource);
            Notifier.Unwatch(&listener->Watch, listener->Bells, (uint)bell);
        }
        else
        {
            Side* side = LocalRegion.SideOf(region.ConnAt(source >> 1), source & 1);
            Notifier.Unwatch(&side->Watch, side->Bells, (uint)bell);
        }
    }

    /// <summary>
    /// The sleep was interrupted by a signal whose handler must be seen: the call ends with what it has done.
    /// </summary>
    public static long Abort(PosixStack s, AccelThread* t)
    {
        AccelWait* w = &t->Wait;
        s.Count(t, Counter.Interrupted);
        t->Own[OwnSleepStart] = 0;
        s.Nic?.Queues.Sleepers.Leave(t);
        w->Result = 0;
        if (w->Kind == AccelWait.SleepEpoll)
            return EpollSets.Abort(s, t);
        if (w->State[PollCalls.StatePolling] != 0)
            return PollCalls.Abort(s, t);
        int index = (int)w->State[StateSocket] - 1;
        if (index >= 0)
        {
            Woken(s, t);
            ZeroCopyNotices.Interrupted(s, t, s.S.SocketAt(index));
            End(s, t, index, 0);
        }
        return w->Done > 0 ? (long)w->Done : -Errno.EINTR;
    }
}
