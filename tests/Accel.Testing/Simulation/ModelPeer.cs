using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Testing.Simulation;

/// <summary>
/// A TCP that is simple enough to be right: it sends go-back-N with a fixed flight and a fixed timeout, remembers each
/// received byte in a map, and checks whatever the machine sends. It shares no code with the machine.
/// </summary>
public sealed class ModelPeer : IPeer
{
    const long Timeout = VirtualClock.Second / 2;
    const long NeverNs = long.MaxValue;
    const uint OptionBytes = 40;
    const uint LeastSegment = 48;
    const uint Iss = 0xFFFF_F000;

    readonly ModelPlan _plan;
    readonly Prng _random;
    readonly VirtualClock _clock;
    readonly ReceivedMap _received;

    // Positions in the streams: 0 is the first byte after the SYN.
    long _una;
    long _next;
    long _high;
    long _peerEdge;
    long _taken;
    long _edge;
    uint _irs;
    int _peerScale;
    TcpOptionKinds _offered;
    uint _peerMss;
    uint _echo;
    bool _knowsPeer;
    bool _established;
    bool _finReceived;
    int _unacknowledged;
    long _timerAt = NeverNs;
    long _ackAt = NeverNs;
    long _readAt;

    public ModelPeer(ModelPlan plan, Prng random, VirtualClock clock)
    {
        (_plan, _random, _clock) = (plan, random, clock);
        _received = new ReceivedMap(plan.Expected);
        _edge = Math.Min(plan.Buffer, 65_535);
        if (plan.IsClient)
            _timerAt = clock.NowNs;
    }

    public Action<Packet> Output { private get; set; } = _ => { };

    /// <summary>Our FIN is the byte after the last.</summary>
    bool IsAllAcknowledged => _una == _plan.Total + 1;

    public bool IsDone => IsAllAcknowledged && _finReceived && _taken == _plan.Expected;

    bool HasToRead => _taken < _received.InOrder;

    public long Deadline => Math.Min(Math.Min(_timerAt, _ackAt), HasToRead ? _readAt : NeverNs);

    public string Describe() => $"model, {_una}/{_high}/{_plan.Total} bytes sent, {_received.InOrder}/{_plan.Expected} "
        + $"received, {_taken} read, window {_edge - _received.InOrder}, peer's {_peerEdge - _una}";

    public void OnTime()
    {
        if (HasToRead && _readAt <= _clock.NowNs)
            Read();
        if (_ackAt <= _clock.NowNs)
            SendAcknowledgment();
        if (_timerAt > _clock.NowNs)
            return;
        _timerAt = NeverNs;
        if (!_established)
        {
            SendSyn();
            return;
        }
        _next = _una;
        Fill(isTimeout: true);
    }

    void Read()
    {
        _taken += Math.Min(_received.InOrder - _taken, 1 + _random.Below(_plan.LargestRead));
        _readAt = _clock.NowNs + (_plan.ReaderPauseNs > 0 ? _random.Between(0, _plan.ReaderPauseNs) : 0);
        // Silly windows avoided: an update only when it is worth one.
        var room = _taken + _plan.Buffer - _edge;
        if (_established && !_finReceived && room >= Math.Min(_plan.Mss, _plan.Buffer / 2))
            SendAcknowledgment();
    }

    public void Deliver(Packet packet)
    {
        ref readonly var header = ref packet.Header;
        if (header.Has(TcpFlags.Rst))
        {
            Must(IsAllAcknowledged && _finReceived, "the machine reset the connection");
            return;
        }
        if (header.Has(TcpFlags.Syn))
        {
            TakeSyn(in header);
            return;
        }
        if (!_knowsPeer)
            return;
        if (header.Options.Has(TcpOptionKinds.Timestamps))
            _echo = header.Options.TsVal;
        Must(header.Has(TcpFlags.Ack), "a segment without ACK");
        TakeAcknowledgment(in header);
        if (header.SequenceLength > 0)
            TakeData(packet);
        else if (Position(header.Seq) < _received.InOrder)
            SendAcknowledgment();
        if (_established)
            Fill(isTimeout: false);
    }

