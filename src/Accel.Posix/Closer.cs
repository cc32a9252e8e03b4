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
    /// Closes one end for good, if nobody does and the slot is still the connection of that generation. Unread data, or
    /// SO_LINGER with zero seconds, resets the other end (RFC 2525 2.17 and tcp_close() of Linux); otherwise it reads
    /// end-of-file after what was sent.
    /// </summary>
    public static void CloseSide(PosixStack s, AccelThread* t, in Wire wire, uint generation, bool abort)
    {
        // Several may find that a dead process's end is to be closed. One alone does it: the others would come when the
        // slot is somebody else's connection.
        uint claimant = Me(s, wire.Region);
        if (ConnClaim.TryTake(ConnClaim.CloserOf(wire.Conn, wire.SideIndex), generation, claimant))
            CloseClaimed(s, t, wire, claimant, abort);
    }

    private static uint Me(PosixStack s, LocalRegion region) => ConnClaim.Of(Regions.AttachmentIn(s, region), s.Slot);

    private static void CloseClaimed(PosixStack s, AccelThread* t, in Wire wire, uint claimant, bool abort)
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
        if (wire.Region.CloseSide(wire.Index, wire.SideIndex, claimant))
            Free(s, wire);
    }

    /// <summary>The end has gone to the kernel with the connection: here nobody has it any more.</summary>
    public static void Leave(PosixStack s, in Wire wire)
    {
        ulong* closer = ConnClaim.CloserOf(wire.Conn, wire.SideIndex);
        if (!ConnClaim.TryTake(closer, wire.Conn->Generation, Me(s, wire.Region)))
            return;
        Interlocked.Or(ref wire.Me->Flags, (uint)SideFlags.Closed);
        Volatile.Write(ref wire.Me->Watch, 0);
        if (wire.Region.CloseSide(wire.Index, wire.SideIndex, Me(s, wire.Region)))
            Free(s, wire);
    }

    /// <summary>Gives a connection back, both ends of which are closed.</summary>
    private static void Free(PosixStack s, in Wire wire)
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

    /// <summary>Ends a listener, once for its socket, and gives it back. Only its own stack does.</summary>
    public static void CloseListener(PosixStack s, AccelThread* t, LocalRegion region, int index)
    {
        EndListener(s, t, region, index);
        // Whoever buried its last holder may have ended it, and knows nothing of interfaces.
        NicListener.Close(s, t, region, index);
        region.GiveListener(index);
    }

    /// <summary>
    /// Nobody finds the listener any more, and connections that wait to be accepted are reset.
    /// </summary>
    private static void EndListener(PosixStack s, AccelThread* t, LocalRegion region, int index)
    {
        Listener* listener = region.ListenerAt(index);
        uint generation = Volatile.Read(ref listener->Generation);
        if ((generation & 1) == 0)
            return;
        Interlocked.CompareExchange(ref listener->Generation, generation + 1, generation);
        // A client may be between its look at the generation and its push; the sweep below finds what it pushed, and
        // the client
        // looks at the generation again after it.
        ResetQueued(s, t, region, index, generation);
    }

    /// <summary>Resets what nobody will accept.</summary>
    private static void ResetQueued(PosixStack s, AccelThread* t, LocalRegion region, int index, uint generation)
    {
        int count = (int)Math.Min(region.Tables->Conns.Bumped, LocalRegion.MaxConns);
        for (int c = 0; c < count; c++)
        {
            Conn* conn = region.ConnAt(c);
            if (conn->Listener == (uint)index && conn->ListenerGeneration == generation)
                ResetOne(s, t, region, c);
        }
    }

    /// <summary>Resets a connection that nobody will accept, if it still waits.</summary>
    public static void ResetOne(PosixStack s, AccelThread* t, LocalRegion region, int index)
    {
        Conn* conn = region.ConnAt(index);
        if (Claim(conn, ConnState.Queued) || Claim(conn, ConnState.Waiting) || Claim(conn, ConnState.Withdrawn))
            CloseSide(s, t, new Wire(region, conn, index, 1), conn->Generation, abort: true);
    }

    /// <summary>Out of the accept queue comes a connection that its client has withdrawn: gives it back.</summary>
    public static bool Discard(PosixStack s, AccelThread* t, LocalRegion region, int index)
    {
        Conn* conn = region.ConnAt(index);
        if (!Claim(conn, ConnState.Withdrawn))
            return false;
        CloseSide(s, t, new Wire(region, conn, index, 1), conn->Generation, abort: true);
        return true;
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
            CloseSide(s, t, new Wire(region, conn, index, 1), conn->Generation, abort: true);
            return;
        }
        uint listenerIndex = conn->Listener;
        bool queued = Volatile.Read(ref conn->State) == (uint)ConnState.Queued;
        if ((!queued && conn->State != (uint)ConnState.Waiting) || listenerIndex >= LocalRegion.MaxListeners)
            return;
        Listener* listener = region.ListenerAt((int)listenerIndex);
        s.Lock(ref listener->Lock, t);
        AcceptOrder.Recover(region, (int)listenerIndex);
        uint wanted = (uint)index + 1;
        bool linked = AcceptOrder.IsLinked(region, listener->Ordered, wanted, inOrder: true)
            || AcceptOrder.IsLinked(region, Volatile.Read(ref listener->Arrived), wanted, inOrder: false)
            || AcceptOrder.IsLinked(region, Volatile.Read(ref listener->Waiting), wanted, inOrder: false);
        bool lost = !linked && Claim(conn, queued ? ConnState.Queued : ConnState.Waiting);
        if (lost && queued)
            Interlocked.Decrement(ref listener->Queued);
        PosixStack.Unlock(ref listener->Lock);
        if (lost)
            CloseSide(s, t, new Wire(region, conn, index, 1), conn->Generation, abort: true);
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
        bool owner = attachmentPlusOne == 1, isLast = IsLast(region, attachmentPlusOne, slot);
        for (int l = 0; owner && l < listeners; l++)
        {
            Listener* listener = region.ListenerAt(l);
            if ((listener->Generation & 1) != 0 && Holders.Remove(listener->Holders, slot))
                EndListener(s, t, region, l);
            else if ((listener->Generation & 1) != 0 && AcceptOrder.IsHalfDone(listener))
                RecoverQueue(s, t, region, l);
        }
        int conns = (int)Math.Min(region.Tables->Conns.Bumped, LocalRegion.MaxConns);
        uint dead = ConnClaim.Of(attachmentPlusOne, slot), me = Me(s, region);
        for (int c = 0; c < conns; c++)
        {
            Conn* conn = region.ConnAt(c);
            // Before anything else is looked at: what the dead process had of a later connection is nothing.
            uint generation = Volatile.Read(ref conn->Generation);
            if (Volatile.Read(ref conn->State) == (uint)ConnState.Free)
                continue;
            for (int side = 0; side < 2; side++)
            {
                Wire wire = new(region, conn, c, side);
                uint begun = ConnClaim.TakeOver(ConnClaim.CloserOf(conn, side), dead, me);
                if (begun != 0)
                {
                    // It may have done it all but the last step.
                    if ((Volatile.Read(ref conn->ClosedMask) & 1u << side) == 0)
                        CloseClaimed(s, t, wire, me, abort: false);
                    else if (region.TryFree(c, begun, me))
                        Free(s, wire);
                }
                else if (wire.Me->Stack == attachmentPlusOne)
                    BuryHolder(s, t, wire, generation, slot, isLast);
            }
            if (ConnClaim.TakeOver(&conn->Freeing, dead, me) != 0)
                Free(s, new Wire(region, conn, c, 0));
        }
    }

    private static void BuryHolder(
        PosixStack s, AccelThread* t, in Wire wire, uint generation, int slot, bool isLast)
    {
        bool held = Holders.Has(wire.Me->Holders, slot);
        if (Holders.Remove(wire.Me->Holders, slot) || (isLast && Holders.IsEmpty(wire.Me->Holders)))
        {
            if (wire.SideIndex == 0)
                Unqueue(s, t, wire.Region, wire.Index);
            CloseSide(s, t, wire, generation, abort: false);
        }
        else if (held && !NicConnector.IsOverNic(wire))
            // Others go on with it, and the last that it wrote or read it may not have told of any more.
            Notifier.Notify(s, t, wire.Region, wire.Peer, wire.PeerSource);
    }

    /// <summary>It may have been in accept(): what it had taken in hand waits again, for another.</summary>
    private static void RecoverQueue(PosixStack s, AccelThread* t, LocalRegion region, int index)
    {
        Listener* listener = region.ListenerAt(index);
        s.Lock(ref listener->Lock, t);
        AcceptOrder.Recover(region, index);
        PosixStack.Unlock(ref listener->Lock);
        Notifier.NotifyListener(s, t, region, index);
    }

    /// <summary>True if a stack has no process left but one: whatever it had is nobody's after that.</summary>
    private static bool IsLast(LocalRegion region, uint attachmentPlusOne, int slot)
    {
        Attachment* attachment = region.AttachmentAt((int)attachmentPlusOne - 1);
        for (int m = 0; m < Attachment.MaxMembers; m++)
        {
            if (m != slot && Volatile.Read(ref Attachment.MemberAt(attachment, m)->Pid) != 0)
                return false;
        }
        return true;
    }
}
