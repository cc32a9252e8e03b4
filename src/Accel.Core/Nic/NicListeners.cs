using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Nic;

/// <summary>
/// Passive opens. Until a handshake is complete there is a block and nothing else; a listener with too many of those
/// answers with cookies (RFC 4987) and keeps nothing. The ACK that completes a handshake needs a place in the accept
/// queue and two rings; without them it is as if it had been lost, as on Linux.
/// </summary>
internal sealed unsafe class NicListeners(NicCore core)
{
    /// <summary>So long after a cookie was sent ACKs are believed to bring one (Linux's TCP_SYNCOOKIE_VALID).</summary>
    private const long CookieValidNs = 120 * TcpContext.NsPerSecond;

    /// <summary>
    /// SYNs of one batch that are answered with cookies. More of them in a batch mean that they come faster than they
    /// can be answered, and that connections wait behind them: an answer costs ten times what dropping does.
    /// </summary>
    private const int CookiesPerBatch = 8;

    /// <summary>Blocks that half-open connections leave to others.</summary>
    private const int BlocksKept = NicRegion.MaxBlocks / 8;

    private int _cookiesLeft;

    /// <summary>The next batch of frames begins.</summary>
    public void OnBatch() => _cookiesLeft = CookiesPerBatch;

    public bool Listen(int index, in Endpoint local, in NicSettings settings)
    {
        if ((uint)index >= LocalRegion.MaxListeners || local.Port == 0)
            return false;
        NicListening* listening = core.Region.ListenerAt(index);
        if (listening->Open != 0)
            NicDemux.UnlinkListener(core.Region, index);
        else
            *listening = default;
        Listener* listener = core.Local.ListenerAt(index);
        Endpoint name = local.Unmapped();
        name.ScopeId = 0;
        listening->Local = name;
        listening->Settings = settings;
        listening->V6Only = listener->V6Only;
        // Written before the listener opens: it will be the next, odd one.
        listening->Generation = Volatile.Read(ref listener->Generation) | 1;
        listening->Open = 1;
        NicDemux.LinkListener(core.Region, index);
        return true;
    }

    public bool Unlisten(int index)
    {
        if ((uint)index >= LocalRegion.MaxListeners || core.Region.ListenerAt(index)->Open == 0)
            return false;
        core.Region.ListenerAt(index)->Open = 0;
        NicDemux.UnlinkListener(core.Region, index);
        int high = core.Region.BlocksHigh;
        for (int b = 0; b < high; b++)
        {
            NicBlock* block = core.Region.BlockAt(b);
            if (block->Use == NicUse.HalfOpen && block->Listener == (uint)index + 1)
                core.Connections.Abort(b);
        }
        return true;
    }

    /// <summary>
    /// What a listener's cookies are made from. ACKs that bring some back are looked for from now on: of when the
    /// program on the interfaces sends them nobody here is told.
    /// </summary>
    public SynAnswer AnswerOf(int index)
    {
        if ((uint)index >= LocalRegion.MaxListeners || core.Region.ListenerAt(index)->Open == 0)
            return default;
        NicListening* listening = core.Region.ListenerAt(index);
        listening->HasAnswer = 1;
        return SynAnswer.Of(in core.Head->Settings, in listening->Settings, FirstSpace(core.Local.ListenerAt(index)));
    }

    /// <summary>A segment that belongs to no block. Its route is the way back.</summary>
    public void OnStranger(ref NicRoute route, in TcpSegment seg, in NicPayload payload)
    {
        if (seg.Has(TcpFlags.Rst))
        {
            core.Count(NicCounter.ResetsReceivedUnknown);
            return;
        }
        uint hash = NicDemux.HashOf(core.Region, in route.Local, in route.Remote);
        int index = NicDemux.FindListener(core.Region, in route.Local, hash);
        if (index < 0)
            core.Count(NicCounter.RxNoListener);
        else if (seg.Has(TcpFlags.Syn) && !seg.Has(TcpFlags.Ack))
        {
            // RFC 9293 3.10.7.2: what a SYN must not carry. As Linux: SYN with FIN is dropped.
            if (!seg.Has(TcpFlags.Fin))
                OnSyn(ref route, in seg, index, false, default);
            return;
        }
        else if (seg.Has(TcpFlags.Ack) && !seg.Has(TcpFlags.Syn) && TryCookie(ref route, in seg, in payload, index))
            return;
        else
            core.Count(NicCounter.RxStray);
        TcpEffects fx = default;
        TcpClose.ResetFor(in seg, ref fx);
        if (fx.Has(TcpEvents.SendReset))
            core.Output.SendReset(ref route, in fx, stranger: true);
    }

