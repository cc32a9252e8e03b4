using Accel.Core.Local;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// Which members of an epoll set every epoll_wait() looks at itself (hot), and which have their senders post each event
/// to the set's doorbell (cold). A few hundred busy connections cost nothing to their senders, ten thousand idle ones
/// nothing to the set. Cooling needs a barrier on all CPUs, so it is done for many at once.
/// </summary>
public static unsafe class EpollHeat
{
    /// <summary>As many may stay hot however idle they are.</summary>
    private const uint KeepHot = 64;

    /// <summary>
    /// epoll_wait() calls between two rounds of cooling, and without an event before an item may cool.
    /// </summary>
    private const ulong WaitsBetweenRounds = 32, IdleWaits = 128;

    private const int MostAtOnce = 256;

    /// <summary>Sources that one word of a doorbell can bring, each perhaps registered twice.</summary>
    private const uint RoomForWord = 128;

    /// <summary>Turns what was posted to the set's doorbells into hot items.</summary>
    public static void TakePosted(PosixStack s, AccelThread* t, EpollSet* set)
    {
        Waker* waker = s.S.WakerAt((int)set->Waker);
        for (int i = 0; i < (int)waker->BellCount; i++)
        {
            BellLink* link = Waker.BellAt(waker, i);
            LocalRegion region = s.Region(link->Region);
            if (!region.IsMapped || link->Bell >= LocalRegion.MaxDoorbells)
                continue;
            Doorbell* bell = region.DoorbellAt((int)link->Bell);
            if (Volatile.Read(ref bell->Posted) == 0)
                continue;
            Interlocked.Exchange(ref bell->Posted, 0);
            if (!TakeWords(s, t, set, region, bell))
                Volatile.Write(ref bell->Posted, 1);
        }
    }

    /// <summary>
    /// False if there was no room for all: what is hot is ready, and must be taken by the program first.
    /// </summary>
    private static bool TakeWords(PosixStack s, AccelThread* t, EpollSet* set, LocalRegion region, Doorbell* bell)
    {
        while (true)
        {
            if (set->HotCount + RoomForWord > EpollSet.MaxHot)
                Cool(s, t, set, 0);
            if (set->HotCount + RoomForWord > EpollSet.MaxHot)
                return false;
            if (!Doorbell.TakeWord(bell, out int first, out ulong bits))
                return true;
            for (; bits != 0; bits &= bits - 1)
                Heat(s, t, set, region, first + System.Numerics.BitOperations.TrailingZeroCount(bits));
        }
    }

    private static void Heat(PosixStack s, AccelThread* t, EpollSet* set, LocalRegion region, int source)
    {
        uint socketPlusOne = source >= LocalRegion.ListenerSource
            ? region.ListenerAt(source - LocalRegion.ListenerSource)->Socket
            : LocalRegion.SideOf(region.ConnAt(source >> 1), source & 1)->Socket;
        if (socketPlusOne - 1 >= StackRegion.MaxSockets)
            return;
        Socket* socket = s.S.SocketAt((int)socketPlusOne - 1);
        for (uint at = socket->Items; at != 0; at = s.S.EpollItemAt((int)at - 1)->SocketNext)
        {
            EpollItem* item = s.S.EpollItemAt((int)at - 1);
            if (s.S.EpollSetAt((int)item->Set) == set && (item->Flags & (uint)EpollItemFlags.Hot) == 0)
                MakeHot(s, t, set, (int)at - 1);
        }
    }

    /// <summary>
    /// Puts an item among those that every epoll_wait() looks at. If all of those are ready it waits, posted, until
    /// some are taken.
    /// </summary>
    public static void MakeHot(PosixStack s, AccelThread* t, EpollSet* set, int index)
    {
        EpollItem* item = s.S.EpollItemAt(index);
        if (set->HotCount >= EpollSet.MaxHot)
            Cool(s, t, set, 0);
        if (set->HotCount >= EpollSet.MaxHot)
        {
            SetArmed(s, t, set, item, true);
            Wakers.FenceAll(s);
            Repost(s, t, set, index);
            return;
        }
        item->Flags |= (uint)EpollItemFlags.Hot;
        item->HotIndex = set->HotCount;
        item->LastReady = set->Waits;
        set->Hot[set->HotCount++] = (uint)index;
        SetArmed(s, t, set, item, false);
        if ((item->Flags & (uint)EpollItemFlags.Nested) == 0)
            HeatTwins(s, t, set, item);
    }

    /// <summary>Items of one socket in one set share the doorbell's arming: if one is hot, all are.</summary>
    private static void HeatTwins(PosixStack s, AccelThread* t, EpollSet* set, EpollItem* item)
    {
        for (uint at = s.S.SocketAt((int)item->Target)->Items; at != 0; at = s.S.EpollItemAt((int)at - 1)->SocketNext)
        {
            EpollItem* twin = s.S.EpollItemAt((int)at - 1);
            if (s.S.EpollSetAt((int)twin->Set) != set || (twin->Flags & (uint)EpollItemFlags.Hot) != 0
                || set->HotCount >= EpollSet.MaxHot)
                continue;
            twin->Flags |= (uint)EpollItemFlags.Hot;
            twin->HotIndex = set->HotCount;
            twin->LastReady = set->Waits;
            set->Hot[set->HotCount++] = at - 1;
        }
    }

