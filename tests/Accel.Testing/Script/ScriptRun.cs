using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Testing.Script;

/// <summary>One run of a script: the stack's end of the connection, the scripted peer, and the time.</summary>
sealed class ScriptRun : IDisposable
{
    const uint Records = 4096;
    const int MaxTimersAtOnce = 1000;
    const long PeerClockStart = 1000;

    readonly Queue<(long At, Packet Packet)> _sent = new();
    readonly List<(long At, uint TsVal)> _timestamps = [];
    readonly ScriptTranscript _transcript = new();
    readonly RecordMemory _records = new(Records);
    TcpHost? _host;
    uint _tsEcho;
    ushort _window = 65535;
    bool _stackIssKnown;

    public ScriptRun(uint stackIss, uint peerIss)
    {
        Options = new HostOptions { Iss = stackIss };
        Bases = new(new SeqNum(stackIss), new SeqNum(peerIss));
    }

    public HostOptions Options { get; }

    public VirtualClock Clock { get; } = new();

    public WireWatch Watch { get; } = new();

    public SegmentMatch.Bases Bases { get; private set; }

    /// <summary>Time 0 of the script, and when its last line happened.</summary>
    public long Zero { get; set; }

    public long Last { get; set; }

    /// <summary>What the peer sends next: the end of what it has sent.</summary>
    public uint PeerNext { get; private set; } = 1;

    /// <summary>Both SYNs had timestamps.</summary>
    public bool UsesTimestamps { get; private set; }

    /// <summary>If not null: every segment of the stack is answered with an ACK that has this window.</summary>
    public ushort? AutoWindow { get; set; }

    /// <summary>Made when the first line asks for it: what stands before is about its options.</summary>
    public TcpHost Host
    {
        get
        {
            if (_host == null)
            {
                _host = new TcpHost(Options, Clock, _records, Pattern.Local, Pattern.Remote, 4000);
                _host.Transmit = OnSent;
            }
            return _host;
        }
    }

    long NextTimer => _host == null ? long.MaxValue : _host.Deadline;

    public long Elapsed => Clock.NowNs - Zero;

    public static void Run(string[] lines, uint stackIss, uint peerIss)
    {
        using var run = new ScriptRun(stackIss, peerIss);
        run.Zero = run.Clock.NowNs;
        foreach (var line in ScriptLine.ParseAll(lines))
        {
            try
            {
                run.Step(line);
            }
            catch (Exception e) when (e is InvariantException or ScriptException)
            {
                throw new ScriptException(run._transcript.Failure(line, e.Message));
            }
            catch (Exception e)
            {
                throw new ScriptException(run._transcript.Failure(line, e.ToString()));
            }
        }
        if (run._sent.Count > 0)
            throw new ScriptException(run._transcript.Failure(null, "the script ends, but the stack sent more"));
    }

    public void Dispose() => _records.Dispose();

    void Step(ScriptLine line)
    {
        if (line.Kind is '>' or '?')
        {
            Expect(line);
            return;
        }
        var at = line.Time.Start(Last);
        AdvanceTo(at);
        if (_sent.Count > 0 && line.Kind == '<')
            throw new ScriptException("before this line the stack sent what no line expects");
        Last = at;
        _transcript.Line(Elapsed, line);
        if (line.Kind == '<')
        {
            foreach (var segment in line.Segment!.Each())
                Inject(segment);
        }
        else
        {
            ScriptCalls.Call(this, line.Words);
        }
    }

    void Expect(ScriptLine line)
    {
        var (earliest, latest) = line.Time.Window(Last);
        foreach (var segment in line.Segment!.Each())
        {
            while (_sent.Count == 0 && NextTimer - Zero <= latest)
                RunOneTimer();
            if (_sent.Count == 0)
            {
                if (line.Kind == '?')
                    return;
                throw new ScriptException(NextTimer == long.MaxValue
                    ? "the stack sends nothing, and no timer runs"
                    : $"the stack sends nothing; its next timer is at {ScriptTime.Text(NextTimer - Zero)}");
            }
            var (at, packet) = _sent.Peek();
            var difference = SegmentMatch.Difference(segment, packet, Bases);
            if (difference == null && (at < earliest || at > latest))
            {
                difference = $"came at {ScriptTime.Text(at)}, not "
                    + $"{ScriptTime.Text(earliest)} to {ScriptTime.Text(latest)}";
            }
            if (difference != null && line.Kind == '?')
                return;
            if (difference != null)
                throw new ScriptException(difference);
            _sent.Dequeue();
            _transcript.Matched(at, line);
            Last = at;
        }
    }

    /// <summary>Lets time pass up to <paramref name="at"/> of the script, with the timers that are due.</summary>
    public void AdvanceTo(long at)
    {
        while (NextTimer - Zero <= at)
            RunOneTimer();
        Clock.AdvanceTo(Math.Max(Clock.NowNs, Zero + at));
    }