    void TakeSyn(in TcpSegment header)
    {
        if (_knowsPeer && header.Seq.Value != _irs)
            throw new InvariantException("a second SYN has another number");
        _irs = header.Seq.Value;
        _knowsPeer = true;
        _offered = header.Options.Present;
        _peerScale = IsScaled ? header.Options.WindowScale : 0;
        _peerMss = header.Options.Has(TcpOptionKinds.Mss) ? header.Options.Mss : 536u;
        _echo = header.Options.TsVal;
        if (!_plan.IsClient)
        {
            _peerEdge = Math.Max(_peerEdge, header.Window);
            SendSyn();
            return;
        }
        Must(header.Has(TcpFlags.Ack) && header.Ack.Value == Iss + 1, "the SYN-ACK acknowledges something else");
        _peerEdge = Math.Max(_peerEdge, header.Window);
        Establish();
        SendAcknowledgment();
        Fill(isTimeout: false);
    }

    void Establish()
    {
        if (_established)
            return;
        _established = true;
        _timerAt = NeverNs;
        _readAt = _clock.NowNs;
    }

    void TakeAcknowledgment(in TcpSegment header)
    {
        var position = (long)(int)(header.Ack.Value - (Iss + 1) - (uint)_una) + _una;
        Must(position <= _high, $"acknowledges {position} of {_high}");
        if (position < 0)
            return;
        Establish();
        var edge = position + ((long)header.Window << _peerScale);
        _peerEdge = Math.Max(_peerEdge, edge);
        if (position <= _una)
            return;
        _una = position;
        _next = Math.Max(_next, _una);
        _timerAt = _una < _high ? _clock.NowNs + Timeout : NeverNs;
    }

    void TakeData(Packet packet)
    {
        ref readonly var header = ref packet.Header;
        var from = Position(header.Seq);
        var to = from + header.Length;
        Must(header.Length <= Math.Max(_plan.Mss, LeastSegment),
            $"{header.Length} bytes in a segment for an MSS of {_plan.Mss}");
        // RFC 9293 3.8.6.1: a byte may be sent to see whether a closed window has opened.
        if (from == _edge && header.Length == 1)
        {
            SendAcknowledgment();
            return;
        }
        Must(to <= _edge, $"{to - _edge} bytes beyond the window");
        Must(to <= _plan.Expected, $"{to - _plan.Expected} bytes more than were written");
        if (header.Has(TcpFlags.Fin))
            Must(to == _plan.Expected, $"FIN at {to} of {_plan.Expected} bytes");
        var wrong = (_plan.IsClient ? Pattern.Remote : Pattern.Local).FirstDifference(packet.Payload, from);
        Must(wrong < 0, $"byte {from + wrong} of the stream is wrong");
        var before = _received.InOrder;
        _received.Add(from, to);
        _finReceived |= header.Has(TcpFlags.Fin);
        _unacknowledged++;
        if (_unacknowledged >= _plan.AckEvery || _received.InOrder == before || header.Has(TcpFlags.Fin))
            SendAcknowledgment();
        else if (_ackAt == NeverNs)
            _ackAt = _clock.NowNs + _plan.AckDelayNs;
    }

    long Position(SeqNum seq) =>
        (int)(seq.Value - (_irs + 1) - (uint)_received.InOrder) + _received.InOrder;

    /// <summary>Sends what flight and window allow; after a timeout one segment at least, and a probe if closed.
    /// </summary>
    void Fill(bool isTimeout)
    {
        var end = _plan.Total + 1;
        while (_next < end && _next - _una < _plan.Flight)
        {
            var room = _peerEdge - _next;
            var length = Math.Min(Math.Min(_plan.Total - _next, (long)SegmentSize), room);
            if (length <= 0 && _next < _plan.Total)
                break;
            Send(_next, (uint)Math.Max(0, length));
        }
        if (isTimeout && _next == _una && _una < _plan.Total)
        {
            if (_plan.ProbesWithData)
                Send(_una, 1);
            else
                SendEmpty(-1);
            _next = _una;
        }
        if (_una < end && _timerAt == NeverNs)
            _timerAt = _clock.NowNs + Timeout;
    }

