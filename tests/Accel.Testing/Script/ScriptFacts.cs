using System.Globalization;
using Accel.Core.Tcp;

namespace Accel.Testing.Script;

/// <summary>What scripts can ask about a connection: names and how to find out.</summary>
static class ScriptFacts
{
    const long Tolerance = VirtualClock.Millisecond;

    /// <summary>Sequence numbers count from their side's SYN, windows and sizes are bytes, times nanoseconds.</summary>
    static readonly Dictionary<string, Func<ScriptRun, string?, long>> Facts = new()
    {
        ["SndUna"] = (run, _) => run.Host.Tcb.SndUna - run.Bases.Stack,
        ["SndNxt"] = (run, _) => run.Host.Tcb.SndNxt - run.Bases.Stack,
        ["SndWnd"] = (run, _) => run.Host.Tcb.SndWnd,
        ["SndWndScale"] = (run, _) => run.Host.Tcb.SndWscale,
        ["RcvWndScale"] = (run, _) => run.Host.Tcb.RcvWscale,
        ["RcvNxt"] = (run, _) => run.Host.Tcb.RcvNxt - run.Bases.Peer,

        // As the peer sees it: from RCV.NXT to the furthest edge that a segment of ours has offered.
        ["RcvWnd"] = (run, _) => run.Watch.RightEdge - (run.Host.Tcb.RcvNxt - run.Bases.Peer),
        ["SegmentSize"] = (run, _) => run.Host.Tcb.SndMss,
        ["Cwnd"] = (run, _) => run.Host.Tcb.Recovery.Congestion.Cwnd,
        ["Ssthresh"] = (run, _) => run.Host.Tcb.Recovery.Congestion.Ssthresh,
        ["InFlight"] = (run, _) => run.Host.Tcb.Recovery.Sent.InFlight,
        ["SackedBytes"] = (run, _) => run.Host.Tcb.Recovery.Sent.Sacked,
        ["Srtt"] = (run, _) => run.Host.Tcb.Recovery.Rtt.Srtt,
        ["Rto"] = (run, _) => run.Host.Tcb.Recovery.Rtt.Rto,
        ["Timer"] = (run, _) => run.Host.Deadline == long.MaxValue ? 0 : run.Host.Deadline,
        ["Records"] = (run, _) => run.Host.Records.InUse,
        ["UrgentEnd"] = (run, _) => run.Host.UrgentEnd,
        ["Readable"] = (run, _) => run.Host.Receiving.Readable,

        // From what was seen on the wire.
        ["Acknowledged"] = (run, _) => run.Watch.Acknowledged,
        ["Retransmits"] = (run, _) => run.Watch.Retransmits,
        ["ResentAt"] = (run, at) => run.Watch.TimesSent(SegmentSpec.Number(at!)) - 1,
        ["CwrSent"] = (run, _) => run.Watch.CwrSent,
        ["UrgSent"] = (run, _) => run.Watch.UrgSent,
        ["RstSent"] = (run, _) => run.Watch.RstSent,
    };

    /// <summary>`expect NAME [ARGUMENT] OP VALUE [UNIT]`, `expect event NAME`, `expect error NAME`. Null if it holds.
    /// </summary>
    public static string? Difference(ScriptRun run, string[] words)
    {
        switch (words[0])
        {
            case "State":
                var state = run.Host.State;
                return state == Enum.Parse<TcpState>(words[2]) ? null : $"State is {state}";
            case "event":
                var events = run.Host.Seen;
                return events.HasFlag(Enum.Parse<TcpEvents>(words[1])) ? null : $"events were {events}";
            case "error":
                return run.Host.Error == Enum.Parse<TcpError>(words[1]) ? null : $"error is {run.Host.Error}";
        }
        if (!Facts.TryGetValue(words[0], out var fact))
            throw new ScriptException($"no fact is '{words[0]}'");
        var hasArgument = words[1] is not ("=" or "<=" or ">=");
        return Compare(run, words[0], fact(run, hasArgument ? words[1] : null), words[(hasArgument ? 2 : 1)..]);
    }

    static string? Compare(ScriptRun run, string name, long actual, string[] words)
    {
        if (words is not ["=" or "<=" or ">=", ..])
            throw new ScriptException("a comparison is =, <= or >=");
        var isTime = words[1].EndsWith("ms", StringComparison.Ordinal);
        var number = isTime ? words[1][..^2] : words[1];
        var value = long.Parse(number, CultureInfo.InvariantCulture);
        if (words.Length > 2 && words[2] == "mss")
            value *= run.Host.Tcb.SndMss;
        var slack = isTime ? Tolerance : 0;
        value *= isTime ? VirtualClock.Millisecond : 1;
        var holds = words[0] switch
        {
            "=" => Math.Abs(actual - value) <= slack,
            "<=" => actual <= value + slack,
            _ => actual >= value - slack,
        };
        return holds ? null : $"{name} is {(isTime ? $"{actual / 1e6}ms" : actual)}";
    }
}
