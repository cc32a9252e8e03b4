using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Tcp;

namespace Accel.Core.Nic;

/// <summary>
/// The engine's lock was taken over from a thread that died: whatever it was changing may be half changed. The tables
/// that only repeat what blocks say are made anew from them; the one connection that it was working on is reset.
/// </summary>
internal sealed unsafe class NicRecovery(NicCore core)
{
    public void Run()
    {
        NicRegion region = core.Region;
        core.Count(NicCounter.LocksRecovered);
        foreach (ILink link in core.Links)
            link.Recover();
        Clear(region);
        int high = region.BlocksHigh;
        for (int i = high - 1; i >= 0; i--)
            Restore(i);
        for (int i = 0; i < LocalRegion.MaxListeners; i++)
        {
            if (region.ListenerAt(i)->Open != 0)
                NicDemux.LinkListener(region, i);
        }
        FreeOtherRecords();
        FindAbandoned();
        core.Udp.Recover();
        core.Head->InHand = 0;
    }

    /// <summary>Connections whose block was given back, or not entered yet, while their streams still waited.</summary>
    private void FindAbandoned()
    {
        int high = (int)Math.Min(core.Local.Tables->Conns.Bumped, LocalRegion.MaxConns);
        for (int i = 0; i < high; i++)
        {
            Conn* conn = core.Local.ConnAt(i);
            int side = NicConn.EngineSide(conn);
            if (side >= 0 && FinishFreeing(i))
                continue;
            if (side < 0 || core.Region.ConnBlocks[i] != 0 || (conn->ClosedMask & 1u << side) != 0
                || Volatile.Read(ref conn->State) == (uint)ConnState.Free)
                continue;
            if (conn->State == (uint)ConnState.Fresh)
            {
                // Nobody has seen it yet.
                core.Local.FreeConn(i);
                continue;
            }
            NicWire wire = NicWire.Of(core.Local, i, side);
            NicConn.Set(wire.Engine, NicPhase.Failed, NicError.Reset);
            Interlocked.Or(ref wire.Program->Flags, (uint)SideFlags.Reset);
            Interlocked.Or(ref wire.Engine->Flags, (uint)SideFlags.Closed);
            core.Host.Notify(core.Local, i, 1 - side);
            if (core.Local.CloseSide(i, side))
                core.Local.FreeConn(i);
        }
    }

    /// <summary>It was giving the connection back, or about to.</summary>
    private bool FinishFreeing(int index)
    {
        Conn* conn = core.Local.ConnAt(index);
        uint generation = Volatile.Read(ref conn->Generation);
        if (Volatile.Read(ref conn->State) == (uint)ConnState.Free
            || (ConnClaim.TakeOver(&conn->Freeing, ConnClaim.Engine, ConnClaim.Engine) == 0
                && !core.Local.TryFree(index, generation, ConnClaim.Engine)))
            return false;
        core.Local.FreeConn(index);
        return true;
    }

    private static void Clear(NicRegion region)
    {
        ulong now = region.Wheel->Now;
        *region.Wheel = default;
        region.Wheel->Now = now;
        new Span<uint>(region.BucketHeads, NicRegion.Buckets).Clear();
        new Span<uint>(region.PortHeads, NicRegion.PortBuckets).Clear();
        new Span<uint>(region.ConnBlocks, LocalRegion.MaxConns).Clear();
        new Span<ulong>(region.Marks, NicRegion.MaxRecords / 64).Clear();
        for (int i = 0; i < LocalRegion.MaxListeners; i++)
            region.ListenerAt(i)->HalfOpen = 0;
        FreeList* blocks = &region.Tables->Blocks;
        // The tag goes on, the chain begins anew.
        blocks->Head = ((blocks->Head >> 32) + 1) << 32;
        blocks->InUse = region.BlocksHigh;
    }

