using Accel.Core.Local;
using Accel.Core.Memory;
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
        if ((watch & Side.EngineWatch) != 0)
        {
            s.Nic?.Kick(t, source >> 1);
            return;
        }
        if ((watch & Side.OverflowWatch) != 0)
        {
            RingEverything(s, t, region, source);
            return;
        }
        for (uint rest = watch & 0xFF; rest != 0; rest &= rest - 1)
        {
            int slot = System.Numerics.BitOperations.TrailingZeroCount(rest);
            uint index = bells[slot] - 1u;
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
    /// Registers a doorbell with one end of a connection or a listener. Armed: every event is to be posted. A slot
    /// holds the doorbell plus one and is taken by whoever writes it first; its bits in the watch word follow.
    /// </summary>
    public static void Watch(uint* watchWord, ushort* bells, uint bell, bool armed)
    {
        int slot = SlotOf(bells, bell);
        for (int i = 0; slot < 0 && i < Side.BellSlots; i++)
        {
            if (Interlocked.CompareExchange(ref bells[i], (ushort)(bell + 1), (ushort)0) == 0)
                slot = i;
        }
        if (slot < 0)
        {
            Interlocked.Or(ref *watchWord, Side.OverflowWatch);
            return;
        }
        uint wanted = (armed ? 0x101u : 1u) << slot;
        if ((Volatile.Read(ref *watchWord) & 0x101u << slot) == wanted)
            return;
        if (!armed)
            Interlocked.And(ref *watchWord, ~(0x100u << slot));
        Interlocked.Or(ref *watchWord, wanted);
    }

    /// <summary>Takes a doorbell away.</summary>
    public static void Unwatch(uint* watchWord, ushort* bells, uint bell)
    {
        for (int slot = SlotOf(bells, bell); slot >= 0; slot = SlotOf(bells, bell))
        {
            Interlocked.And(ref *watchWord, ~(0x101u << slot));
            Volatile.Write(ref bells[slot], 0);
        }
    }

    /// <summary>Takes away the doorbells that nobody has any more: of threads that exec() ended.</summary>
    [ColdPath]
    public static void UnwatchDead(PosixStack s, Socket* socket)
    {
        if (!WatchWords(s, socket, out uint* watch, out ushort* bells, out _))
            return;
        LocalRegion region = s.Region(socket->Region);
        for (int i = 0; i < Side.BellSlots; i++)
        {
            uint bell = Volatile.Read(ref bells[i]) - 1u;
            if (bell < LocalRegion.MaxDoorbells && Volatile.Read(ref region.DoorbellAt((int)bell)->Used) == 0)
                Unwatch(watch, bells, bell);
        }
    }

    private static int SlotOf(ushort* bells, uint bell)
    {
        for (int i = 0; i < Side.BellSlots; i++)
        {
            if (Volatile.Read(ref bells[i]) == bell + 1)
                return i;
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
            case SocketState.Connected or SocketState.Connecting or SocketState.Datagram
                when socket->Index < LocalRegion.MaxConns:
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
