using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>
/// The path's MTU as one connection knows it: lowered by ICMP (RFC 1191, RFC 8201, checked as RFC 5927 asks), or, when
/// retransmissions go unanswered, without it (RFC 4821); then probed upwards again.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 32)]
public struct Pmtu
{
    private const uint HeadersV4 = 40, HeadersV6 = 60;

    /// <summary>net.ipv4.route.min_pmtu, and what IPv6 promises.</summary>
    private const uint LeastV4 = 552, LeastV6 = 1280;
    private const uint SearchEnd = 8;

    /// <summary>Segments that should follow the probe, so that its loss is noticed: RACK needs few.</summary>
    private const uint Followers = 3;

    /// <summary>What is used now, from ICMP and the link.</summary>
    [FieldOffset(0)] public uint Mtu;

    /// <summary>While searching: MTUs that came through, and that did not; 0 = not searching.</summary>
    [FieldOffset(4)] public uint SearchLow;
    [FieldOffset(8)] public uint SearchHigh;

    /// <summary>A probe that is on its way: its size and place; size 0 = none.</summary>
    [FieldOffset(12)] public uint ProbeMtu;
    [FieldOffset(16)] public SeqNum ProbeSeq;
    [FieldOffset(20)] public SeqNum ProbeEnd;

    /// <summary>The search begins anew then.</summary>
    [FieldOffset(24)] public long SearchAgainAt;

    public static uint Headers(in Tcb tcb) => (tcb.Flags & TcbFlags.V6) != 0 ? HeadersV6 : HeadersV4;

    /// <summary>The MSS to announce for a link.</summary>
    public static ushort MssOf(uint mtu, bool v6) =>
        (ushort)Math.Clamp(mtu - Math.Min(mtu, v6 ? HeadersV6 : HeadersV4), 1, ushort.MaxValue);

    /// <summary>Payload of a full segment, from all that limits it (RFC 9293 3.7.1, Eff.snd.MSS).</summary>
    public static void SyncMss(ref Tcb tcb, in TcpSettings settings)
    {
        uint mtu = tcb.Path.SearchLow != 0 ? Math.Min(tcb.Path.SearchLow, tcb.Path.Mtu) : tcb.Path.Mtu;
        tcb.SndMss = Payload(in tcb, mtu, in settings);
    }

    private static ushort Payload(in Tcb tcb, uint mtu, in TcpSettings settings)
    {
        uint mss = Math.Min(mtu - Math.Min(mtu, Headers(in tcb)), tcb.PeerMss);
        if (tcb.Options.MaxSegment != 0)
            mss = Math.Min(mss, tcb.Options.MaxSegment);
        return (ushort)(Math.Max(mss, settings.MinSndMss) - tcb.OptionBytes);
    }

    /// <summary>"Fragmentation needed" or "packet too big" for a segment of ours. False if it cannot be true, or is
    /// no news.</summary>
    public static bool OnTooBig(ref Tcb tcb, SeqNum quoted, uint mtu, in TcpContext ctx)
    {
        // RFC 5927 4.1: only about what is in flight.
        if (quoted < tcb.SndUna || quoted >= tcb.SndNxt)
        {
            ctx.Count(TcpCounter.IcmpIgnored);
            return false;
        }
        mtu = Math.Max(mtu, (tcb.Flags & TcbFlags.V6) != 0 ? LeastV6 : LeastV4);
        if (mtu >= tcb.Path.Mtu)
            return false;
        tcb.Path.Mtu = mtu;
        tcb.Path.ProbeMtu = 0;
        if (tcb.Path.SearchHigh > mtu)
            tcb.Path.SearchHigh = mtu;
        uint before = tcb.SndMss;
        SyncMss(ref tcb, in ctx.Settings);
        ctx.Count(TcpCounter.MtuReduced);
        return tcb.SndMss < before;
    }

