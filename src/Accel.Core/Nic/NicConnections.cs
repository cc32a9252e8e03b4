using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Tcp;

namespace Accel.Core.Nic;

/// <summary>
/// The life of connections: gives TCP what happens (segments, time, what the program did), does what TCP says follows
/// from it, and gives blocks and streams back. While a block is worked on the region says so: if this process dies over
/// it, the next holder of the lock knows which connection is lost.
/// </summary>
internal sealed unsafe class NicConnections
{
    /// <summary>Blocks that may be used up before TIME-WAIT is cut short (tcp_max_tw_buckets).</summary>
    private const int MaxTimeWait = NicRegion.MaxBlocks / 4 * 3;

    private readonly NicCore _core;

    [ColdPath]
    public NicConnections(NicCore core) => _core = core;

    /// <summary>Opens a connection to a peer: the SYN goes as soon as the next hop is known.</summary>
    public NicError Open(
        int connIndex, in Endpoint local, in Endpoint remote, in Ip.Route route, in NicSettings settings)
    {
        int link = _core.Paths.LinkOf(route.InterfaceIndex);
        if (link < 0)
            return NicError.NoLink;
        NicRoute way = new()
        {
            Local = local,
            Remote = remote,
            Link = (byte)link,
            Ttl = settings.Ttl,
            Tos = settings.Tos,
        };
        way.Local.ScopeId = way.Remote.ScopeId = 0;
        uint mtu = _core.Links[link].Info->Mtu;
        TcpOpening opening = new()
        {
            Flow = NicOptions.Flow(in way),
            Mtu = route.Mtu == 0 ? mtu : Math.Min(mtu, route.Mtu),
            Options = NicOptions.Tuning(in settings),
            Congestion = NicOptions.Congestion(in settings, in _core.Head->Settings),
        };
        if (!IsNameFree(in way, ref opening))
            return NicError.AddressInUse;
        int index = NicDemux.Take(_core.Region, in way, NicUse.Live);
        if (index < 0)
        {
            _core.Count(NicCounter.NoBlocks);
            return NicError.NoMemory;
        }
        NicBlock* block = _core.Region.BlockAt(index);
        _core.Head->InHand = (uint)index + 1;
        block->Settings = settings;
        block->InterfaceIndex = route.InterfaceIndex;
        block->NextHop = route.NextHop;
        block->TablesVersion = _core.Tables.Version - 1;
        block->Route.FlowLabel = block->Hash & 0xFFFFF;
        block->Route.Identification = (ushort)(block->Hash >> 16);
        Attach(index, connIndex);
        NicWire.TryOf(_core.Local, block, out NicWire wire);
        opening.ReceiveSpace = NicStreams.Of(block, in wire).ReceiveSpace;
        TcpOpen.Active(ref block->Tcb, in opening, _core.Context);
        _core.Head->InHand = 0;
        Service(index);
        return NicError.None;
    }

    /// <summary>The engine becomes side 1 of a connection that a program made.</summary>
    private void Attach(int index, int connIndex)
    {
        NicBlock* block = _core.Region.BlockAt(index);
        Conn* conn = _core.Local.ConnAt(connIndex);
        NicConn.Set(&conn->Side1, NicPhase.Connecting);
        block->ConnGeneration = conn->Generation;
        block->Side = 1;
        block->Conn = (uint)connIndex + 1;
        _core.Region.ConnBlocks[connIndex] = (uint)index + 1;
        // Both ends have an owner; whoever buries the program's closes that end as any other.
        Volatile.Write(ref conn->State, (uint)ConnState.Accepted);
        Volatile.Write(ref conn->Side1.Watch, Side.EngineWatch);
    }