    void RunOneTimer()
    {
        var due = Math.Max(Clock.NowNs, NextTimer);
        Clock.AdvanceTo(due);
        for (var i = 0; NextTimer <= Clock.NowNs; i++)
        {
            if (i == MaxTimersAtOnce)
                throw new ScriptException("a timer that is due stays due");
            Host.RunTimers();
        }
    }

    /// <summary>Everything that was sent up to now is accepted as it is.</summary>
    public void Drain() => _sent.Clear();

    /// <summary>The handshake that `established` stands for has happened: time begins again.</summary>
    public void StartOver(uint window, int scale)
    {
        Drain();
        _transcript.Clear();
        Zero = Clock.NowNs;
        Last = 0;
        _timestamps.Clear();
        _window = (ushort)Math.Min(window >> scale, ushort.MaxValue);
    }

    /// <summary>The scripted peer sends a segment.</summary>
    public void Inject(SegmentSpec spec)
    {
        _window = spec.Window ?? _window;
        var packet = new Packet { Ecn = (byte)(spec.CongestionExperienced ? 3 : 0) };
        packet.Payload = Pattern.Remote.At((int)spec.From - 1L, spec.To - spec.From);
        ref var header = ref packet.Header;
        header.Seq = Bases.Peer + spec.From;
        header.Flags = spec.Flags;
        if (spec.Ack is { } ack)
        {
            header.Flags |= TcpFlags.Ack;
            header.Ack = Bases.Stack + ack;
        }
        header.Window = _window;
        header.Urgent = spec.Urgent ?? 0;
        header.Length = (uint)packet.Payload.Length;
        header.Merged = Math.Max(1, (header.Length + 999) / 1000);
        header.CongestionExperienced = spec.CongestionExperienced;
        FillOptions(ref header.Options, spec);
        if (!header.Has(TcpFlags.Rst) && (int)(spec.To - PeerNext) > 0)
            PeerNext = spec.To + (header.Has(TcpFlags.Fin) ? 1u : 0);
        // Timestamps are agreed on if both SYNs have them; the stack's does if it may.
        if (header.Has(TcpFlags.Syn))
            UsesTimestamps = header.Options.Has(TcpOptionKinds.Timestamps);
        Host.Deliver(packet);
    }

    void FillOptions(ref TcpOptions options, SegmentSpec spec)
    {
        var given = spec.Options;
        if (given != null)
        {
            options.Present = given.Kinds;
            options.Mss = given.Mss ?? 0;
            options.WindowScale = given.WindowScale ?? 0;
            options.SackCount = (byte)given.Sacks.Count;
            for (var i = 0; i < given.Sacks.Count; i++)
            {
                options.Sacks[i] = new SackBlock
                {
                    Left = Bases.Stack + given.Sacks[i].Left,
                    Right = Bases.Stack + given.Sacks[i].Right,
                };
            }
        }
        if (UsesTimestamps && given is not { NoTimestamps: true } && !spec.Flags.HasFlag(TcpFlags.Syn))
            options.Present |= TcpOptionKinds.Timestamps;
        if (!options.Has(TcpOptionKinds.Timestamps))
            return;
        options.TsVal = given?.TsVal ?? (uint)(PeerClockStart + Clock.NowNs / VirtualClock.Millisecond);
        options.TsEcr = given?.TsEcr ?? _tsEcho;
        if (given?.TsEcrOfTime is { } time)
            options.TsEcr = _timestamps.MinBy(t => Math.Abs(t.At - time)).TsVal;
    }

    void OnSent(Packet packet, bool isRetransmission)
    {
        ref readonly var header = ref packet.Header;
        // A cookie is a number that nobody could choose: what follows counts from it.
        if (!_stackIssKnown && header.Has(TcpFlags.Syn))
            (Bases, _stackIssKnown) = (Bases with { Stack = header.Seq }, true);
        if (header.Options.Has(TcpOptionKinds.Timestamps))
        {
            _tsEcho = header.Options.TsVal;
            _timestamps.Add((Elapsed, header.Options.TsVal));
        }
        Watch.OnSent(packet, isRetransmission, Host.Tcb.RcvWscale, Bases);
        _transcript.Sent(Elapsed, PacketText.Of(in header, Bases.Stack, Bases.Peer, packet.Ecn));
        if (AutoWindow is not { } window)
        {
            _sent.Enqueue((Elapsed, packet));
            return;
        }
        var ack = (uint)(Host.Tcb.SndNxt - Bases.Stack);
        Host.Deliver(new Packet
        {
            Header =
            {
                Seq = Bases.Peer + PeerNext,
                Ack = Bases.Stack + ack,
                Flags = TcpFlags.Ack,
                Window = window,
                Merged = 1,
            },
        });
    }
}
