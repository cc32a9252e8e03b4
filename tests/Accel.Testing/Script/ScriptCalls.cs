using System.Globalization;
using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Testing.Script;

/// <summary>What a line without a segment does: calls of the program, and settings of the test.</summary>
static class ScriptCalls
{
    const byte Unreachable = 3, HostCode = 1, PortCode = 3, NeedFragCode = 4;

    static readonly Dictionary<string, Action<ScriptRun, string[]>> Calls = new()
    {
        ["connect"] = (run, _) => run.Host.Connect(),
        ["listen"] = (run, words) => run.Host.Listen(words is ["cookies"]),
        ["accept"] = (run, _) => Must(run.Host.IsEstablished, "nothing to accept"),
        ["established"] = Established,

        ["write"] = (run, words) => run.Host.Write(Number(words[0])),
        ["urgent"] = (run, words) => run.Host.WriteUrgent(Number(words[0])),
        ["read"] = Read,
        ["shutdown"] = (run, _) => run.Host.Shutdown(),
        ["close"] = (run, _) => run.Host.Close(abort: false),
        ["abort"] = (run, _) => run.Host.Close(abort: true),
        ["set"] = Set,

        ["icmp"] = Icmp,
        ["expect"] = (run, words) => Must(ScriptFacts.Difference(run, words)),

        // Segments up to now are not looked at.
        ["drain"] = (run, _) => run.Drain(),

        // `answer probes win N`: the peer acknowledges whatever comes; `answer nothing`: no more.
        ["answer"] = (run, words) =>
            run.AutoWindow = words is ["probes", "win", var window] ? ushort.Parse(window) : null,
        ["ackall"] = AcknowledgeAll,
        ["stream"] = Stream,
    };

    public static void Call(ScriptRun run, string[] words)
    {
        if (!Calls.TryGetValue(words[0], out var call))
            throw new ScriptException($"no call is '{words[0]}'");
        call(run, words[1..]);
    }