    /// <summary>Retransmissions have not been answered for long: perhaps only small segments come through.</summary>
    public static void OnSilence(ref Tcb tcb, in TcpContext ctx)
    {
        if (!ctx.Settings.MtuProbing)
            return;
        uint headers = Headers(in tcb);
        // DEVIATION: not below what every path carries, while Linux goes down to 48 bytes: loss alone leads there too.
        uint least = (tcb.Flags & TcbFlags.V6) != 0 ? LeastV6 - headers : ctx.Settings.MtuProbeFloor;
        uint mss = Math.Max(ctx.Settings.BaseMss, least);
        if (tcb.Path.SearchLow == 0)
            tcb.Path.SearchHigh = tcb.Path.Mtu;
        else
            mss = Math.Max(Math.Min(mss, (tcb.Path.SearchLow - headers) >> 1), least);
        if (mss + headers >= (tcb.Path.SearchLow != 0 ? tcb.Path.SearchLow : tcb.Path.Mtu))
            return;
        tcb.Path.SearchLow = mss + headers;
        tcb.Path.ProbeMtu = 0;
        tcb.Path.SearchAgainAt = ctx.NowNs + ctx.Settings.MtuProbeSeconds * TcpContext.NsPerSecond;
        SyncMss(ref tcb, in ctx.Settings);
        ctx.Count(TcpCounter.MtuProbeFails);
    }

    /// <summary>
    /// The payload of a probe that should go now; 0 = none. The queue must hold that much and more.
    /// </summary>
    public static uint ProbeSize(ref Tcb tcb, in TcpContext ctx, uint unsent, uint cwnd)
    {
        if (tcb.Path.SearchLow == 0 || tcb.Path.ProbeMtu != 0 || tcb.Retransmits != 0)
            return 0;
        if (tcb.Path.SearchHigh - Math.Min(tcb.Path.SearchLow, tcb.Path.SearchHigh) < SearchEnd)
        {
            if (ctx.NowNs < tcb.Path.SearchAgainAt || tcb.Path.SearchLow >= tcb.Path.Mtu)
                return 0;
            tcb.Path.SearchHigh = tcb.Path.Mtu;
            tcb.Path.SearchAgainAt = ctx.NowNs + ctx.Settings.MtuProbeSeconds * TcpContext.NsPerSecond;
        }
        uint mtu = (tcb.Path.SearchLow + tcb.Path.SearchHigh + 1) / 2;
        uint size = Payload(in tcb, mtu, in ctx.Settings);
        uint needed = size + Followers * tcb.SndMss;
        bool follows = unsent >= needed && cwnd >= needed && Window.Sendable(in tcb) >= needed;
        if (!follows || size <= tcb.SndMss)
            return 0;
        tcb.Path.ProbeMtu = mtu;
        tcb.Path.ProbeSeq = tcb.SndNxt;
        tcb.Path.ProbeEnd = tcb.SndNxt + size;
        return size;
    }

    /// <summary>A part of the probe is sent again: it did not come through.</summary>
    public static void OnRetransmit(ref Tcb tcb, SeqNum seq)
    {
        if (tcb.Path.ProbeMtu == 0 || seq < tcb.Path.ProbeSeq || seq >= tcb.Path.ProbeEnd)
            return;
        tcb.Path.SearchHigh = tcb.Path.ProbeMtu - 1;
        tcb.Path.ProbeMtu = 0;
    }

    /// <summary>SND.UNA has moved.</summary>
    public static void OnAcked(ref Tcb tcb, in TcpContext ctx)
    {
        if (tcb.Path.ProbeMtu == 0 || tcb.SndUna < tcb.Path.ProbeEnd)
            return;
        tcb.Path.SearchLow = tcb.Path.ProbeMtu;
        tcb.Path.ProbeMtu = 0;
        SyncMss(ref tcb, in ctx.Settings);
        ctx.Count(TcpCounter.MtuRaised);
    }
}
