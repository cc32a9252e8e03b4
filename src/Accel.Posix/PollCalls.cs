using System.Runtime.Intrinsics.X86;
using Accel.Core.Local;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>poll() and ppoll(), and select() in their form, on sets with accelerated descriptors.</summary>
public static unsafe class PollCalls
{
    /// <summary>Word of wait.state that says that a poll sleeps: the descriptors plus one.</summary>
    public const int StatePolling = 4;

    private const int StateDeadline = 1, StateWatching = 2, StateArray = 3;
    /// <summary>Descriptors of ours at the end of a sleep's array: waker and hub, then queues. Room for them is made in
    /// ready.c.</summary>
    private const uint Extra = 2, MaxExtra = 8;

    private const uint Always = Ev.ERR | Ev.HUP | Ev.NVAL;

    public static long Poll(PosixStack s, AccelThread* t, PollFd* fds, uint count, long timeoutNs)
    {
        if (count > 0 && (ulong)fds < 4096)
            return -Errno.EFAULT;
        bool slept = t->Wait.State[StatePolling] != 0;
        HandoverRequests.Look(s, t);
        if (slept)
            Woken(s, t, count);
        else
            s.CountHot(t, Counter.PollCalls);
        long now = s.Kernel.NowNs();
        if (timeoutNs > 0 && t->Wait.State[StateDeadline] == 0)
            t->Wait.State[StateDeadline] = (ulong)(timeoutNs > long.MaxValue - now ? long.MaxValue : now + timeoutNs);
        long deadline = timeoutNs < 0 ? long.MaxValue : timeoutNs == 0 ? 0 : (long)t->Wait.State[StateDeadline];
        s.Nic?.Pump(t);
        int ready = Look(s, t, fds, count, slept);
        if (ready != 0 || now >= deadline)
            return Finish(s, t, fds, count, ready);
        if (!slept || s.SpinNs > 0)
        {
            ready = Spin(s, t, fds, count, Math.Min(now + Waits.Budget(s, t), deadline), now);
            if (ready != 0)
                return Finish(s, t, fds, count, ready);
        }
        return Sleep(s, t, fds, count, deadline);
    }

    /// <summary>What is true of what an entry asks for.</summary>
    private static uint Asked(PosixStack s, Socket* socket, short events)
    {
        uint asked = (ushort)events | Always;
        return Readiness.Mask(s, socket, asked) & asked;
    }

    private static bool IsOurs(PosixStack s, int fd, out Socket* socket)
    {
        socket = s.Find(fd, out _);
        return socket != null;
    }

    /// <summary>Fills in what is ready now. Returns how many descriptors are.</summary>
    private static int Look(PosixStack s, AccelThread* t, PollFd* fds, uint count, bool kernelKnown)
    {
        int ready = 0;
        bool kernel = false;
        for (uint i = 0; i < count; i++)
        {
            if (!IsOurs(s, fds[i].Fd, out Socket* socket))
            {
                fds[i].Revents = 0;
                kernel |= fds[i].Fd >= 0;
                continue;
            }
            kernel |= Sockets.HasKernelSide(socket);
            fds[i].Revents = (short)Asked(s, socket, fds[i].Events);
            if (fds[i].Revents != 0)
                ready++;
        }
        return kernel ? AskKernel(s, t, fds, count, kernelKnown) : ready;
    }

    /// <summary>Adds what the kernel knows: from the sleep that just ended, or by asking now.</summary>
    private static int AskKernel(PosixStack s, AccelThread* t, PollFd* fds, uint count, bool known)
    {
        if (count > t->ScratchFds)
            return 0;
        PollFd* scratch = t->Scratch;
        if (!known)
        {
            CopyKernelPart(s, fds, count, scratch);
            s.Kernel.Poll(scratch, count);
        }
        int ready = 0;
        for (uint i = 0; i < count; i++)
        {
            bool ours = IsOurs(s, fds[i].Fd, out Socket* socket);
            if (!ours)
                fds[i].Revents = fds[i].Fd < 0 ? (short)0 : scratch[i].Revents;
            else if (Sockets.HasKernelSide(socket) && scratch[i].Fd >= 0)
            {
                fds[i].Revents |= (short)(scratch[i].Revents & ((ushort)fds[i].Events | Always));
                if ((scratch[i].Revents & (short)Ev.ERR) != 0)
                    UdpSockets.ErrorSeen(s, socket);
            }
            if (fds[i].Revents != 0)
                ready++;
        }
        return ready;
    }