    /// <summary>A SYN in place of a connection that was in TIME-WAIT.</summary>
    public void OnSyn(ref NicRoute route, in TcpSegment seg, bool hasIss, SeqNum iss)
    {
        uint hash = NicDemux.HashOf(core.Region, in route.Local, in route.Remote);
        int index = NicDemux.FindListener(core.Region, in route.Local, hash);
        if (index >= 0)
            OnSyn(ref route, in seg, index, hasIss, iss);
    }

    private void OnSyn(ref NicRoute route, in TcpSegment seg, int index, bool hasIss, SeqNum iss)
    {
        NicListening* listening = core.Region.ListenerAt(index);
        Listener* listener = core.Local.ListenerAt(index);
        core.Count(NicCounter.ListenSyns);
        listening->Syns++;
        if (!IsOpen(listening, listener))
        {
            Drop(listening);
            return;
        }
        // tcp_conn_request() of Linux: no handshake is begun whose end would find no room.
        if (AcceptQueue.IsFull(listener))
        {
            core.Count(NicCounter.ListenOverflows);
            Drop(listening);
            return;
        }
        Prepare(ref route, listening);
        TcpOpening opening = Opening(in route, listening, listener);
        opening.HasIss = hasIss;
        opening.Iss = iss;
        bool crowded = listening->HalfOpen > Math.Max(listener->Backlog, 1)
            || core.Head->Blocks.InUse > NicRegion.MaxBlocks - BlocksKept;
        int block = crowded ? -1 : NicDemux.Take(core.Region, in route, NicUse.HalfOpen);
        if (block < 0)
        {
            if (_cookiesLeft-- > 0)
                AnswerWithCookie(ref route, in seg, listening, in opening);
            else
                Drop(listening);
            return;
        }
        core.Head->InHand = (uint)block + 1;
        Begin(block, index, listening);
        TcpOpen.Passive(ref core.Region.BlockAt(block)->Tcb, in seg, in opening, core.Context);
        core.Head->InHand = 0;
        core.Connections.Service(block);
    }

    private void AnswerWithCookie(
        ref NicRoute route, in TcpSegment seg, NicListening* listening, in TcpOpening opening)
    {
        TcpEmit emit = TcpOpen.CookieAnswer(in seg, in opening, core.Context);
        listening->CookieSentNs = core.NowNs;
        core.Count(NicCounter.ListenCookiesSent);
        core.Output.SendBare(ref route, in emit);
    }

    /// <summary>An ACK out of nowhere may bring a cookie back. True if it did, or had better be ignored.</summary>
    private bool TryCookie(ref NicRoute route, in TcpSegment seg, in NicPayload payload, int index)
    {
        NicListening* listening = core.Region.ListenerAt(index);
        Listener* listener = core.Local.ListenerAt(index);
        bool expected = listening->CookieSentNs != 0 && core.NowNs - listening->CookieSentNs <= CookieValidNs;
        if ((!expected && listening->HasAnswer == 0) || !IsOpen(listening, listener))
            return false;
        Prepare(ref route, listening);
        TcpOpening opening = Opening(in route, listening, listener);
        // Most that is no cookie is known before anything is taken for it.
        if (!SynCookie.TryRead(in opening.Flow, in seg, core.Context, out _))
        {
            if (expected)
                core.Context.Count(TcpCounter.CookieRefused);
            return false;
        }
        listening->CookieSentNs = core.NowNs;
        int block = NicDemux.Take(core.Region, in route, NicUse.HalfOpen);
        if (block < 0)
        {
            core.Count(NicCounter.NoBlocks);
            return true;
        }
        core.Head->InHand = (uint)block + 1;
        Begin(block, index, listening);
        if (!TcpOpen.FromCookie(ref core.Region.BlockAt(block)->Tcb, in seg, in opening, core.Context))
        {
            core.Connections.Free(block);
            core.Head->InHand = 0;
            return false;
        }
        core.Count(NicCounter.ListenCookiesTaken);
        core.Connections.OnSegment(block, in seg, in payload);
        // Nothing was kept for this peer, and nothing is if there is no room for it yet: its next segment brings the
        // cookie again.
        if (core.Region.BlockAt(block)->Use == NicUse.HalfOpen)
            core.Connections.Free(block);
        return true;
    }

