using System.Runtime.Intrinsics.X86;
using Accel.Core.Local;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// epoll_wait() on a set with accelerated members. Hot items are looked at on every call, so that senders need not tell
/// anybody anything while the program is busy; cold ones post their events to the set's doorbell. The kernel's members
/// are asked every few microseconds, and in the sleep.
/// </summary>
public static unsafe class EpollWaits
{
    private const int StateSet = 0, StateDeadline = 1, StateMissed = 2, StateWatchdog = 3, StateNowhere = 4;
    private const int MaxReady = 1024;

    private ref struct Ready
    {
        public Span<uint> Items;
        public Span<uint> Masks;
        public Span<ulong> Orders;
        public int Count;
    }

    public static long Wait(PosixStack s, AccelThread* t, int epfd, EpollEvent* events, int max, long timeoutNs)
    {
        int index;
        if (t->Wait.Phase == 0)
        {
            uint entry = s.Entry(epfd);
            if (entry >> 24 != DescriptorEntry.KindEpoll)
                return AccelResult.Pass;
            if (max <= 0 || max > int.MaxValue / 12)
                return -Errno.EINVAL;
            // access_ok() of Linux: the kernel's half.
            if ((long)events < 0)
                return -Errno.EFAULT;
            index = DescriptorEntry.Index(entry);
        }
        else if (t->Wait.State[StateSet] != 0)
            index = (int)t->Wait.State[StateSet] - 1;
        else
            // The set became ours while the kernel waited.
            index = DescriptorEntry.Index(s.Entry(epfd));
        EpollSet* set = s.S.EpollSetAt(index);
        int have = 0;
        if (t->Wait.Phase != 0)
        {
            have = AfterSleep(s, t, set, events);
            if (t->Wait.Result == -Errno.EFAULT)
            {
                // The kernel had an event, perhaps one of ours, and could not write it there.
                t->Wait.State[StateNowhere] = 1;
                TakeInner(s, t, set);
            }
            if (t->Wait.Result == 0)
                EpollHeat.WarmReady(s, t, set);
        }
        else
            s.CountHot(t, Counter.EpollWaits);
        EpollEvent nowhere;
        bool bad = t->Wait.State[StateNowhere] != 0 || !IsWritable(s, t, events);
        t->Wait.State[StateNowhere] = bad ? 1u : 0u;
        long result = bad
            ? Collect(s, t, set, index, epfd, &nowhere, 0, 1, timeoutNs)
            : Collect(s, t, set, index, epfd, events, have, max, timeoutNs);
        if (bad && result > 0)
            result = -Errno.EFAULT;
        if (result != AccelResult.Wait && t->Wait.State[StateSet] != 0)
        {
            t->Wait.State[StateSet] = 0;
            EpollSets.Release(s, t, index);
        }
        if (result > 0)
        {
            s.CountHot(t, Counter.EpollEvents);
            FlushTiming.OnEvents(t, result);
        }
        return result;
    }

    /// <summary>
    /// The kernel would say EFAULT of an array that cannot be written to, and the stack may not die of it with locks in
    /// hand. A thread has the same array in every call as a rule: its page is asked for once.
    /// </summary>
    private static bool IsWritable(PosixStack s, AccelThread* t, EpollEvent* events)
    {
        const int OwnEventsPage = 9;
        ulong page = (ulong)events >> 12;
        if (t->Own[OwnEventsPage] == page && page != 0)
            return true;
        if (page == 0 || !s.Kernel.CanWrite(events))
            return false;
        t->Own[OwnEventsPage] = page;
        return true;
    }