    private static void CopyKernelPart(PosixStack s, PollFd* fds, uint count, PollFd* scratch)
    {
        for (uint i = 0; i < count; i++)
        {
            bool ours = IsOurs(s, fds[i].Fd, out Socket* socket) && !Sockets.HasKernelSide(socket);
            scratch[i] = new PollFd { Fd = ours ? -1 : fds[i].Fd, Events = fds[i].Events };
        }
    }

    private static int Spin(PosixStack s, AccelThread* t, PollFd* fds, uint count, long end, long now)
    {
        if (end <= now)
            return 0;
        for (uint i = 0; i < count && s.SpinNs < 0; i++)
        {
            if (IsOurs(s, fds[i].Fd, out Socket* socket) && Waits.SharesCpu(s, socket))
                return 0;
        }
        var clock = new SpinClock(s);
        while (Volatile.Read(ref t->Pending) == 0 && s.Kernel.NowNs() < end)
        {
            for (int turn = 0; turn < 16; turn++)
            {
                if (s.Nic is { } nic && nic.Pump(t))
                    clock.LeaveOut(nic.LastRoundTicks);
                for (uint i = 0; i < count; i++)
                {
                    if (IsOurs(s, fds[i].Fd, out Socket* socket)
                        && Asked(s, socket, fds[i].Events) != 0)
                    {
                        s.CountHot(t, Counter.SpinHits);
                        clock.Note(s, t);
                        return Look(s, t, fds, count, kernelKnown: false);
                    }
                }
                X86Base.Pause();
            }
            clock.Note(s, t);
        }
        s.CountHot(t, Counter.SpinMisses);
        return Look(s, t, fds, count, kernelKnown: false);
    }

    private static long Sleep(PosixStack s, AccelThread* t, PollFd* fds, uint count, long deadline)
    {
        if (count + MaxExtra > t->ScratchFds)
            return -Errno.ENOMEM;
        int waker = Wakers.OfThread(s, t);
        PollFd* scratch = t->Scratch;
        CopyKernelPart(s, fds, count, scratch);
        if (waker >= 0 && t->Wait.State[StateWatching] == 0)
        {
            Waits.ForgetWatched(s, t);
            WatchAll(s, t, fds, count, waker, true);
            t->Wait.State[StateWatching] = 1;
            t->Wait.State[StateArray] = (ulong)fds;
        }
        s.Peers.Refresh(t);
        s.Nic?.Settle(t);
        scratch[count] = new PollFd { Fd = waker < 0 ? -1 : s.S.WakerAt(waker)->Descriptor, Events = (short)Ev.IN };
        scratch[count + 1] = new PollFd { Fd = s.Hub, Events = (short)Ev.IN };
        uint links = s.Nic == null ? 0 : s.Nic.Queues.SleepOn(scratch + count + Extra);
        t->Wait.State[StatePolling] = count + 1ul;
        if (waker >= 0)
            Wakers.Announce(s, t, s.S.WakerAt(waker));
        AnnounceSets(s, t, fds, count, true);
        int ready = LookAtOurs(s, fds, count);
        if (ready == 0 && s.ArrivalsDue)
        {
            // What has gone to the kernel has to be among those that the kernel is asked for.
            Undo(s, t, fds, count);
            HandoverRequests.Look(s, t);
            return Sleep(s, t, fds, count, deadline);
        }
        if (ready != 0)
        {
            Undo(s, t, fds, count);
            ready = Look(s, t, fds, count, kernelKnown: false);
            t->Wait.State[StatePolling] = 0;
            return Finish(s, t, fds, count, ready);
        }
        long watchdog = s.Kernel.NowNs() + (waker < 0 ? Waits.WatchdogNs / 100 : Waits.WatchdogNs);
        t->Wait.Deadline = Math.Min(deadline, watchdog);
        t->Wait.Kind = AccelWait.SleepPoll;
        t->Wait.Fds = scratch;
        t->Wait.FdCount = count + Extra + links;
        Waits.NoteSleep(s, t);
        return AccelResult.Wait;
    }

    private static int LookAtOurs(PosixStack s, PollFd* fds, uint count)
    {
        int ready = 0;
        for (uint i = 0; i < count; i++)
        {
            if (IsOurs(s, fds[i].Fd, out Socket* socket)
                && Asked(s, socket, fds[i].Events) != 0)
                ready++;
            else if (s.Entry(fds[i].Fd) is var entry && entry >> 24 == DescriptorEntry.KindEpoll
                && EpollJudge.NestedReady(s, DescriptorEntry.Index(entry)))
                ready++;
        }
        return ready;
    }