    /// <summary>
    /// True if a segment for a block is the end of a handshake that the program on the interfaces began meanwhile. Of a
    /// connection with timestamps (RFC 7323) such a segment echoes one of ours of the cookie's age, too: ending one by
    /// guesses shall not be easier than with a RST (RFC 5961 3.2).
    /// </summary>
    public bool BringsCookie(NicBlock* block, in TcpSegment seg)
    {
        if ((seg.Flags & (TcpFlags.Syn | TcpFlags.Rst | TcpFlags.Ack)) != TcpFlags.Ack)
            return false;
        int index = NicDemux.FindListener(core.Region, in block->Route.Local, block->Hash);
        if (index < 0 || core.Region.ListenerAt(index)->HasAnswer == 0)
            return false;
        TcpFlow flow = NicOptions.Flow(in block->Route);
        if ((block->Tcb.Flags & TcbFlags.Timestamps) != 0
            && (!seg.Options.Has(TcpOptionKinds.Timestamps)
                || EchoAgeMs(in flow, in seg) > CookieValidNs / TcpContext.NsPerMs))
            return false;
        return SynCookie.TryRead(in flow, in seg, core.Context, out _);
    }

    private uint EchoAgeMs(in TcpFlow flow, in TcpSegment seg) =>
        core.Context.NowMs - (seg.Options.TsEcr - InitialSequence.TimestampOffset(in flow, in core.Head->Settings));

    /// <summary>What the listener's own options say of the way out.</summary>
    private static void Prepare(ref NicRoute route, NicListening* listening)
    {
        route.Ttl = listening->Settings.Ttl;
        route.Tos = listening->Settings.Tos;
    }

    private TcpOpening Opening(in NicRoute route, NicListening* listening, Listener* listener) => new()
    {
        Flow = NicOptions.Flow(in route),
        Mtu = core.Links[route.Link].Info->Mtu,
        ReceiveSpace = FirstSpace(listener),
        Options = NicOptions.Tuning(in listening->Settings),
        Congestion = NicOptions.Congestion(in listening->Settings, in core.Head->Settings),
    };

    private static uint FirstSpace(Listener* listener) => Math.Min(NicStreams.FirstSpace, listener->ReceiveLimit);

    private void Begin(int index, int listenerIndex, NicListening* listening)
    {
        NicBlock* block = core.Region.BlockAt(index);
        block->Flags |= NicBlockFlags.HasMac | NicBlockFlags.Counted;
        block->TablesVersion = core.Tables.Version;
        block->InterfaceIndex = core.Links[block->Route.Link].Info->InterfaceIndex;
        block->Route.FlowLabel = block->Hash & 0xFFFFF;
        block->Route.Identification = (ushort)(block->Hash >> 16);
        block->Listener = (uint)listenerIndex + 1;
        block->ListenerGeneration = listening->Generation;
        block->Settings = listening->Settings;
        listening->HalfOpen++;
    }

    private static bool IsOpen(NicListening* listening, Listener* listener) =>
        listening->Open != 0 && Volatile.Read(ref listener->Generation) == listening->Generation;

    private void Drop(NicListening* listening)
    {
        listening->Drops++;
        core.Count(NicCounter.ListenSynDropped);
    }

    /// <summary>
    /// A segment for a half-open block: the one that may complete the handshake gets a connection first. False if there
    /// is none to be had: the segment is dropped.
    /// </summary>
    public bool MayGoOn(int index, in TcpSegment seg)
    {
        NicBlock* block = core.Region.BlockAt(index);
        const TcpFlags Others = TcpFlags.Syn | TcpFlags.Rst;
        if ((seg.Flags & (Others | TcpFlags.Ack)) != TcpFlags.Ack || seg.Ack != block->Tcb.SndNxt)
            return true;
        int at = (int)block->Listener - 1;
        Listener* listener = core.Local.ListenerAt((int)((uint)at % LocalRegion.MaxListeners));
        if ((uint)at >= LocalRegion.MaxListeners
            || Volatile.Read(ref listener->Generation) != block->ListenerGeneration)
        {
            core.Connections.Abort(index);
            return false;
        }
        if (!AcceptQueue.TryCountIn(listener))
        {
            core.Count(NicCounter.ListenOverflows);
            Drop(core.Region.ListenerAt(at));
            return false;
        }
        if (TryGiveStreams(block, index, at))
            return true;
        AcceptQueue.CountOut(listener);
        core.Count(NicCounter.NoBuffers);
        Drop(core.Region.ListenerAt(at));
        return false;
    }