    /// <summary>A connection in TIME-WAIT may give way (RFC 6191), any other has the name.</summary>
    private bool IsNameFree(in NicRoute way, ref TcpOpening opening)
    {
        int taken = NicDemux.Find(_core.Region, in way.Local, in way.Remote,
            NicDemux.HashOf(_core.Region, in way.Local, in way.Remote));
        if (taken < 0)
            return true;
        NicBlock* block = _core.Region.BlockAt(taken);
        if (block->Use != NicUse.TimeWait
            || !TcpClose.CanReuse(in block->Tcb, _core.Context, out opening.Iss))
            return false;
        opening.HasIss = true;
        Free(taken);
        return true;
    }

    /// <summary>A program has changed the options of a connection.</summary>
    public void Configure(int index, in NicSettings settings)
    {
        NicBlock* block = _core.Region.BlockAt(index);
        _core.Head->InHand = (uint)index + 1;
        block->Settings = settings;
        block->Route.Ttl = settings.Ttl;
        block->Route.Tos = settings.Tos;
        block->Tcb.Options = NicOptions.Tuning(in settings);
        block->Tcb.Recovery.Congestion.Algorithm = NicOptions.Congestion(in settings, in _core.Head->Settings);
        if (settings.Has(NicSettingFlags.QuickAck))
            DelayedAck.SetQuick(ref block->Tcb, on: true);
        TcpKeepalive.OnOptions(ref block->Tcb, _core.Context);
        _core.Head->InHand = 0;
        Service(index);
    }

    /// <summary>True if no connection has anything left to send, or an end to make known.</summary>
    public bool AreDrained
    {
        get
        {
            int high = _core.Region.BlocksHigh;
            for (int i = 0; i < high; i++)
            {
                NicBlock* block = _core.Region.BlockAt(i);
                if (block->Use == NicUse.Live && !IsDrained(block))
                    return false;
            }
            return true;
        }
    }

    private bool IsDrained(NicBlock* block)
    {
        if (block->Tcb.SndUna != block->Tcb.SndNxt)
            return false;
        if (!NicWire.TryOf(_core.Local, block, out NicWire wire))
            return true;
        TcpStreams streams = NicStreams.Of(block, in wire);
        bool finDue = streams.Finished && (block->Tcb.Flags & TcbFlags.FinSent) == 0;
        return streams.Queued == 0 && !finDue;
    }

    /// <summary>A segment for a block has arrived.</summary>
    public void OnSegment(int index, in TcpSegment seg, in NicPayload payload)
    {
        NicBlock* block = _core.Region.BlockAt(index);
        if (block->IsStill)
        {
            _core.Handover.OnSegment(index, in seg);
            return;
        }
        _core.Head->InHand = (uint)index + 1;
        if (block->Use != NicUse.HalfOpen || _core.Listeners.MayGoOn(index, in seg))
        {
            bool hasStreams = NicWire.TryOf(_core.Local, block, out NicWire wire);
            TcpStreams streams = hasStreams ? NicStreams.Of(block, in wire) : NicStreams.None(block);
            TcpEffects fx = default;
            TcpInput.OnSegment(ref block->Tcb, in seg, _core.Context, in streams, ref fx);
            if (fx.Has(TcpEvents.Reopen))
                Reopen(index, in seg, fx.NextIss);
            else if (Apply(index, hasStreams, in wire, in fx, in payload))
            {
                // What is out of order is answered one by one: peers without SACK count the answers. So is what fills a
                // gap (RFC 5681 4.2): with one answer to the whole batch, and that lost, a peer in recovery has nothing
                // but its timeout.
                if (fx.Has(TcpEvents.Send) && fx.Acked == 0 && (fx.Advance == 0 || fx.Advance > fx.StoreLength))
                    _core.Emission.Run(index);
                if (block->Use == NicUse.HalfOpen)
                    _core.Listeners.TakeBack(block);
                _core.Pending.Add(index, in fx, ref streams);
            }
        }
        _core.Head->InHand = 0;
    }

