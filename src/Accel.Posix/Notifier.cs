using Accel.Core.Local;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>Telling the other end that something happened, and saying what one wants to be told.</summary>
public static unsafe class Notifier
{
    /// <summary>
    /// Tells the watchers of one end of a connection. The change they are to see must have been written before.
    /// </summary>
    public static void Notify(PosixStack s, AccelThread* t, LocalRegion region, Side* side, int source)
    {
        // The watcher issues a barrier on all CPUs between announcing its sleep and its last look, so no fence is
        // needed
        // here, on every send; unless someone cannot.
        if (region.Tables->Header.FenceAlways != 0)
            Interlocked.MemoryBarrier();
        uint watch = Volatile.Read(ref side->Watch);
        if (watch != 0)
            NotifyWatchers(s, t, region, watch, side->Bells, source);
    }

    /// <summary>Tells the watchers of a listener.</summary>
    public static void NotifyListener(PosixStack s, AccelThread* t, LocalRegion region, int index)
    {
        Listener* listener = region.ListenerAt(index);
        Interlocked.MemoryBarrier();
        uint watch = Volatile.Read(ref listener->Watch);
        if (watch != 0)
            NotifyWatchers(s, t, region, watch, listener->Bells, LocalRegion.ListenerSource + index);
    }

    private static void NotifyWatchers(
        PosixStack s, AccelThread* t, LocalRegion region, uint watch, ushort* bells, int source)
    {
        if ((watch & Side.OverflowWatch) != 0)
        {
            RingEverything(s, t, region, source);
            return;
        }
        for (uint rest = watch & 0xFF; rest != 0; rest &= rest - 1)
        {
            int slot = System.Numerics.BitOperations.TrailingZeroCount(rest);
            uint index = bells[slot];
            if (index >= LocalRegion.MaxDoorbells)
                continue;
            Doorbell* bell = region.DoorbellAt((int)index);
            bool armed = (watch >> 8 & 1u << slot) != 0;
            if (armed)
                Doorbell.Post(bell, source);
            if (Volatile.Read(ref bell->Sleeping) != 0)
                Ring(s, t, bell, source);
        }
    }

    /// <summary>More watchers than slots: every sleeper of the region is told, and looks for itself.</summary>
    private static void RingEverything(PosixStack s, AccelThread* t, LocalRegion region, int source)
    {
        int count = (int)Math.Min(region.Tables->Doorbells.Bumped, LocalRegion.MaxDoorbells);
        for (int i = 0; i < count; i++)
        {
            Doorbell* bell = region.DoorbellAt(i);
            if (Volatile.Read(ref bell->Used) == 0)
                continue;
            Doorbell.Post(bell, source);
            if (Volatile.Read(ref bell->Sleeping) != 0)
                Ring(s, t, bell, source);
        }
    }

    private static void Ring(PosixStack s, AccelThread* t, Doorbell* bell, int source)
    {
        Doorbell.Post(bell, source);
        if (Interlocked.Exchange(ref bell->Sleeping, 0) == 0)
            return;
        bell->Rings++;
        s.Count(t, Counter.WakesSent);
        s.Kernel.Wake(bell->WakeName);
    }

    /// <summary>
    /// Registers a doorbell with one end of a connection or a listener. Armed: every event is to be posted.
    /// </summary>
    public static void Watch(uint* watchWord, ushort* bells, uint bell, bool armed)
    {
        while (true)
        {
            uint watch = Volatile.Read(ref *watchWord);
            int slot = SlotOf(watch, bells, bell);
            if (slot >= 0)
            {
                uint bit = 0x100u << slot;
                uint wanted = armed ? watch | bit : watch & ~bit;
                if (wanted == watch || Interlocked.CompareExchange(ref *watchWord, wanted, watch) == watch)
                    return;
                continue;
            }
            int free = System.Numerics.BitOperations.TrailingZeroCount(~(watch & 0xFF));
            if (free >= Side.BellSlots)
            {
                Interlocked.Or(ref *watchWord, Side.OverflowWatch);
                return;
            }
            bells[free] = (ushort)bell;
            uint added = watch | 1u << free | (armed ? 0x100u << free : 0);
            if (Interlocked.CompareExchange(ref *watchWord, added, watch) == watch)
                return;
        }
    }

    /// <summary>Takes a doorbell away.</summary>
    public static void Unwatch(uint* watchWord, ushort* bells, uint bell)
    {
        while (true)
        {
            uint watch = Volatile.Read(ref *watchWord);
            int slot = SlotOf(watch, bells, bell);
            if (slot < 0)
                return;
            uint wanted = watch & ~(0x101u << slot);
            if (Interlocked.CompareExchange(ref *watchWord, wanted, watch) == watch)
                return;
        }
    }

    private static int SlotOf(uint watch, ushort* bells, uint bell)
    {
        for (uint rest = watch & 0xFF; rest != 0; rest &= rest - 1)
        {
            int slot = System.Numerics.BitOperations.TrailingZeroCount(rest);
            if (bells[slot] == bell)
                return slot;
        }
        return -1;
    }

    /// <summary>
    /// The words with which a socket's events are watched: those of its connection side or of its listener.
    /// </summary>
    public static bool WatchWords(PosixStack s, Socket* socket, out uint* watch, out ushort* bells, out int source)
    {
        watch = null;
        bells = null;
        source = 0;
        LocalRegion region = s.Region(socket->Region);
        if (!region.IsMapped)
            return false;
        switch ((SocketState)socket->State)
        {
            case SocketState.Connected or SocketState.Connecting when socket->Index < LocalRegion.MaxConns:
                Side* side = LocalRegion.SideOf(region.ConnAt((int)socket->Index), (int)socket->Side & 1);
                watch = &side->Watch;
                bells = side->Bells;
                source = (int)(2 * socket->Index + socket->Side);
                return true;
            case SocketState.Listening when socket->Index < LocalRegion.MaxListeners:
                Listener* listener = region.ListenerAt((int)socket->Index);
                watch = &listener->Watch;
                bells = listener->Bells;
                source = LocalRegion.ListenerSource + (int)socket->Index;
                return true;
            default:
                return false;
        }
    }
}
