using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// How a connection ends: orderly, by reset, or because its owner died. Every step may be repeated by another process.
/// </summary>
public static unsafe class Closer
{
    /// <summary>
    /// Closes one end for good. Unread data, or SO_LINGER with zero seconds, resets the other end (RFC 2525 2.17 and
    /// tcp_close() of Linux); otherwise it reads end-of-file after what was sent.
    /// </summary>
    public static void CloseSide(PosixStack s, AccelThread* t, in Wire wire, bool abort)
    {
        Side* me = wire.Me;
        Side* peer = wire.Peer;
        bool reset = abort || PipeOps.Readable(wire.In) > 0;
        if (Volatile.Read(ref peer->Watch) != 0)
            wire.Out->Stamp = s.Kernel.Ticks();
        if (reset)
        {
            bool afterFin = (me->Flags & (uint)SideFlags.FinSent) != 0 && (peer->Flags & (uint)SideFlags.FinSent) == 0;
            Interlocked.Or(
            ref peer->Flags, (uint)(SideFlags.Reset | (afterFin ? SideFlags.ResetAfterFin : SideFlags.None)));
            Interlocked.Or(ref me->Flags, (uint)SideFlags.Closed);
            s.Count(t, Counter.ResetsSent);
        }
        else
        {
            uint before = Interlocked.Or(ref me->Flags, (uint)(SideFlags.FinSent | SideFlags.Closed));
            if ((before & (uint)SideFlags.FinSent) == 0)
                s.Count(t, Counter.FinsSent);
        }
        if (s.IsCaptured)
            Taps.Closed(s, wire, reset);
        s.Add(t, Counter.SendCalls, wire.Out->Sends);
        s.Add(t, Counter.ReceiveCalls, wire.In->Receives);
        s.Add(t, Counter.BytesSent, wire.Out->Tail);
        s.Add(t, Counter.BytesReceived, wire.In->Head);
        Diagnostics.Closed(s, wire);
        Volatile.Write(ref me->Watch, 0);
        Notifier.Notify(s, t, wire.Region, peer, wire.PeerSource);
        if (!wire.Region.CloseSide(wire.Index, wire.SideIndex))
            return;
        wire.Conn->Freeing = Regions.AttachmentIn(s, wire.Region) << 8 | (uint)s.Slot;
        Free(s, wire);
    }

    /// <summary>Gives a connection back, both ends of which are closed.</summary>
    public static void Free(PosixStack s, in Wire wire)
    {
        ReturnPages(s, wire.Region, wire.In);
        ReturnPages(s, wire.Region, wire.Out);
        wire.Region.FreeConn(wire.Index);
    }

    /// <summary>The largest rings are rare: their pages go back to the kernel.</summary>
    private static void ReturnPages(PosixStack s, LocalRegion region, Pipe* pipe)
    {
        if (pipe->ReadLog2 == PipeOps.StalledLog2 && pipe->ReadBuffer != 0)
        {
            byte* buffer = region.Address + ((ulong)pipe->ReadBuffer << BufferArena.UnitLog2);
            s.Kernel.DropPages(buffer, 1ul << PipeOps.StalledLog2);
        }
    }

    /// <summary>Closes an end whose every holder has died, unless that has been done.</summary>
    public static void CloseOrphan(PosixStack s, AccelThread* t, in Wire wire)
    {
        if ((Volatile.Read(ref wire.Conn->ClosedMask) & 1u << wire.SideIndex) == 0)
            CloseSide(s, t, wire, abort: false);
    }

    /// <summary>
    /// Ends a listener: nobody finds it any more, and connections that wait to be accepted are reset.
    /// </summary>
    public static void CloseListener(PosixStack s, AccelThread* t, LocalRegion region, int index)
    {
        Listener* listener = region.ListenerAt(index);
        uint generation = Volatile.Read(ref listener->Generation);
        if ((generation & 1) == 0
            || Interlocked.CompareExchange(ref listener->Generation, generation + 1, generation) != generation)
            return;
        NicListener.Close(s, t, region, index);
        // A client may be between its look at the generation and its push; the sweep below finds what it pushed, and
        // the client
        // looks at the generation again after it.
        ResetQueued(s, t, region, index);
        region.GiveListener(index);
    }