    /// <summary>
    /// A peer that has just been through another handshake knows nothing of the connection of that name. Its SYN would
    /// have ended it: TIME-WAIT by RFC 6191, a half-open one by RFC 9293 3.5.1. It went to the program on the
    /// interfaces; the cookie that comes back is as good a witness. True if the block has given way.
    /// </summary>
    public bool GivesWay(int index, in TcpSegment seg)
    {
        NicBlock* block = _core.Region.BlockAt(index);
        ref Tcb tcb = ref block->Tcb;
        // Whatever acknowledges what was sent is this connection's.
        if (seg.Ack.Value - tcb.SndUna.Value <= tcb.SndNxt.Value - tcb.SndUna.Value)
            return false;
        bool handedOver = block->Use == NicUse.HandedOver;
        if ((block->IsStill && !handedOver) || !_core.Listeners.BringsCookie(block, in seg))
            return false;
        if (handedOver)
        {
            Discard(index);
            return true;
        }
        if (block->Use == NicUse.Live)
            _core.Context.Count(TcpCounter.EstablishedResets);
        Fail(block, TcpError.Reset);
        Free(index);
        return true;
    }

    /// <summary>A block's timer is due.</summary>
    public void OnTimer(int index)
    {
        NicBlock* block = _core.Region.BlockAt(index);
        if (block->IsStill)
        {
            _core.Handover.OnTimer(index);
            return;
        }
        _core.Head->InHand = (uint)index + 1;
        bool alive = true;
        if (_core.Paths.IsHopeless(block))
        {
            TcpEffects fx = new() { Events = TcpEvents.Failed, Error = TcpError.HostUnreachable };
            alive = Apply(index, in fx, NicPayload.None);
        }
        else if (TcpTimers.Deadline(in block->Tcb) <= _core.NowNs)
        {
            TcpStreams streams = _core.Emission.Streams(block);
            TcpEffects fx = default;
            TcpTimers.OnTimer(ref block->Tcb, _core.Context, in streams, ref fx);
            alive = Apply(index, in fx, NicPayload.None);
        }
        _core.Head->InHand = 0;
        if (alive)
            Service(index);
    }

    /// <summary>ICMP has something to say about a block.</summary>
    public void OnIcmp(int index, in IcmpEvent report)
    {
        NicBlock* block = _core.Region.BlockAt(index);
        if (block->IsStill)
            return;
        _core.Head->InHand = (uint)index + 1;
        TcpEffects fx = default;
        TcpIcmp.OnError(ref block->Tcb, report.Type, report.Code, new(report.Seq), report.Mtu, _core.Context, ref fx);
        bool alive = Apply(index, in fx, NicPayload.None);
        _core.Head->InHand = 0;
        if (alive)
            Service(index);
    }

    /// <summary>Ends a connection with a RST.</summary>
    public void Abort(int index)
    {
        NicBlock* block = _core.Region.BlockAt(index);
        NicHandover.Thaw(block);
        _core.Head->InHand = (uint)index + 1;
        TcpEffects fx = default;
        TcpClose.Abort(ref block->Tcb, _core.Context, ref fx);
        if (fx.Has(TcpEvents.Send))
            _core.Emission.Run(index);
        fx.Events |= TcpEvents.Failed;
        if (fx.Error == TcpError.None)
            fx.Error = TcpError.Reset;
        Apply(index, in fx, NicPayload.None);
        _core.Head->InHand = 0;
    }

    /// <summary>Looks at what the program did, sends what is due, tells the program, sets the timer.</summary>
    public void Service(int index)
    {
        NicBlock* block = _core.Region.BlockAt(index);
        block->Flags &= ~(NicBlockFlags.Pending | NicBlockFlags.ServiceDue);
        if (block->Use == NicUse.Free || (block->IsStill && !_core.Handover.IsAbandoned(block)))
            return;
        _core.Head->InHand = (uint)index + 1;
        if (TakeProgram(index))
        {
            _core.Emission.Run(index);
            if (NicWire.TryOf(_core.Local, block, out NicWire wire))
            {
                if (NicStreams.AskForRoom(block, in wire))
                    _core.Emission.Run(index);
                Tell(block, in wire);
                // Nobody writes or reads any more, and the peer has all: only its FIN is waited for.
                if (block->Is(NicBlockFlags.Detached) && block->Tcb.State == TcpState.FinWait2)
                    GiveStreamsBack(block);
            }
            _core.Timers.Arm(index);
        }
        _core.Head->InHand = 0;
    }