    private bool TryGiveStreams(NicBlock* block, int index, int at)
    {
        int connIndex = core.Local.TakeConn(0, 0);
        if (connIndex < 0)
            return false;
        Listener* listener = core.Local.ListenerAt(at);
        Conn* conn = core.Local.ConnAt(connIndex);
        // The engine is no process: nobody buries it.
        conn->Side0.Holders[0] = 0;
        conn->Listener = (uint)at;
        conn->ListenerGeneration = block->ListenerGeneration;
        conn->Side0.Name = block->Route.Remote;
        conn->Side1.Name = block->Route.Local;
        if (conn->Side0.Name.IsLinkLocal)
            conn->Side0.Name.ScopeId = conn->Side1.Name.ScopeId = (uint)block->InterfaceIndex;
        conn->Pipe0.ReceiveLimit = listener->ReceiveLimit;
        conn->Pipe1.SendLimit = listener->SendLimit;
        conn->Side1.Cpu = listener->Cpu;
        NicConn.Set(&conn->Side0, NicPhase.Connecting);
        Volatile.Write(ref conn->Side0.Watch, Side.EngineWatch);
        block->ConnGeneration = conn->Generation;
        block->Side = 0;
        block->Conn = (uint)connIndex + 1;
        core.Region.ConnBlocks[connIndex] = (uint)index + 1;
        return true;
    }

    /// <summary>The segment did not complete the handshake after all.</summary>
    public void TakeBack(NicBlock* block)
    {
        if (block->Conn == 0)
            return;
        int conn = (int)block->Conn - 1;
        block->Conn = 0;
        core.Region.ConnBlocks[conn] = 0;
        int at = (int)block->Listener - 1;
        if ((uint)at < LocalRegion.MaxListeners
            && Volatile.Read(ref core.Local.ListenerAt(at)->Generation) == block->ListenerGeneration)
            AcceptQueue.CountOut(core.Local.ListenerAt(at));
        core.Local.FreeConn(conn);
    }

    /// <summary>The handshake is complete: the connection goes into the accept queue.</summary>
    public void OnEstablished(int index)
    {
        NicBlock* block = core.Region.BlockAt(index);
        Uncount(block);
        block->Use = NicUse.Live;
        if (!NicWire.TryOf(core.Local, block, out NicWire wire))
            return;
        NicConn.Set(wire.Engine, NicPhase.Established);
        int at = (int)wire.Conn->Listener;
        Interlocked.Exchange(ref wire.Conn->State, (uint)ConnState.Queued);
        if (AcceptQueue.Enqueue(core.Local, at, wire.Index, core.Host.Ticks()))
        {
            core.Host.NotifyListener(core.Local, at);
            return;
        }
        // The listener was closed meanwhile. What its closing did not find is reset here, as it would have done.
        if (Interlocked.CompareExchange(ref wire.Conn->State, (uint)ConnState.Accepted, (uint)ConnState.Queued)
            != (uint)ConnState.Queued)
            return;
        Interlocked.Or(ref wire.Program->Flags, (uint)SideFlags.Closed);
        Interlocked.Or(ref wire.Engine->Flags, (uint)SideFlags.Reset);
        core.Local.CloseSide(wire.Index, 1);
    }

    /// <summary>The block is half-open no more.</summary>
    public void Uncount(NicBlock* block)
    {
        if (!block->Is(NicBlockFlags.Counted))
            return;
        block->Flags &= ~NicBlockFlags.Counted;
        int at = (int)block->Listener - 1;
        if ((uint)at >= LocalRegion.MaxListeners)
            return;
        NicListening* listening = core.Region.ListenerAt(at);
        if (listening->Generation == block->ListenerGeneration && listening->HalfOpen > 0)
            listening->HalfOpen--;
    }
}