    uint SegmentSize => Math.Max(Math.Min(_plan.Mss, _peerMss), OptionBytes + LeastSegment) - OptionBytes;

    void Send(long position, uint length)
    {
        var packet = new Packet { Payload = (_plan.IsClient ? Pattern.Local : Pattern.Remote).At(position, length) };
        packet.Header.Length = length;
        packet.Header.Flags = position + length == _plan.Total ? TcpFlags.Fin | TcpFlags.Psh : TcpFlags.None;
        _next = position + length + (packet.Header.Has(TcpFlags.Fin) ? 1 : 0);
        _high = Math.Max(_high, _next);
        Send(packet, position);
    }

    void SendAcknowledgment() => SendEmpty(_high - _una);

    void SendEmpty(long offset) => Send(new Packet(), _una + offset);

    void Send(Packet packet, long position)
    {
        ref var header = ref packet.Header;
        var finCount = _finReceived && _received.InOrder == _plan.Expected ? 1u : 0;
        header.Seq = new SeqNum(Iss + 1 + (uint)position);
        header.Ack = new SeqNum(_irs + 1 + (uint)_received.InOrder + finCount);
        header.Flags |= TcpFlags.Ack;
        header.Merged = 1;
        var scale = IsScaled ? _plan.Scale!.Value : 0;
        var room = Math.Max(0, _taken + _plan.Buffer - _received.InOrder);
        _edge = Math.Max(_edge, _received.InOrder + (room >> scale << scale));
        var window = Math.Min((_edge - _received.InOrder) >> scale, 65_535);
        _edge = Math.Max(_received.InOrder + (window << scale), _edge);
        header.Window = (ushort)window;
        if (_plan.Sack && _offered.HasFlag(TcpOptionKinds.SackPermitted))
            _received.WriteBlocks(ref header.Options, new SeqNum(_irs + 1), _plan.Timestamps ? 3 : 4);
        AddTimestamps(ref header.Options);
        _unacknowledged = 0;
        _ackAt = NeverNs;
        Output(packet);
    }

    /// <summary>What both SYNs had is used.</summary>
    bool IsScaled => _plan.Scale != null && _offered.HasFlag(TcpOptionKinds.WindowScale);

    void SendSyn()
    {
        var packet = new Packet();
        ref var header = ref packet.Header;
        header.Seq = new SeqNum(Iss);
        header.Ack = new SeqNum(_knowsPeer ? _irs + 1 : 0);
        header.Flags = _knowsPeer ? TcpFlags.Syn | TcpFlags.Ack : TcpFlags.Syn;
        header.Window = (ushort)_edge;
        header.Merged = 1;
        header.Options.Present = TcpOptionKinds.Mss;
        header.Options.Mss = _plan.Mss;
        if (_plan.Sack)
            header.Options.Present |= TcpOptionKinds.SackPermitted;
        if (_plan.Scale is { } shift && (!_knowsPeer || IsScaled))
        {
            header.Options.Present |= TcpOptionKinds.WindowScale;
            header.Options.WindowScale = shift;
        }
        AddTimestamps(ref header.Options);
        _timerAt = _established ? _timerAt : _clock.NowNs + VirtualClock.Second;
        Output(packet);
    }

    void AddTimestamps(ref TcpOptions options)
    {
        if (!_plan.Timestamps || (_knowsPeer && !_offered.HasFlag(TcpOptionKinds.Timestamps)))
            return;
        options.Present |= TcpOptionKinds.Timestamps;
        options.TsVal = (uint)(_clock.NowNs / VirtualClock.Millisecond);
        options.TsEcr = _echo;
    }

    void Must(bool holds, string otherwise)
    {
        if (!holds)
            throw new InvariantException($"model peer: {otherwise}; {Describe()}");
    }
}