    /// <summary>Tells the program, if it has something to see.</summary>
    public void Tell(NicBlock* block, in NicWire wire)
    {
        if (!block->Is(NicBlockFlags.NotifyDue))
            return;
        block->Flags &= ~NicBlockFlags.NotifyDue;
        _core.Host.Notify(_core.Local, wire.Index, 1 - wire.EngineSide);
    }

    /// <summary>What the program's end says: close() and abort. False if the block has gone over it.</summary>
    private bool TakeProgram(int index)
    {
        NicBlock* block = _core.Region.BlockAt(index);
        if (block->Is(NicBlockFlags.Detached) || !NicWire.TryOf(_core.Local, block, out NicWire wire))
            return true;
        bool abort = (Volatile.Read(ref wire.Engine->Flags) & (uint)SideFlags.Reset) != 0;
        if (!abort && (Volatile.Read(ref wire.Program->Flags) & (uint)SideFlags.Closed) == 0)
            return true;
        block->Flags |= NicBlockFlags.Detached;
        TcpStreams streams = _core.Emission.Streams(block);
        TcpEffects fx = default;
        TcpClose.OnDetached(ref block->Tcb, _core.Context, in streams, abort, ref fx);
        return Apply(index, in fx, NicPayload.None);
    }

    /// <summary>Does what a step of TCP asks for. False if the block has been given back.</summary>
    private bool Apply(int index, in TcpEffects fx, in NicPayload payload)
    {
        bool hasStreams = NicWire.TryOf(_core.Local, _core.Region.BlockAt(index), out NicWire wire);
        return Apply(index, hasStreams, in wire, in fx, in payload);
    }

    private bool Apply(int index, bool hasStreams, in NicWire wire, in TcpEffects fx, in NicPayload payload)
    {
        NicBlock* block = _core.Region.BlockAt(index);
        if (hasStreams)
        {
            if (fx.Acked > 0 && NicStreams.Acknowledge(_core.Local, in wire, fx.Acked))
                block->Flags |= NicBlockFlags.NotifyDue;
            if (!NicStreams.TryReceive(_core, block, in wire, in fx, in payload))
                return Corrupt(index);
            if (fx.Has(TcpEvents.GrowReceive))
                NicStreams.Grow(_core, block, in wire, fx.ReceiveWanted);
            if (fx.Has(TcpEvents.EndOfStream))
                Interlocked.Or(ref wire.Engine->Flags, (uint)SideFlags.FinSent);
            if (fx.Advance > 0 || fx.Has(TcpEvents.EndOfStream | TcpEvents.Urgent))
                block->Flags |= NicBlockFlags.NotifyDue;
        }
        if (fx.Has(TcpEvents.Established))
            OnEstablished(index);
        if (fx.Has(TcpEvents.SendReset))
            _core.Output.SendReset(ref block->Route, in fx, stranger: false);
        if (fx.Has(TcpEvents.PathSuspect))
            _core.Paths.Doubt(block);
        if (fx.Has(TcpEvents.Failed))
            Fail(block, fx.Error);
        else if (fx.Has(TcpEvents.TimeWait))
            return EnterTimeWait(index);
        if (!fx.Has(TcpEvents.Failed | TcpEvents.Closed))
            return true;
        Free(index);
        return false;
    }

    private void OnEstablished(int index)
    {
        NicBlock* block = _core.Region.BlockAt(index);
        if (block->Use == NicUse.HalfOpen)
            _core.Listeners.OnEstablished(index);
        else if (NicWire.TryOf(_core.Local, block, out NicWire wire))
        {
            NicConn.Set(wire.Engine, NicPhase.Established);
            block->Flags |= NicBlockFlags.NotifyDue;
        }
    }