    /// <summary>
    /// Every second or so of sleep: looks at the cold items too, so that an event that was never posted is late and not
    /// lost.
    /// </summary>
    public static void WarmReady(PosixStack s, AccelThread* t, EpollSet* set)
    {
        s.Lock(ref set->Lock, t);
        uint at = set->HotCount < set->ItemCount ? set->Items : 0;
        for (; at != 0; at = s.S.EpollItemAt((int)at - 1)->SetNext)
        {
            EpollItem* item = s.S.EpollItemAt((int)at - 1);
            bool nested = (item->Flags & (uint)EpollItemFlags.Nested) != 0;
            if ((item->Flags & (uint)EpollItemFlags.Hot) == 0
                && (nested || (Readiness.Mask(s, s.S.SocketAt((int)item->Target)) & item->Events) != 0))
                MakeHot(s, t, set, (int)at - 1);
        }
        PosixStack.Unlock(ref set->Lock);
    }

    /// <summary>
    /// Posts an item's event by our own hand if it is ready: its sender may have looked before it was armed.
    /// </summary>
    private static void Repost(PosixStack s, AccelThread* t, EpollSet* set, int index)
    {
        EpollItem* item = s.S.EpollItemAt(index);
        Socket* socket = s.S.SocketAt((int)item->Target);
        if ((item->Flags & (uint)EpollItemFlags.Nested) != 0 || (Readiness.Mask(s, socket) & item->Events) == 0
            || !Notifier.WatchWords(s, socket, out _, out _, out int source))
            return;
        int bell = Wakers.BellIn(s, t, (int)set->Waker, socket->Region);
        if (bell >= 0)
            Doorbell.Post(s.Region(socket->Region).DoorbellAt(bell), source);
    }

    /// <summary>Takes an item from among the hot ones.</summary>
    public static void MakeCold(PosixStack s, EpollSet* set, EpollItem* item)
    {
        if ((item->Flags & (uint)EpollItemFlags.Hot) == 0)
            return;
        item->Flags &= ~(uint)EpollItemFlags.Hot;
        uint last = set->Hot[--set->HotCount];
        set->Hot[item->HotIndex] = last;
        s.S.EpollItemAt((int)last)->HotIndex = item->HotIndex;
    }

    /// <summary>Now and then sends items that were not ready for long to be posted by their senders instead.</summary>
    public static void CoolSometimes(PosixStack s, AccelThread* t, EpollSet* set)
    {
        if (set->HotCount <= KeepHot || set->Waits - set->LastCooling < WaitsBetweenRounds)
            return;
        set->LastCooling = set->Waits;
        Cool(s, t, set, IdleWaits);
    }

    private static void Cool(PosixStack s, AccelThread* t, EpollSet* set, ulong idleWaits)
    {
        Span<int> cooled = stackalloc int[MostAtOnce];
        int count = 0;
        for (uint i = 0; i < set->HotCount && count < cooled.Length && set->HotCount > KeepHot;)
        {
            int index = (int)set->Hot[i];
            EpollItem* item = s.S.EpollItemAt(index);
            if (item->LastReady + idleWaits > set->Waits || !MayCool(s, item) || !SetArmed(s, t, set, item, true))
            {
                i++;
                continue;
            }
            MakeCold(s, set, item);
            cooled[count++] = index;
        }
        if (count == 0)
            return;
        // A sender that saw the item unarmed has published by now: see what it sent.
        Wakers.FenceAll(s);
        for (int i = 0; i < count; i++)
            Repost(s, t, set, cooled[i]);
    }

    private static bool MayCool(PosixStack s, EpollItem* item) =>
        (item->Flags & (uint)EpollItemFlags.Nested) == 0
        && (Readiness.Mask(s, s.S.SocketAt((int)item->Target)) & item->Events) == 0;

    /// <summary>Says whether senders must post. False if the item has no doorbell that they could post to.</summary>
    private static bool SetArmed(PosixStack s, AccelThread* t, EpollSet* set, EpollItem* item, bool armed)
    {
        if ((item->Flags & (uint)EpollItemFlags.Nested) != 0)
            return false;
        Socket* socket = s.S.SocketAt((int)item->Target);
        if (!Notifier.WatchWords(s, socket, out uint* watch, out ushort* bells, out _))
            return false;
        int bell = Wakers.BellIn(s, t, (int)set->Waker, socket->Region);
        if (bell < 0)
            return false;
        Notifier.Watch(watch, bells, (uint)bell, armed);
        return true;
    }
}