    /// <summary>Resets what nobody will accept.</summary>
    public static void ResetQueued(PosixStack s, AccelThread* t, LocalRegion region, int index)
    {
        int count = (int)Math.Min(region.Tables->Conns.Bumped, LocalRegion.MaxConns);
        for (int c = 0; c < count; c++)
        {
            Conn* conn = region.ConnAt(c);
            if (conn->Listener == (uint)index)
                ResetOne(s, t, region, c);
        }
    }

    /// <summary>Resets a connection that nobody will accept, if it still waits.</summary>
    public static void ResetOne(PosixStack s, AccelThread* t, LocalRegion region, int index)
    {
        Conn* conn = region.ConnAt(index);
        if (Claim(conn, ConnState.Queued) || Claim(conn, ConnState.Waiting))
            CloseSide(s, t, new Wire(region, conn, index, 1), abort: true);
    }

    /// <summary>
    /// A client gave up, or died, before its connection was handed to the listener: closes the listener's end, which
    /// nobody will ever have. One that is in a list stays: accept() finds it and sees that the client has gone, as on
    /// Linux.
    /// </summary>
    public static void Unqueue(PosixStack s, AccelThread* t, LocalRegion region, int index)
    {
        Conn* conn = region.ConnAt(index);
        if (Claim(conn, ConnState.Fresh))
        {
            CloseSide(s, t, new Wire(region, conn, index, 1), abort: true);
            return;
        }
        uint listenerIndex = conn->Listener;
        bool queued = Volatile.Read(ref conn->State) == (uint)ConnState.Queued;
        if ((!queued && conn->State != (uint)ConnState.Waiting) || listenerIndex >= LocalRegion.MaxListeners)
            return;
        Listener* listener = region.ListenerAt((int)listenerIndex);
        s.Lock(ref listener->Lock, t);
        bool linked = IsLinked(region, listener->Ordered, index)
            || IsLinked(region, Volatile.Read(ref listener->Arrived), index)
            || IsLinked(region, Volatile.Read(ref listener->Waiting), index);
        bool lost = !linked && Claim(conn, queued ? ConnState.Queued : ConnState.Waiting);
        if (lost && queued)
            Interlocked.Decrement(ref listener->Queued);
        PosixStack.Unlock(ref listener->Lock);
        if (lost)
            CloseSide(s, t, new Wire(region, conn, index, 1), abort: true);
    }

    private static bool IsLinked(LocalRegion region, uint at, int index)
    {
        for (int steps = 0; at != 0 && at <= LocalRegion.MaxConns && steps < LocalRegion.MaxConns; steps++)
        {
            if (at == (uint)index + 1)
                return true;
            at = region.ConnAt((int)at - 1)->Next;
        }
        return false;
    }

    private static bool Claim(Conn* conn, ConnState from) =>
        Interlocked.CompareExchange(ref conn->State, (uint)ConnState.Accepted, (uint)from) == (uint)from;

    /// <summary>
    /// A process has died: takes it from every end of every connection and every listener of a region that it held, and
    /// closes those that nobody else holds.
    /// </summary>
    public static void Bury(PosixStack s, AccelThread* t, LocalRegion region, uint attachmentPlusOne, int slot)
    {
        int listeners = (int)Math.Min(region.Tables->Listeners.Bumped, LocalRegion.MaxListeners);
        bool owner = attachmentPlusOne == 1;
        for (int l = 0; owner && l < listeners; l++)
        {
            Listener* listener = region.ListenerAt(l);
            if ((listener->Generation & 1) != 0 && Holders.Remove(listener->Holders, slot))
                CloseListener(s, t, region, l);
        }
        int conns = (int)Math.Min(region.Tables->Conns.Bumped, LocalRegion.MaxConns);
        for (int c = 0; c < conns; c++)
        {
            Conn* conn = region.ConnAt(c);
            if (Volatile.Read(ref conn->State) == (uint)ConnState.Free)
                continue;
            uint freeing = attachmentPlusOne << 8 | (uint)slot;
            if (conn->Freeing == freeing && Interlocked.CompareExchange(ref conn->Freeing, 0, freeing) == freeing)
            {
                Free(s, new Wire(region, conn, c, 0));
                continue;
            }
            for (int side = 0; side < 2; side++)
            {
                Wire wire = new(region, conn, c, side);
                if (wire.Me->Stack != attachmentPlusOne || !Holders.Remove(wire.Me->Holders, slot))
                    continue;
                if (side == 0)
                    Unqueue(s, t, region, c);
                CloseOrphan(s, t, wire);
            }
        }
    }
}
