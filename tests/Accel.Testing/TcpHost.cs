using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Testing;

/// <summary>
/// One end of one connection: the TCP machine with two streams, driven as the engine drives it. Segments leave by
/// <see cref="Transmit"/>, one packet each; time and timers are the caller's.
/// </summary>
public sealed class TcpHost
{
    readonly HostOptions _options;
    readonly VirtualClock _clock;
    TcpSettings _settings;
    TcpCounters _counters;
    readonly TcpFlow _flow;
    bool _listens;
    bool _usesCookies;
    bool _isWorking;
    bool _isNew;
    bool _isDetached;

    public TcpHost(
        HostOptions options, VirtualClock clock, RecordMemory records, Pattern writes, Pattern reads, ushort port)
    {
        (_options, _clock, Records) = (options, clock, records);
        _settings = options.Settings();
        NoDelay = options.NoDelay;
        Sending = new SendStream(writes);
        Receiving = new ReceiveStream(reads, options.ReceiveBuffer);
        _flow = new TcpFlow { LocalLow = 0x0100000A, RemoteLow = 0x0200000A, LocalPort = port, RemotePort = 7 };
    }

    public Tcb Tcb;

    public RecordMemory Records { get; }

    public SendStream Sending { get; }

    public ReceiveStream Receiving { get; private set; }

    /// <summary>Called with each segment, and whether it is a retransmission.</summary>
    public Action<Packet, bool> Transmit { get; set; } = (_, _) => { };

    /// <summary>A look at the connection after each step.</summary>
    public Action AfterStep { get; set; } = () => { };

    public TcpState State => Tcb.State == TcpState.None ? TcpState.Closed : Tcb.State;

    /// <summary>Everything that the machine has announced so far.</summary>
    public TcpEvents Seen { get; private set; }

    public TcpError Error { get; private set; }

    /// <summary>Position after the urgent byte in the receiving stream.</summary>
    public long UrgentEnd { get; private set; }

    public bool NoDelay { get; private set; }

    public bool MoreComes { get; private set; }

    public bool Finished { get; private set; }

    public bool IsEstablished => (Seen & TcpEvents.Established) != 0;

    public bool IsEndOfStream => (Seen & TcpEvents.EndOfStream) != 0;

    public bool IsOver => State == TcpState.Closed;

    public long Deadline => Tcb.State == TcpState.None ? long.MaxValue : TcpTimers.Deadline(in Tcb);

    public void Connect()
    {
        var opening = Opening(default);
        TcpOpen.Active(ref Tcb, in opening, Context());
        Work();
    }

    public void Listen(bool cookies) => (_listens, _usesCookies) = (true, cookies);

    /// <summary>A segment has arrived.</summary>
    public void Deliver(Packet packet)
    {
        TcpEffects effects = default;
        if (Tcb.State == TcpState.None && !TryOpen(packet, ref effects))
        {
            Answer(in effects);
            return;
        }
        if (Tcb.State != TcpState.None && !_isNew)
            TcpInput.OnSegment(ref Tcb, in packet.Header, Context(), Streams(), ref effects);
        _isNew = false;
        Apply(in effects, packet);
        Work();
    }

    /// <summary>The listener's part: a SYN opens, a cookie's ACK opens, anything else is answered with RST.</summary>
    bool TryOpen(Packet packet, ref TcpEffects effects)
    {
        ref readonly var header = ref packet.Header;
        var kind = header.Flags & (TcpFlags.Syn | TcpFlags.Ack | TcpFlags.Rst);
        var opening = Opening(packet);
        if (_listens && kind == TcpFlags.Syn)
        {
            if (_usesCookies)
            {
                SendOut(TcpOpen.CookieAnswer(in header, in opening, Context()));
                return false;
            }
            TcpOpen.Passive(ref Tcb, in header, in opening, Context());
            return _isNew = true;
        }
        if (_listens && _usesCookies && kind == TcpFlags.Ack
            && TcpOpen.FromCookie(ref Tcb, in header, in opening, Context()))
            return true;
        TcpClose.ResetFor(in header, ref effects);
        return false;
    }

    public void Write(int count)
    {
        Sending.Write(count);
        Work();
    }

    /// <summary>The last of the bytes is urgent.</summary>
    public void WriteUrgent(int count)
    {
        Sending.Write(count);
        Sending.UrgentEnd = Sending.Written;
        Work();
    }

    public uint Read(uint most)
    {
        var count = Receiving.Take(most);
        Work();
        return count;
    }

    public void Shutdown()
    {
        Finished = true;
        Work();
    }

    public void Close(bool abort)
    {
        TcpEffects effects = default;
        TcpClose.OnDetached(ref Tcb, Context(), Streams(), abort, ref effects);
        Finished = _isDetached = true;
        Apply(in effects, null);
        Work();
    }

    public void SetNoDelay(bool on)
    {
        NoDelay = on;
        Work();
    }

    public void SetCork(bool on)
    {
        MoreComes = on;
        Work();
    }

    /// <summary>Socket options, before the connection is opened or on it.</summary>
    public void Tune(TuneOptions change)
    {
        change(ref _options.Tuning);
        if (Tcb.State == TcpState.None)
            return;
        change(ref Tcb.Options);
        TcpKeepalive.OnOptions(ref Tcb, Context());
        Work();
    }

    public delegate void TuneOptions(ref TcpTuning tuning);

    public void OnIcmp(byte type, byte code, SeqNum quoted, uint mtu)
    {
        TcpEffects effects = default;
        TcpIcmp.OnError(ref Tcb, type, code, quoted, mtu, Context(), ref effects);
        Apply(in effects, null);
        Work();
    }