    private void Restore(int index)
    {
        NicBlock* block = core.Region.BlockAt(index);
        block->HashNext = 0;
        block->Timer = default;
        block->Flags &= ~(NicBlockFlags.Pending | NicBlockFlags.Linked);
        bool lost = core.Head->InHand == (uint)index + 1;
        NicHandover.Thaw(block);
        if (block->Use is not (NicUse.HalfOpen or NicUse.Live or NicUse.TimeWait)
            || block->Route.Link >= core.Links.Length)
        {
            core.Connections.Discard(index);
            return;
        }
        if (block->Conn - 1 < LocalRegion.MaxConns)
            core.Region.ConnBlocks[block->Conn - 1] = (uint)index + 1;
        NicDemux.Link(core.Region, index);
        // What others have is whole; if it is not, its records are not to be trusted either.
        if (lost || !TryMark(ref block->Tcb))
        {
            Lose(index);
            return;
        }
        if (block->Is(NicBlockFlags.Counted) && block->Listener - 1 < LocalRegion.MaxListeners)
            core.Region.ListenerAt((int)block->Listener - 1)->HalfOpen++;
        core.Timers.Arm(index);
        if (block->Conn != 0)
            NicSet.Add(core.Region.Kicked, (int)block->Conn - 1);
    }

    /// <summary>TCP's block, or the streams, may be half changed: a RST with what there is, and no more.</summary>
    private void Lose(int index)
    {
        NicBlock* block = core.Region.BlockAt(index);
        core.Count(NicCounter.RecoveryResets);
        TcpEffects fx = new()
        {
            Events = TcpEvents.SendReset,
            ResetSeq = block->Tcb.SndNxt,
            ResetAck = block->Tcb.RcvNxt,
            ResetFlags = Wire.TcpFlags.Rst | Wire.TcpFlags.Ack,
        };
        if (block->Use == NicUse.Live)
            core.Output.SendReset(ref block->Route, in fx, stranger: false);
        block->Flags &= ~NicBlockFlags.Counted;
        core.Connections.Fail(block, TcpError.Reset);
        core.Connections.GiveStreamsBack(block);
        core.Connections.Discard(index);
    }

    /// <summary>Records that no connection has marked are free, whatever the free list said.</summary>
    private void FreeOtherRecords()
    {
        NicRegion region = core.Region;
        FreeList* records = &region.Tables->Records;
        uint high = RecordsHigh, used = 0;
        records->Head = 0;
        for (uint r = high; r > 0; r--)
        {
            if ((MarksOf(r) & MarkOf(r)) != 0)
            {
                used++;
                continue;
            }
            region.Records[r - 1] = default;
            region.Records[r - 1].Next = (uint)records->Head;
            records->Head = r;
        }
        records->Bumped = high;
        records->InUse = (int)used;
    }

    /// <summary>
    /// Marks a connection's records: what it has in flight, and what it has received ahead of a gap. False, and none
    /// of them is marked, if a chain of its cannot be true.
    /// </summary>
    private bool TryMark(ref Tcb tcb)
    {
        ref SentQueue sent = ref tcb.Recovery.Sent;
        if (!TryMark(sent.Head, sent.Tail, sent.Records))
            return false;
        if (TryMark(tcb.Reassembly.First, tcb.Reassembly.Last, (uint)tcb.Reassembly.Count))
            return true;
        Unmark(sent.Head, sent.Records);
        return false;
    }

    /// <summary>A record that is marked already is another's, or the chain runs in a circle.</summary>
    private bool TryMark(uint first, uint last, uint count)
    {
        uint marked = 0, before = 0;
        for (uint r = first; r != 0; before = r, r = core.Region.Records[r - 1].Next)
        {
            if (r > RecordsHigh || core.Region.Records[r - 1].Previous != before || (MarksOf(r) & MarkOf(r)) != 0)
            {
                Unmark(first, marked);
                return false;
            }
            MarksOf(r) |= MarkOf(r);
            marked++;
        }
        if (marked == count && before == last)
            return true;
        Unmark(first, marked);
        return false;
    }

    private void Unmark(uint first, uint count)
    {
        for (uint r = first; count > 0; count--, r = core.Region.Records[r - 1].Next)
            MarksOf(r) &= ~MarkOf(r);
    }

    private uint RecordsHigh => Math.Min(core.Region.Tables->Records.Bumped, NicRegion.MaxRecords);

    private ref ulong MarksOf(uint record) => ref core.Region.Marks[(record - 1) / 64];

    private static ulong MarkOf(uint record) => 1ul << (int)((record - 1) % 64);
}