    private static void WatchAll(PosixStack s, AccelThread* t, PollFd* fds, uint count, int waker, bool on)
    {
        for (uint i = 0; i < count; i++)
        {
            if (!IsOurs(s, fds[i].Fd, out Socket* socket)
                || !Notifier.WatchWords(s, socket, out uint* watch, out ushort* bells, out _))
                continue;
            int bell = Wakers.BellIn(s, t, waker, socket->Region);
            if (bell < 0)
                continue;
            if (on)
                Notifier.Watch(watch, bells, (uint)bell, armed: false);
            else
                Notifier.Unwatch(watch, bells, (uint)bell);
        }
    }

    /// <summary>Epoll sets in the poll set sleep with us.</summary>
    private static void AnnounceSets(PosixStack s, AccelThread* t, PollFd* fds, uint count, bool on)
    {
        for (uint i = 0; i < count; i++)
        {
            uint entry = s.Entry(fds[i].Fd);
            if (entry >> 24 != DescriptorEntry.KindEpoll)
                continue;
            Waker* waker = s.S.WakerAt((int)s.S.EpollSetAt(DescriptorEntry.Index(entry))->Waker);
            if (on)
                Wakers.Announce(s, t, waker);
            else
                Wakers.Retract(s, t, waker);
        }
    }

    private static void Undo(PosixStack s, AccelThread* t, PollFd* fds, uint count)
    {
        int waker = Wakers.ExistingOfThread(t);
        if (waker >= 0)
            Wakers.Retract(s, t, s.S.WakerAt(waker));
        AnnounceSets(s, t, fds, count, false);
        s.Nic?.Queues.Sleepers.Leave(t);
    }

    private static void Woken(PosixStack s, AccelThread* t, uint count)
    {
        Waits.Learn(s, t);
        // The sets announced themselves by descriptor; scratch still has them where the caller's array does.
        Undo(s, t, t->Scratch, count);
        t->Wait.State[StatePolling] = 0;
        if (t->Wait.Result <= 0)
        {
            for (uint i = 0; i < count; i++)
                t->Scratch[i].Revents = 0;
            return;
        }
        int waker = Wakers.ExistingOfThread(t);
        if (t->Scratch[count].Revents != 0 && waker >= 0)
            Waits.TakeWakes(s, t, s.S.WakerAt(waker));
        if (t->Scratch[count + 1].Revents != 0)
            s.Peers.OnHub(t);
        SettleSets(s, t, count);
    }

    /// <summary>An epoll set that reported only our own marker is not ready.</summary>
    private static void SettleSets(PosixStack s, AccelThread* t, uint count)
    {
        for (uint i = 0; i < count; i++)
        {
            uint entry = s.Entry(t->Scratch[i].Fd);
            if (entry >> 24 == DescriptorEntry.KindEpoll && t->Scratch[i].Revents != 0
                && !EpollJudge.NestedReady(s, DescriptorEntry.Index(entry)))
                t->Scratch[i].Revents = 0;
        }
    }

    private static long Finish(PosixStack s, AccelThread* t, PollFd* fds, uint count, int ready)
    {
        FlushTiming.OnEvents(t, ready);
        int waker = Wakers.ExistingOfThread(t);
        if (waker >= 0 && t->Wait.State[StateWatching] != 0)
        {
            t->Wait.State[StateWatching] = 0;
            WatchAll(s, t, fds, count, waker, false);
        }
        // An epoll set whose accelerated members alone are ready is not known to the kernel.
        for (uint i = 0; i < count; i++)
        {
            uint entry = s.Entry(fds[i].Fd);
            if (entry >> 24 != DescriptorEntry.KindEpoll)
                continue;
            bool was = fds[i].Revents != 0;
            bool isReady = EpollJudge.NestedReady(s, DescriptorEntry.Index(entry));
            fds[i].Revents = isReady ? (short)(fds[i].Events & (short)(Ev.IN | Ev.RDNORM)) : (short)0;
            ready += (fds[i].Revents != 0 ? 1 : 0) - (was ? 1 : 0);
        }
        return ready;
    }

    public static long Abort(PosixStack s, AccelThread* t)
    {
        uint count = (uint)t->Wait.State[StatePolling] - 1;
        t->Wait.State[StatePolling] = 0;
        Undo(s, t, t->Scratch, count);
        int waker = Wakers.ExistingOfThread(t);
        if (waker >= 0 && t->Wait.State[StateWatching] != 0)
            WatchAll(s, t, (PollFd*)t->Wait.State[StateArray], count, waker, false);
        return -Errno.EINTR;
    }
}