    /// <summary>The clock has reached <see cref="Deadline"/>.</summary>
    public void RunTimers()
    {
        if (Tcb.State == TcpState.None)
            return;
        TcpEffects effects = default;
        TcpTimers.OnTimer(ref Tcb, Context(), Streams(), ref effects);
        Apply(in effects, null);
        Work();
    }

    /// <summary>Gives the block back; the pool must be as full as before then.</summary>
    public void Free()
    {
        if (Tcb.State != TcpState.None)
            TcpClose.Free(ref Tcb, Context());
        Tcb = default;
    }

    /// <summary>Asks for segments until there are no more.</summary>
    void Work()
    {
        if (_isWorking || Tcb.State == TcpState.None)
            return;
        _isWorking = true;
        var rounds = 0;
        while (Next(out var emit))
        {
            SendOut(in emit);
            if (++rounds > 100_000)
                throw new InvariantException("TcpOutput.Next never ends");
        }
        _isWorking = false;
        AfterStep();
    }

    /// <summary>The next segment; and what is said without asking for it has to be true.</summary>
    bool Next(out TcpEmit emit)
    {
        var idle = TcpOutput.IsIdle(in Tcb, Streams());
        var timers = (Tcb.SendTimerAt, Tcb.DelayedAckAt, Tcb.SlowTimerAt);
        var sends = TcpOutput.Next(ref Tcb, Context(), Streams(), out emit);
        if (idle && sends)
            throw new InvariantException("TcpOutput.IsIdle, but there was something to send");
        if (idle && Tcb.Options.UserTimeoutMillis == 0
            && timers != (Tcb.SendTimerAt, Tcb.DelayedAckAt, Tcb.SlowTimerAt))
            throw new InvariantException("TcpOutput.IsIdle, but a timer was set");
        return sends;
    }

    void Apply(in TcpEffects effects, Packet? packet)
    {
        Seen |= effects.Events;
        if (effects.Error != TcpError.None && Error == TcpError.None)
            Error = effects.Error;
        if (effects.Has(TcpEvents.Urgent))
            UrgentEnd = Receiving.Delivered + effects.UrgentEnd;
        if (effects.Acked > 0)
            Sending.Forget(effects.Acked);
        if (effects.StoreLength > 0)
            Receiving.Store(
                packet!.Payload.AsSpan((int)effects.StoreFrom, (int)effects.StoreLength), effects.StoreAt);
        if (effects.Advance > 0)
            Receiving.Advance(effects.Advance);
        if (effects.Has(TcpEvents.GrowReceive))
            Receiving.TryGrow(Math.Min(effects.ReceiveWanted, _options.ReceiveMax));
        Answer(in effects);
        if (effects.Has(TcpEvents.Closed))
            Free();
    }

    void Answer(in TcpEffects effects)
    {
        if (!effects.Has(TcpEvents.SendReset))
            return;
        var packet = new Packet
        {
            Header = { Seq = effects.ResetSeq, Ack = effects.ResetAck, Flags = effects.ResetFlags, Merged = 1 },
        };
        Transmit(packet, false);
    }

    /// <summary>An emission becomes segments, as the engine or the device cuts it.</summary>
    void SendOut(in TcpEmit emit)
    {
        var bytes = emit.Length == 0 ? [] : Sending.Read(emit.Offset, emit.Length);
        if (emit.Length > 0 && emit.SegmentSize == 0)
            throw new InvariantException("an emission with payload has a segment size of 0");
        uint done = 0;
        do
        {
            var length = Math.Min(emit.Length - done, emit.SegmentSize);
            var isLast = done + length == emit.Length;
            var packet = new Packet { Ecn = emit.Ecn, Payload = bytes[(int)done..(int)(done + length)] };
            ref var header = ref packet.Header;
            header.Seq = emit.Seq + done;
            header.Ack = emit.Ack;
            header.Flags = isLast ? emit.Flags : emit.Flags & ~(TcpFlags.Fin | TcpFlags.Psh);
            if (done > 0)
                header.Flags &= ~TcpFlags.Cwr;
            header.Window = emit.Window;
            header.Urgent = emit.Urgent;
            header.Length = length;
            header.Merged = 1;
            header.Options = emit.Options;
            done += length;
            Transmit(packet, emit.IsRetransmission);
        }
        while (done < emit.Length);
    }

    TcpContext Context() => new(_clock.NowNs, Records.Pool, ref _settings, ref _counters);

    TcpStreams Streams() => new()
    {
        Queued = Sending.Queued,
        Finished = Finished,
        ReadShut = _isDetached,
        MoreComes = MoreComes,
        NoDelay = NoDelay,
        ReceiveSpace = Receiving.Space,
        Unread = Receiving.Readable,
        UrgentEnd = Sending.UrgentEnd > Sending.Acked ? (uint)(Sending.UrgentEnd - Sending.Acked) : 0,
        MaxEmission = _options.Emission != 0 ? _options.Emission : Math.Max(1u, Tcb.SndMss),
    };

    TcpOpening Opening(Packet? syn) => new()
    {
        Flow = _flow,
        Mtu = _options.Mtu,
        ReceiveSpace = Receiving.Space,
        HasIss = _options.Iss != null,
        Iss = new SeqNum(_options.Iss ?? 0),
        SynWasMarked = syn is { Ecn: not 0 },
        Options = _options.Tuning,
        Congestion = _options.Congestion,
    };
}
