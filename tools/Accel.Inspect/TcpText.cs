using System.Globalization;
using System.Text.Json.Nodes;
using Accel.Core.Tcp;

namespace Accel.Inspect;

/// <summary>A connection's inside as `ss -i` shows it, under the same names.</summary>
public static class TcpText
{
    private static readonly string[] States =
    [
        "NONE", "ESTAB", "SYN-SENT", "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "UNCONN", "CLOSE-WAIT",
        "LAST-ACK", "LISTEN", "CLOSING",
    ];

    public static string State(TcpState state) => (int)state < States.Length ? States[(int)state] : $"{(int)state}";

    /// <summary>What ss prints behind a socket with -i: words that say what was agreed on, then name:value.</summary>
    public static string Line(JsonObject info)
    {
        var words = new List<string>();
        foreach ((string name, JsonNode? value) in info)
        {
            if (value is JsonValue v && v.TryGetValue(out bool set))
            {
                if (set) words.Add(name);
            }
            else if (name == "congestion")
                words.Add($"{value}");
            else
                words.Add($"{name}:{value}");
        }
        return string.Join(' ', words);
    }

    /// <summary>Times in milliseconds, sizes in bytes, windows of congestion in segments, as ss counts.</summary>
    public static JsonObject Info(in Tcb tcb, long nowNs)
    {
        var view = new TcpInfoView(in tcb, nowNs);
        var json = new JsonObject
        {
            ["ts"] = (tcb.Flags & TcbFlags.Timestamps) != 0,
            ["sack"] = (tcb.Flags & TcbFlags.Sack) != 0,
            ["ecn"] = (tcb.Flags & TcbFlags.Ecn) != 0,
            ["congestion"] = tcb.Recovery.Congestion.Algorithm.ToString().ToLowerInvariant(),
            ["wscale"] = $"{view.SndWscale},{view.RcvWscale}",
            ["rto"] = Millis(view.RtoUs),
            ["rtt"] = $"{Text(Millis(view.RttUs))}/{Text(Millis(view.RttVarUs))}",
            ["ato"] = Millis(view.AtoUs),
            ["mss"] = view.SndMss,
            ["pmtu"] = view.Pmtu,
            ["rcvmss"] = view.RcvMss,
            ["advmss"] = view.AdvMss,
            ["cwnd"] = view.SndCwnd,
        };
        Unless(json, "ssthresh", view.SndSsthresh, int.MaxValue);
        Unless(json, "backoff", view.Backoff, 0);
        json["bytes_sent"] = view.BytesSent;
        Unless(json, "bytes_retrans", (long)view.BytesRetrans, 0);
        json["bytes_acked"] = view.BytesAcked;
        json["bytes_received"] = view.BytesReceived;
        json["segs_out"] = view.SegsOut;
        json["segs_in"] = view.SegsIn;
        json["data_segs_out"] = view.DataSegsOut;
        json["data_segs_in"] = view.DataSegsIn;
        json["lastsnd"] = view.LastDataSentMs;
        json["lastrcv"] = view.LastDataRecvMs;
        json["lastack"] = view.LastAckRecvMs;
        json["delivery_rate"] = view.DeliveryRate * 8;
        json["delivered"] = view.Delivered;
        Unless(json, "unacked", view.Unacked, 0);
        if (view.Retrans != 0 || view.TotalRetrans != 0) json["retrans"] = $"{view.Retrans}/{view.TotalRetrans}";
        Unless(json, "lost", view.Lost, 0);
        Unless(json, "sacked", view.Sacked, 0);
        Unless(json, "dsack_dups", view.DsackDups, 0);
        Unless(json, "reordering", view.Reordering, 3);
        Unless(json, "reord_seen", view.ReordSeen, 0);
        Unless(json, "rcv_ooopack", view.RcvOoopack, 0);
        json["rcv_rtt"] = Millis(view.RcvRttUs);
        json["rcv_space"] = view.RcvSpace;
        json["minrtt"] = Millis(view.MinRttUs);
        json["snd_wnd"] = view.SndWnd;
        json["rcv_wnd"] = view.RcvWnd;
        return json;
    }

    /// <summary>The timer that comes first, as ss -o names it, and milliseconds until then; null: none.</summary>
    public static (string Name, double Millis)? Timer(in Tcb tcb, long nowNs) =>
        Timers(in tcb, nowNs) is [var first, ..] ? first : null;

    /// <summary>All that are armed, the first first.</summary>
    public static (string Name, double Millis)[] Timers(in Tcb tcb, long nowNs)
    {
        (string Name, long At)[] all =
        [
            (tcb.SendTimer switch
            {
                SendTimer.Persist => "persist",
                SendTimer.LossProbe => "probe",
                SendTimer.Reorder => "reorder",
                _ => "on",
            }, tcb.SendTimerAt),
            ("delack", tcb.DelayedAckAt),
            (tcb.State switch
            {
                TcpState.TimeWait => "timewait",
                TcpState.FinWait2 => "finwait2",
                _ => "keepalive",
            }, tcb.SlowTimerAt),
        ];
        return [.. all.Where(t => t.At != 0).OrderBy(t => t.At)
            .Select(t => (t.Name, Math.Round((t.At - nowNs) / 1e6, 3)))];
    }

    private static void Unless(JsonObject json, string name, long value, long usual)
    {
        if (value != usual) json[name] = value;
    }

    private static double Millis(uint micros) => micros / 1000.0;

    private static string Text(double value) => value.ToString("0.###", CultureInfo.InvariantCulture);
}