    /// <summary>A stream's words cannot be: nothing of it can be trusted, the connection ends.</summary>
    private bool Corrupt(int index)
    {
        NicBlock* block = _core.Region.BlockAt(index);
        _core.Count(NicCounter.CorruptStreams);
        TcpEffects fx = default;
        TcpClose.Abort(ref block->Tcb, _core.Context, ref fx);
        if (fx.Has(TcpEvents.SendReset))
            _core.Output.SendReset(ref block->Route, in fx, stranger: false);
        Fail(block, TcpError.Reset);
        Free(index);
        return false;
    }

    /// <summary>The program is told why; its reads and writes fail from now on.</summary>
    public void Fail(NicBlock* block, TcpError error)
    {
        if (block->Use == NicUse.HalfOpen || !NicWire.TryOf(_core.Local, block, out NicWire wire))
            return;
        SideFlags flags = error == TcpError.Broken ? SideFlags.Reset | SideFlags.ResetAfterFin : SideFlags.Reset;
        NicConn.Set(wire.Engine, NicPhase.Failed, (NicError)error);
        Interlocked.Or(ref wire.Program->Flags, (uint)flags);
        block->Flags |= NicBlockFlags.NotifyDue;
    }

    /// <summary>RFC 9293 3.6.1: the name stays taken; the program may go on reading what it has.</summary>
    private bool EnterTimeWait(int index)
    {
        NicBlock* block = _core.Region.BlockAt(index);
        GiveStreamsBack(block);
        block->Use = NicUse.TimeWait;
        if (_core.Head->Blocks.InUse <= MaxTimeWait)
            return true;
        // The last ACK of the handshake still has to leave.
        _core.Emission.Run(index);
        _core.Count(NicCounter.TimeWaitOverflows);
        Free(index);
        return false;
    }

    /// <summary>TIME-WAIT gives way to a SYN (RFC 9293 3.10.7.4 as RFC 6191 has it).</summary>
    private void Reopen(int index, in TcpSegment seg, Wire.SeqNum iss)
    {
        NicRoute route = _core.Region.BlockAt(index)->Route;
        Free(index);
        _core.Head->InHand = 0;
        _core.Listeners.OnSyn(ref route, in seg, hasIss: true, iss);
    }

    /// <summary>
    /// The engine is done with its side of the connection: whoever closes second gives the slot and its rings back.
    /// </summary>
    public void GiveStreamsBack(NicBlock* block)
    {
        if (block->Use == NicUse.HalfOpen)
        {
            _core.Listeners.TakeBack(block);
            return;
        }
        if (!NicWire.TryOf(_core.Local, block, out NicWire wire))
            return;
        block->Conn = 0;
        block->Flags &= ~NicBlockFlags.Holds;
        _core.Region.ConnBlocks[wire.Index] = 0;
        if (NicConn.PhaseOf(wire.Conn) != NicPhase.Failed)
            NicConn.Set(wire.Engine, NicPhase.Closed);
        Interlocked.Or(ref wire.Engine->Flags, (uint)SideFlags.Closed);
        block->Flags |= NicBlockFlags.NotifyDue;
        Tell(block, in wire);
        if (_core.Local.CloseSide(wire.Index, wire.EngineSide))
            _core.Local.FreeConn(wire.Index);
    }

    /// <summary>Gives a block back with all that it has.</summary>
    public void Free(int index)
    {
        NicBlock* block = _core.Region.BlockAt(index);
        GiveStreamsBack(block);
        _core.Listeners.Uncount(block);
        TcpClose.Free(ref block->Tcb, _core.Context);
        Discard(index);
    }

    /// <summary>Gives a block back whose records are accounted for elsewhere.</summary>
    public void Discard(int index)
    {
        NicBlock* block = _core.Region.BlockAt(index);
        _core.Timers.Cancel(index);
        if (block->Is(NicBlockFlags.Linked))
            NicDemux.Unlink(_core.Region, index);
        block->Use = NicUse.Free;
        FreeList.Give(&_core.Head->Blocks, (byte*)_core.Region.BlockAt(0), sizeof(NicBlock), index);
    }
}