    private static long Collect(PosixStack s, AccelThread* t, EpollSet* set, int index, int epfd,
        EpollEvent* events, int have, int max, long timeoutNs)
    {
        HandoverRequests.Look(s, t);
        s.Nic?.Pump(t);
        ulong ticks = s.Kernel.Ticks();
        set->Waits++;
        // Who filled the array last time lets the other begin.
        bool kernelFirst = set->Filled != 0 && t->Wait.Phase == 0;
        set->Filled = 0;
        if (kernelFirst)
            have = CheckKernel(s, t, set, epfd, events, 0, max, ticks, out _);
        int count = Gather(s, t, set, events, have, max, ticks);
        if (count >= max && !kernelFirst)
            set->Filled = 1;
        if (count > 0 && t->Wait.State[StateMissed] != 0)
            s.Count(t, Counter.WakesMissed);
        // Who is about to spin asks the kernel from there; so do sleeps.
        if (t->Wait.Phase == 0 && count < max && (ticks - set->LastKernelCheck >= s.TicksPerKernelCheck
            || (count == 0 && (timeoutNs == 0 || Waits.Budget(s, t) == 0))))
        {
            bool nothing = count == 0;
            count = CheckKernel(s, t, set, epfd, events, count, max, ticks, out bool marked);
            if (marked && nothing)
                count = Gather(s, t, set, events, count, max, ticks);
        }
        if (count > 0 || timeoutNs == 0)
            return count;
        long now = s.Kernel.NowNs();
        if (timeoutNs > 0 && t->Wait.State[StateDeadline] == 0)
            t->Wait.State[StateDeadline] = (ulong)(timeoutNs > long.MaxValue - now ? long.MaxValue : now + timeoutNs);
        long deadline = timeoutNs < 0 ? long.MaxValue : (long)t->Wait.State[StateDeadline];
        if (now >= deadline)
            return 0;
        if (t->Wait.Phase == 0 || s.SpinNs > 0)
        {
            count = Spin(s, t, set, epfd, events, max, Math.Min(now + Waits.Budget(s, t), deadline), now);
            if (count > 0)
                return count;
        }
        return Sleep(s, t, set, index, epfd, events, max, deadline);
    }

    private static int Spin(
        PosixStack s, AccelThread* t, EpollSet* set, int epfd, EpollEvent* events, int max, long end, long now)
    {
        if (end <= now || (s.SpinNs < 0 && SharesCpu(s, set)))
            return 0;
        var clock = new SpinClock(s);
        while (true)
        {
            for (int i = 0; i < 16; i++)
            {
                if (s.Nic is { } nic && nic.Pump(t))
                    clock.LeaveOut(nic.LastRoundTicks);
                ulong looked = s.Kernel.Ticks();
                int count = Gather(s, t, set, events, 0, max, looked);
                if (count > 0)
                {
                    s.CountHot(t, Counter.SpinHits);
                    clock.Note(s, t, looked);
                    return count;
                }
                X86Base.Pause();
            }
            ulong ticks = s.Kernel.Ticks();
            clock.Note(s, t, ticks);
            if (Volatile.Read(ref t->Pending) != 0)
                return 0;
            now = s.Kernel.NowNs();
            if (ticks - set->LastKernelCheck >= s.TicksPerKernelCheck)
            {
                int count = CheckKernel(s, t, set, epfd, events, 0, max, ticks, out _);
                if (count > 0)
                    return count;
            }
            if (now >= end)
            {
                s.CountHot(t, Counter.SpinMisses);
                return 0;
            }
        }
    }

    /// <summary>True if some hot member's peer last waited on this CPU: it cannot run while we spin.</summary>
    private static bool SharesCpu(PosixStack s, EpollSet* set)
    {
        uint count = Math.Min(set->HotCount, 8);
        for (uint i = 0; i < count; i++)
        {
            EpollItem* item = s.S.EpollItemAt((int)set->Hot[i]);
            if ((item->Flags & (uint)EpollItemFlags.Nested) != 0)
                continue;
            Socket* socket = s.S.SocketAt((int)item->Target);
            // A listener's last client says little about the connections that there are.
            if ((socket->State != (uint)SocketState.Listening || set->HotCount == 1) && Waits.SharesCpu(s, socket))
                return true;
        }
        return false;
    }

    private static long Sleep(PosixStack s, AccelThread* t, EpollSet* set, int index, int epfd,
        EpollEvent* events, int max, long deadline)
    {
        Waker* waker = s.S.WakerAt((int)set->Waker);
        s.Peers.Refresh(t);
        s.Nic?.Settle(t);
        if (set->Hub != s.Hub + 1)
        {
            set->Hub = s.Hub + 1;
            s.Kernel.EpollCtl(set->Inner, Ev.CTL_ADD, s.Hub, Ev.IN, EpollSets.HubData);
        }
        s.Nic?.Queues.Join(set, epfd);
        AnnounceNested(s, t, set, true);
        Wakers.Announce(s, t, waker);
        int count = Gather(s, t, set, events, 0, max, s.Kernel.Ticks());
        if (count > 0)
        {
            Wakers.Retract(s, t, waker);
            AnnounceNested(s, t, set, false);
            s.Nic?.Queues.Sleepers.Leave(t);
            return count;
        }
        // What has to go to the kernel is among the kernel's members before the sleep begins.
        HandoverRequests.Look(s, t);
        if (t->Wait.State[StateSet] == 0)
        {
            Interlocked.Increment(ref set->References);
            t->Wait.State[StateSet] = (ulong)index + 1;
        }
        long watchdog = s.Kernel.NowNs() + Waits.WatchdogNs;
        t->Wait.Deadline = Math.Min(deadline, watchdog);
        t->Wait.Kind = AccelWait.SleepEpoll;
        t->Wait.Epfd = epfd;
        Waits.NoteSleep(s, t);
        t->Wait.State[StateWatchdog] = t->Wait.Deadline == watchdog ? 1u : 0u;
        return AccelResult.Wait;
    }

