using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Tcp;

namespace Accel.Core.Nic;

/// <summary>
/// Between TCP's sequence space and a connection's two rings: what there is to send and room to receive, and what a
/// segment did to both.
/// </summary>
internal static unsafe class NicStreams
{
    /// <summary>What is offered before there is a ring: as much as the first one holds.</summary>
    public const uint FirstSpace = 1u << PipeOps.FirstLog2;

    /// <summary>What TCP has to know. The ends are looked at before the bytes: what was written before a close is seen
    /// with it.</summary>
    public static TcpStreams Of(NicBlock* block, in NicWire wire)
    {
        uint flags = Volatile.Read(ref wire.Program->Flags);
        ulong tail = Volatile.Read(ref wire.Out->Tail), head = wire.Out->Head;
        ulong queued = tail - head;
        ulong urgent = Volatile.Read(ref wire.Out->Urgent);
        return new TcpStreams
        {
            Queued = queued <= PipeOps.MaxInFlight ? (uint)queued : 0,
            Finished = (flags & (uint)SideFlags.FinSent) != 0,
            ReadShut = (flags & (uint)(SideFlags.ReadShut | SideFlags.Closed)) != 0,
            MoreComes = block->Settings.Has(NicSettingFlags.Cork) || Volatile.Read(ref wire.Program->More) != 0,
            NoDelay = block->Settings.Has(NicSettingFlags.NoDelay),
            ReceiveSpace = (uint)PipeOps.Room(wire.In),
            Unread = (uint)PipeOps.Unread(wire.In),
            UrgentEnd = urgent > head && urgent - head <= PipeOps.MaxInFlight ? (uint)(urgent - head) : 0,
        };
    }

    /// <summary>
    /// The same for a connection that has no streams: half-open, the room is what was offered; later, its program has
    /// gone.
    /// </summary>
    public static TcpStreams None(NicBlock* block) => block->Use == NicUse.HalfOpen
        ? new TcpStreams { ReceiveSpace = block->Tcb.RcvWnd }
        : new TcpStreams { ReceiveSpace = FirstSpace, Finished = true, ReadShut = true };

    /// <summary>
    /// The peer has what it acknowledged. Returns true if the program waits for room and has enough now.
    /// </summary>
    public static bool Acknowledge(LocalRegion region, in NicWire wire, uint bytes)
    {
        if (!PipeOps.Forget(region, wire.Out, bytes))
            return false;
        return Volatile.Read(ref wire.Program->WantSpace) != 0 && PipeOps.HasThird(wire.Out);
    }

    /// <summary>
    /// Writes what a segment brought, and shows the program what is in order now. False if the rings make no sense.
    /// </summary>
    public static bool TryReceive(
        NicCore core, NicBlock* block, in NicWire wire, in TcpEffects fx, in NicPayload payload)
    {
        if (fx.StoreLength > 0 && fx.Advance == fx.StoreLength && block->Tcb.Reassembly.IsEmpty)
            PipeOps.Rewind(wire.In);
        if (fx.StoreLength > 0
            && !payload.TryStore(core.Local, wire.In, fx.StoreFrom, fx.StoreLength, fx.StoreAt))
            return false;
        if (fx.Has(TcpEvents.Urgent))
            PipeOps.MarkUrgent(wire.In, wire.In->Tail + fx.UrgentEnd);
        if (fx.Advance > 0)
        {
            if (Volatile.Read(ref wire.Program->Watch) != 0)
                wire.In->Stamp = core.Host.Ticks();
            PipeOps.Publish(wire.In, fx.Advance);
            wire.In->Sends++;
        }
        return true;
    }

    /// <summary>
    /// Makes the receiving buffer larger: its limit, and its ring if nothing lies beyond its end that would have to be
    /// moved.
    /// </summary>
    public static void Grow(NicCore core, NicBlock* block, in NicWire wire, uint wanted)
    {
        if (!block->Settings.Has(NicSettingFlags.ReceiveFixed) && wanted > wire.In->ReceiveLimit)
            wire.In->ReceiveLimit = Math.Min(wanted, 1u << PipeOps.StalledLog2);
        if (!block->Tcb.Reassembly.IsEmpty || PipeOps.Limit(wire.In) <= 1ul << (int)wire.In->WriteLog2)
            return;
        bool grown = PipeOps.Grow(core.Local, wire.In, stalled: true);
        core.Count(grown ? NicCounter.ReceiveGrowths : NicCounter.ReceiveGrowthsFailed);
    }

    /// <summary>
    /// The program is to say when it has made room, if the window has become small. True if it made room meanwhile.
    /// </summary>
    public static bool AskForRoom(NicBlock* block, in NicWire wire)
    {
        if (!block->Tcb.State.IsReceiving())
            return false;
        ulong space = PipeOps.Room(wire.In), unread = PipeOps.Unread(wire.In);
        bool small = 2ul * Window.Remaining(in block->Tcb) <= space + unread && unread > 0;
        if (!small)
        {
            if (wire.Engine->WantSpace != 0)
                Volatile.Write(ref wire.Engine->WantSpace, 0);
            return false;
        }
        Volatile.Write(ref wire.Engine->WantSpace, 1);
        Interlocked.MemoryBarrier();
        return PipeOps.Unread(wire.In) < unread;
    }
}