    static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);

    static void Must(bool holds, string otherwise)
    {
        if (!holds)
            throw new ScriptException(otherwise);
    }

    static void Must(string? difference) => Must(difference == null, difference ?? "");

    /// <summary>`read N`: so many bytes are there; `read eof`: the stream has ended and is empty.</summary>
    static void Read(ScriptRun run, string[] words)
    {
        if (words[0] == "eof")
        {
            Must(run.Host.Receiving.Readable == 0, $"{run.Host.Receiving.Readable} bytes before the end");
            Must(run.Host.IsEndOfStream, "the stream has not ended");
            return;
        }
        var wanted = (uint)Number(words[0]);
        var count = run.Host.Read(wanted);
        Must(count == wanted, $"only {count} bytes to read");
    }

    /// <summary>
    /// `established [active] [mss N] [win N] [wscale N] [sack] [ts] [ecn] [rtt S] [rcvbuf N] [maxbuf N]`: the handshake
    /// that a listener (or a connecting program) has with such a peer. Time 0 is when it is over.
    /// </summary>
    static void Established(ScriptRun run, string[] words)
    {
        var given = new Arguments(words);
        var mss = given.Value("mss") ?? "1000";
        var window = uint.Parse(given.Value("win") ?? "65535");
        var scale = given.Value("wscale");
        var rtt = ScriptTime.Nanoseconds(given.Value("rtt") ?? "0.1");
        run.Options.ReceiveBuffer = uint.Parse(given.Value("rcvbuf") ?? "65536");
        run.Options.ReceiveMax = uint.Parse(given.Value("maxbuf") ?? run.Options.ReceiveBuffer.ToString());
        var ecn = given.Has("ecn");
        if (ecn)
            run.Options.Ecn = EcnMode.Full;
        var options = $"<mss {mss}{(given.Has("sack") ? ",sackOK" : "")}{(given.Has("ts") ? ",ts" : ",nots")}"
            + $"{(scale == null ? "" : ",wscale " + scale)}>";
        var synWindow = Math.Min(window, 65535);
        if (given.Has("active"))
        {
            run.Host.Connect();
            run.AdvanceTo(rtt);
            run.Inject(SegmentSpec.Parse($"S{(ecn ? "E" : "")}. 0 ack 1 win {synWindow} {options}"));
        }
        else
        {
            run.Host.Listen(false);
            run.Inject(SegmentSpec.Parse($"S{(ecn ? "EW" : "")} 0 win {synWindow} {options}"));
            run.AdvanceTo(rtt);
            var shift = scale == null ? 0 : Number(scale);
            run.Inject(SegmentSpec.Parse($". 1 ack 1 win {Math.Min(window >> shift, 65535)}"));
        }
        Must(run.Host.State == TcpState.Established, $"after the handshake the state is {run.Host.State}");
        run.StartOver(window, scale == null ? 0 : Number(scale));
    }

    static void Set(ScriptRun run, string[] words)
    {
        var seconds = words.Length > 1 && double.TryParse(words[1], out var value) ? value : 0;
        switch (words[0])
        {
            case "mtu":
                run.Options.Mtu = (uint)Number(words[1]);
                break;
            case "emission":
                run.Options.Emission = (uint)Number(words[1]);
                break;
            case "ecn":
                run.Options.Ecn = words[1] == "on" ? EcnMode.Full : EcnMode.Off;
                break;
            case "sack":
                run.Options.Sack = words[1] == "on";
                break;
            case "congestion":
                run.Options.Congestion = words[1] == "reno" ? CongestionAlgorithm.Reno : CongestionAlgorithm.Cubic;
                break;
            case "nodelay":
                run.Host.SetNoDelay(words[1] == "on");
                break;
            case "cork":
                run.Host.SetCork(words[1] == "on");
                break;
            case "user_timeout":
                run.Host.Tune((ref TcpTuning t) => t.UserTimeoutMillis = (uint)(seconds * 1000));
                break;
            case "syn_retries":
                run.Host.Tune((ref TcpTuning t) => t.SynRetries = (byte)seconds);
                break;
            case "keepalive":
                run.Host.Tune((ref TcpTuning t) =>
                {
                    t.Keepalive = true;
                    t.KeepaliveTimeSeconds = (uint)seconds;
                    t.KeepaliveIntervalSeconds = uint.Parse(words[2]);
                    t.KeepaliveProbes = byte.Parse(words[3]);
                });
                break;
            default:
                throw new ScriptException($"no setting is '{words[0]}'");
        }
    }

    /// <summary>`icmp needfrag SEQ MTU`, `icmp host SEQ`, `icmp port SEQ`: an error that quotes this number.</summary>
    static void Icmp(ScriptRun run, string[] words)
    {
        var code = words[0] switch { "needfrag" => NeedFragCode, "host" => HostCode, _ => PortCode };
        var mtu = words.Length > 2 ? uint.Parse(words[2]) : 0;
        run.Host.OnIcmp(Unreachable, code, run.Bases.Stack + SegmentSpec.Number(words[1]), mtu);
    }

    /// <summary>`ackall rtt S rounds N`: in each round trip the peer acknowledges all that was sent.</summary>
    static void AcknowledgeAll(ScriptRun run, string[] words)
    {
        var given = new Arguments(words);
        var rtt = ScriptTime.Nanoseconds(given.Value("rtt")!);
        var mss = run.Host.Tcb.SndMss;
        for (var round = Number(given.Value("rounds")!); round > 0; round--)
        {
            run.Drain();
            run.AdvanceTo(run.Elapsed + rtt);
            var end = run.Host.Tcb.SndNxt;
            while (run.Host.Tcb.SndUna < end)
            {
                var una = run.Host.Tcb.SndUna;
                var ack = SeqNum.Earlier(una + mss, end) - run.Bases.Stack;
                run.Inject(new SegmentSpec
                {
                    Flags = TcpFlags.Ack,
                    From = run.PeerNext,
                    To = run.PeerNext,
                    Ack = (uint)ack,
                });
                Must(run.Host.Tcb.SndUna > una, "an ACK was not taken");
            }
        }
        run.Drain();
        run.Last = run.Elapsed;
    }

    /// <summary>`stream N rtt S`: the peer sends N bytes, a window in each round trip, and they are read.</summary>
    static void Stream(ScriptRun run, string[] words)
    {
        var total = (uint)Number(words[0]);
        var rtt = ScriptTime.Nanoseconds(new Arguments(words[1..]).Value("rtt")!);
        var end = run.PeerNext + total;
        for (var round = 0; run.PeerNext != end; round++)
        {
            Must(round < 10_000, "the stream does not end");
            var edge = (uint)Math.Min(run.Watch.RightEdge, end);
            while (run.PeerNext < edge)
            {
                var next = Math.Min(run.PeerNext + 1000, edge);
                run.Inject(new SegmentSpec { Flags = TcpFlags.Ack, From = run.PeerNext, To = next, Ack = 1 });
                run.Host.Read(uint.MaxValue);
            }
            run.Drain();
            run.AdvanceTo(run.Elapsed + rtt);
        }
        run.Last = run.Elapsed;
    }

    /// <summary>Words of a call: flags, and names that a value follows.</summary>
    sealed class Arguments(string[] words)
    {
        public bool Has(string name) => words.Contains(name);

        public string? Value(string name) =>
            Array.IndexOf(words, name) is var at && at >= 0 ? words[at + 1] : null;
    }
}