    private static void AnnounceNested(PosixStack s, AccelThread* t, EpollSet* set, bool sleeping)
    {
        if (set->NestedCount == 0)
            return;
        for (uint at = set->Items; at != 0; at = s.S.EpollItemAt((int)at - 1)->SetNext)
        {
            EpollItem* item = s.S.EpollItemAt((int)at - 1);
            if ((item->Flags & (uint)EpollItemFlags.Nested) == 0)
                continue;
            EpollSet* inner = s.S.EpollSetAt((int)item->Target);
            Waker* waker = s.S.WakerAt((int)inner->Waker);
            if (sleeping)
                Wakers.Announce(s, t, waker);
            else
                Wakers.Retract(s, t, waker);
            AnnounceNested(s, t, inner, sleeping);
        }
    }

    /// <summary>
    /// The kernel's events lie in the array already: takes our marker out of them. Returns how many remain.
    /// </summary>
    private static int AfterSleep(PosixStack s, AccelThread* t, EpollSet* set, EpollEvent* events)
    {
        Waits.Learn(s, t);
        if (t->Wait.State[StateSet] != 0)
        {
            bool rung = Wakers.Retract(s, t, s.S.WakerAt((int)set->Waker));
            // Only the watchdog ended the sleep and nobody has rung: what is found now was missed.
            t->Wait.State[StateMissed] = t->Wait.Result == 0 && !rung && t->Wait.State[StateWatchdog] != 0 ? 1u : 0u;
            AnnounceNested(s, t, set, false);
        }
        int count = (int)Math.Max(0, t->Wait.Result);
        return TakeMarker(s, t, set, events, 0, count);
    }

    private static int TakeMarker(PosixStack s, AccelThread* t, EpollSet* set, EpollEvent* events, int from, int count)
    {
        int to = from;
        for (int i = from; i < from + count; i++)
        {
            if (events[i].Data == set->Marker)
                TakeInner(s, t, set);
            // Frames are looked for anyway.
            else if (events[i].Data != EpollSets.LinkMarker(set) || set->HasLinks == 0)
                events[to++] = events[i];
        }
        return to;
    }

    /// <summary>Our own descriptors inside the program's set have something to say.</summary>
    private static void TakeInner(PosixStack s, AccelThread* t, EpollSet* set)
    {
        const int Max = 32;
        EpollEvent* events = stackalloc EpollEvent[Max];
        int count = s.Kernel.EpollPeek(set->Inner, events, Max);
        for (int i = 0; i < count; i++)
        {
            ulong what = events[i].Data & (0xFFul << 32);
            if (what == EpollSets.WakerData)
                Waits.TakeWakes(s, t, s.S.WakerAt((int)set->Waker));
            else if (what == EpollSets.HubData)
                s.Peers.OnHub(t);
            else
                KernelSideReady(s, t, set, (int)(uint)events[i].Data, events[i].Events);
        }
    }

    /// <summary>A listener has a connection from the kernel, or a nested set an event.</summary>
    private static void KernelSideReady(PosixStack s, AccelThread* t, EpollSet* set, int itemIndex, uint events)
    {
        if ((uint)itemIndex >= StackRegion.MaxEpollItems)
            return;
        EpollItem* item = s.S.EpollItemAt(itemIndex);
        if (item->Set >= StackRegion.MaxEpollSets || s.S.EpollSetAt((int)item->Set) != set)
            return;
        // What a nested set was only woken for is in its members already.
        if ((item->Flags & (uint)EpollItemFlags.Nested) != 0 && !EpollJudge.HasKernelEvent(s, (int)item->Target))
            return;
        if ((events & Ev.ERR) != 0 && (item->Flags & (uint)EpollItemFlags.Nested) == 0)
            UdpSockets.ErrorSeen(s, s.S.SocketAt((int)(item->Target % StackRegion.MaxSockets)));
        s.Lock(ref set->Lock, t);
        // What was reported, and above it how often.
        uint what = events & 0xFFFF | ((events & Ev.IN) != 0 ? Ev.RDNORM : 0);
        item->KernelReady = (item->KernelReady | what) + 0x10000;
        if ((item->Flags & (uint)EpollItemFlags.Hot) == 0)
            EpollHeat.MakeHot(s, t, set, itemIndex);
        PosixStack.Unlock(ref set->Lock);
    }

