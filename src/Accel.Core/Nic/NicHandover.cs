using Accel.Core.Handover;
using Accel.Core.Local;
using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Nic;

/// <summary>
/// A connection on its way from the engine to the kernel. It is frozen while that is tried: nothing is sent and what
/// arrives is lost, which retransmissions repair. Then either it thaws, or it leaves a name behind for a moment, since
/// a segment that still comes here must not be answered with a RST.
/// </summary>
internal sealed unsafe class NicHandover(NicCore core)
{
    /// <summary>What was steered here before the kernel had the connection lies in no ring longer than that.</summary>
    private const long StragglersNs = TcpContext.NsPerSecond;

    /// <summary>Stops a connection, and tells how it stands. None frozen: it stays as it was.</summary>
    public HandoverRefusal TryFreeze(int conn, out TcpImage image)
    {
        image = default;
        int index = NicDemux.OfConn(core.Region, conn);
        if (index < 0)
            return HandoverRefusal.State;
        NicBlock* block = core.Region.BlockAt(index);
        if (block->Use != NicUse.Live || block->Is(NicBlockFlags.Detached)
            || !NicWire.TryOf(core.Local, block, out NicWire wire))
            return HandoverRefusal.State;
        // RFC 9293 3.8.5: an urgent pointer that is still to be sent, or to be read up to, has no place in an image.
        if (wire.Out->Urgent > wire.Out->Head || wire.In->Urgent > wire.In->Head)
            return HandoverRefusal.UrgentData;
        TcpStreams streams = NicStreams.Of(block, in wire);
        if (!TcpImage.TryOf(in block->Tcb, in streams, core.Context.NowMs, out image))
            return HandoverRefusal.State;
        block->Use = NicUse.Frozen;
        core.Count(NicCounter.HandoversBegun);
        return HandoverRefusal.None;
    }

    /// <summary>The connection goes on here.</summary>
    public void Thaw(int conn)
    {
        int index = NicDemux.OfConn(core.Region, conn);
        if (index < 0 || core.Region.BlockAt(index)->Use != NicUse.Frozen)
            return;
        Thaw(core.Region.BlockAt(index));
        core.Connections.Service(index);
    }

    /// <summary>Also in recovery: whoever froze it may have died over it.</summary>
    public static void Thaw(NicBlock* block)
    {
        if (block->Use == NicUse.Frozen)
            block->Use = NicUse.Live;
    }

    /// <summary>
    /// The kernel has the connection: the engine's end of it is closed without a word to anybody. True if the program's
    /// end is closed already: then the caller gives the connection back.
    /// </summary>
    public bool Release(int conn)
    {
        int index = NicDemux.OfConn(core.Region, conn);
        if (index < 0)
            return false;
        NicBlock* block = core.Region.BlockAt(index);
        if (!NicWire.TryOf(core.Local, block, out NicWire wire))
            return false;
        core.Timers.Cancel(index);
        TcpClose.Free(ref block->Tcb, core.Context);
        core.Listeners.Uncount(block);
        core.Region.ConnBlocks[wire.Index] = 0;
        block->Conn = 0;
        block->Flags &= ~(NicBlockFlags.Holds | NicBlockFlags.NotifyDue);
        block->Tcb = default;
        block->Use = NicUse.HandedOver;
        block->ResolveSince = core.NowNs;
        block->ResolveAgainAt = core.NowNs + StragglersNs;
        core.Timers.Arm(index);
        NicConn.Set(wire.Engine, NicPhase.Closed);
        Interlocked.Or(ref wire.Engine->Flags, (uint)SideFlags.Closed);
        core.Count(NicCounter.HandoversDone);
        return core.Local.CloseSide(wire.Index, wire.EngineSide);
    }

    /// <summary>
    /// A segment for a connection that is not here any more. Only one that begins another of the same name is heard.
    /// </summary>
    public void OnSegment(int index, in TcpSegment seg)
    {
        NicBlock* block = core.Region.BlockAt(index);
        core.Count(NicCounter.RxHandedOver);
        if (block->Use != NicUse.HandedOver || !seg.Has(TcpFlags.Syn) || seg.Has(TcpFlags.Ack))
            return;
        NicRoute route = block->Route;
        core.Connections.Discard(index);
        core.Listeners.OnSyn(ref route, in seg, hasIss: false, default);
    }

    /// <summary>
    /// Whoever froze it has died: its program's end was closed in its name, which nobody does who hands it over.
    /// </summary>
    public bool IsAbandoned(NicBlock* block)
    {
        if (!NicWire.TryOf(core.Local, block, out NicWire wire)
            || (Volatile.Read(ref wire.Program->Flags) & (uint)SideFlags.Closed) == 0)
            return false;
        Thaw(block);
        return true;
    }

    public void OnTimer(int index)
    {
        if (core.Region.BlockAt(index)->Use == NicUse.HandedOver)
            core.Connections.Discard(index);
    }
}