    private static int CheckKernel(
        PosixStack s, AccelThread* t, EpollSet* set, int epfd, EpollEvent* events, int have, int max, ulong now,
        out bool marked)
    {
        marked = false;
        set->LastKernelCheck = now;
        s.CountHot(t, Counter.EpollKernelChecks);
        int count = s.Kernel.EpollPeek(epfd, events + have, max - have);
        if (count <= 0)
            return have;
        for (int i = have; i < have + count; i++)
            marked |= events[i].Data == set->Marker;
        return TakeMarker(s, t, set, events, have, count);
    }

    /// <summary>
    /// Reports accelerated members that are ready behind the <paramref name="have"/> events that there are. Returns the
    /// new total.
    /// </summary>
    private static int Gather(
        PosixStack s, AccelThread* t, EpollSet* set, EpollEvent* events, int have, int max, ulong now)
    {
        if (have >= max)
            return have;
        s.Lock(ref set->Lock, t);
        EpollHeat.TakePosted(s, t, set);
        Span<uint> items = stackalloc uint[MaxReady];
        Span<uint> masks = stackalloc uint[MaxReady];
        Span<ulong> orders = stackalloc ulong[MaxReady];
        Ready ready = new() { Items = items, Masks = masks, Orders = orders };
        for (uint i = 0; i < set->HotCount; i++)
            Look(s, set, set->Hot[i], now, ref ready);
        if (ready.Count > 1)
            Sort(s, ref ready);
        int total = have;
        for (int i = 0; i < ready.Count && total < max; i++)
            events[total++] = EpollJudge.Report(s, set, (int)ready.Items[i], ready.Masks[i], now + (ulong)i);
        bool more = ready.Count > total - have;
        EpollHeat.CoolSometimes(s, t, set);
        PosixStack.Unlock(ref set->Lock);
        // What did not fit is for the next thread that waits on the set, as in ep_done_scan() of Linux.
        Waker* waker = s.S.WakerAt((int)set->Waker);
        if (more && Volatile.Read(ref waker->Sleepers) > 0)
            s.Kernel.Wake(waker->Name);
        return total;
    }

    /// <summary>Enters an item among the ready ones, if it is to be reported.</summary>
    private static void Look(PosixStack s, EpollSet* set, uint index, ulong now, ref Ready ready)
    {
        EpollItem* item = s.S.EpollItemAt((int)index);
        uint mask = EpollJudge.Look(s, set, item);
        if (mask == 0 || ready.Count >= MaxReady)
            return;
        if ((item->Flags & (uint)EpollItemFlags.Reported) == 0)
        {
            bool nested = (item->Flags & (uint)EpollItemFlags.Nested) != 0;
            ulong stamp = nested || (mask & Ev.IN) == 0 ? 0 : Readiness.Stamp(s, s.S.SocketAt((int)item->Target));
            item->Order = stamp != 0 ? stamp : now;
        }
        ready.Items[ready.Count] = index;
        ready.Masks[ready.Count] = mask;
        ready.Orders[ready.Count++] = item->Order;
    }

    private static bool SameTarget(PosixStack s, in Ready ready, int at, uint item) =>
        s.S.EpollItemAt((int)ready.Items[at - 1])->Target == s.S.EpollItemAt((int)item)->Target;

    /// <summary>By order of arrival. Few as a rule, and nearly in order.</summary>
    private static void Sort(PosixStack s, ref Ready ready)
    {
        for (int i = 1; i < ready.Count; i++)
        {
            ulong order = ready.Orders[i];
            uint item = ready.Items[i], mask = ready.Masks[i];
            int at = i;
            // Two registrations of one socket: the later one is told first, since Linux's wait queues are last in,
            // first out.
            while (at > 0 && (ready.Orders[at - 1] > order
                || (ready.Orders[at - 1] == order && SameTarget(s, ready, at, item))))
            {
                ready.Orders[at] = ready.Orders[at - 1];
                ready.Items[at] = ready.Items[at - 1];
                ready.Masks[at] = ready.Masks[at - 1];
                at--;
            }
            ready.Orders[at] = order;
            ready.Items[at] = item;
            ready.Masks[at] = mask;
        }
    }

    /// <summary>A signal ended the sleep.</summary>
    public static long Abort(PosixStack s, AccelThread* t)
    {
        int index = (int)t->Wait.State[StateSet] - 1;
        if (index >= 0)
        {
            EpollSet* set = s.S.EpollSetAt(index);
            Wakers.Retract(s, t, s.S.WakerAt((int)set->Waker));
            AnnounceNested(s, t, set, false);
            t->Wait.State[StateSet] = 0;
            EpollSets.Release(s, t, index);
        }
        return -Errno.EINTR;
    }
}
