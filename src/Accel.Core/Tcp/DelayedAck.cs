using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>
/// When to acknowledge (RFC 9293 3.8.6.3, RFC 5681 4.2), as Linux decides it: at once for the first segments and when
/// something is odd, for every second full segment, and else after a delay that follows the peer's pace. Data beyond a
/// gap is reported at once only until the peer can have seen three duplicates.
/// </summary>
public static class DelayedAck
{
    private const int MaxQuickAcks = 16;
    private const uint DefaultMss = 536;
    private const uint MinMss = 88;
    private const uint OptionSpace = 40;
    private const byte PingPongThreshold = 1;

    /// <summary>RFC 5681 3.2: duplicates that tell a sender of a loss.</summary>
    private const byte DupThresh = 3;

    /// <summary>The part of a round trip that the report of data beyond a gap may wait.</summary>
    private const int CompressedPart = 20;
    private const long MaxDelayNs = 500 * TcpContext.NsPerMs;

    private static long Least(in TcpContext ctx) => ctx.Settings.DelayedAckMinMillis * TcpContext.NsPerMs;

    public static bool IsPingPong(in Tcb tcb) => tcb.PingPong >= PingPongThreshold;

    /// <summary>The next ACKs go at once: the peer is in slow start, or waits for one.</summary>
    public static void EnterQuick(ref Tcb tcb, in TcpContext ctx)
    {
        MoreQuick(ref tcb);
        tcb.PingPong = 0;
        tcb.AckTimeout = Least(in ctx);
    }

    public static void MoreQuick(ref Tcb tcb)
    {
        uint wanted = tcb.RcvMss == 0 ? 0 : tcb.RcvWnd / (2u * tcb.RcvMss);
        wanted = Math.Min(wanted == 0 ? 2 : wanted, MaxQuickAcks);
        if (wanted > tcb.QuickAcks)
            tcb.QuickAcks = (byte)wanted;
    }

    /// <summary>Both ends take turns: an ACK will find data to ride on.</summary>
    public static void EnterPingPong(ref Tcb tcb) => tcb.PingPong = PingPongThreshold;

    /// <summary>TCP_QUICKACK: what waits goes at once, or ACKs wait for data from now on.</summary>
    public static void SetQuick(ref Tcb tcb, bool on)
    {
        tcb.PingPong = on ? (byte)0 : PingPongThreshold;
        if (on && (tcb.Acks & AckFlags.Scheduled) != 0)
            tcb.Acks |= AckFlags.Now;
    }

    private static bool IsQuick(in Tcb tcb) => tcb.QuickAcks != 0 && !IsPingPong(in tcb);

    /// <summary>Data came: it is to be acknowledged, and tells of the peer's pace and segment size.</summary>
    public static void OnData(ref Tcb tcb, in TcpSegment seg, in TcpContext ctx)
    {
        tcb.Acks |= AckFlags.Scheduled;
        MeasureMss(ref tcb, in seg);
        long least = Least(in ctx), gap = ctx.NowNs - tcb.ReceivedAt;
        if (tcb.AckTimeout == 0)
        {
            // The first: begin with ACKs at once, since the peer is in slow start.
            MoreQuick(ref tcb);
            tcb.AckTimeout = least;
        }
        else if (gap <= least / 2)
            tcb.AckTimeout = (tcb.AckTimeout >> 1) + least / 2;
        else if (gap < tcb.AckTimeout)
            tcb.AckTimeout = Math.Min((tcb.AckTimeout >> 1) + gap, tcb.Recovery.Rtt.Rto);
        else if (gap > tcb.Recovery.Rtt.Rto)
            // The peer has been silent for so long that it starts slowly again.
            MoreQuick(ref tcb);
        tcb.ReceivedAt = ctx.NowNs;
    }

    /// <summary>Data went: if it answers what came just now, the ends take turns.</summary>
    public static void OnSent(ref Tcb tcb, in TcpContext ctx)
    {
        if (ctx.NowNs - tcb.ReceivedAt < tcb.AckTimeout && tcb.PingPong < byte.MaxValue)
            tcb.PingPong++;
    }

    /// <summary>After a segment: decides between now, later and not at all.</summary>
    /// <param name="inOrder">It left no gap.</param>
    public static void Decide(ref Tcb tcb, in TcpContext ctx, bool inOrder)
    {
        if ((tcb.Acks & AckFlags.Scheduled) == 0)
            return;
        // Before any data came nothing is known of the peer's pace: a FIN alone is not kept waiting.
        if ((tcb.Acks & AckFlags.Now) != 0 || IsQuick(in tcb) || tcb.AckTimeout == 0
            || tcb.RcvNxt - tcb.RcvWup > tcb.RcvMss)
            tcb.Acks |= AckFlags.Now;
        else if (inOrder)
            Delay(ref tcb, in ctx);
        else
            Compress(ref tcb, in ctx);
    }

    /// <summary>
    /// There is a gap (RFC 5681 4.2): the first of what comes beyond it is reported at once, so that the peer learns of
    /// a loss in time; then one ACK tells of many, a small part of the round trip later, as Linux does it. An ACK for
    /// each would make reordering as dear as a stream in the other direction.
    /// </summary>
    private static void Compress(ref Tcb tcb, in TcpContext ctx)
    {
        if (tcb.GapAt != tcb.RcvNxt)
        {
            tcb.GapAt = tcb.RcvNxt;
            tcb.GapAcks = 0;
        }
        // A DSACK block would be overwritten by the next (RFC 2883 4). Without SACK the peer counts duplicates.
        bool told = tcb.GapAcks < DupThresh;
        if (told || (tcb.Flags & (TcbFlags.Sack | TcbFlags.DsackDue)) != TcbFlags.Sack
            || tcb.Compressed >= ctx.Settings.CompressedSacks)
        {
            if (told)
                tcb.GapAcks++;
            tcb.Acks |= AckFlags.Now;
            return;
        }
        tcb.Compressed++;
        long rtt = tcb.Tuning.RttNs, srtt = tcb.Recovery.Rtt.Srtt;
        if (srtt != 0 && srtt < rtt)
            rtt = srtt;
        long at = ctx.NowNs + Math.Min(rtt / CompressedPart, ctx.Settings.CompressedSackDelayNs)
            + ctx.Settings.CompressedSackSlackNs;
        bool waits = (tcb.Acks & (AckFlags.Delayed | AckFlags.Compressed)) != 0;
        tcb.DelayedAckAt = waits ? Math.Min(at, tcb.DelayedAckAt) : at;
        tcb.Acks |= AckFlags.Compressed;
    }

    private static void Delay(ref Tcb tcb, in TcpContext ctx)
    {
        long most = ctx.Settings.DelayedAckMaxMillis * TcpContext.NsPerMs;
        long delay = tcb.AckTimeout, least = Least(in ctx);
        if (delay > least)
        {
            long limit = IsPingPong(in tcb) || (tcb.Acks & AckFlags.Pushed) != 0 ? most : MaxDelayNs;
            if (tcb.Recovery.Rtt.Srtt > 0)
                limit = Math.Min(limit, Math.Max(tcb.Recovery.Rtt.Srtt, least));
            delay = Math.Min(delay, limit);
        }
        delay = Math.Min(Math.Max(delay, least), most);
        long at = ctx.NowNs + delay;
        if ((tcb.Acks & AckFlags.Delayed) != 0)
        {
            // One that is as good as due goes now.
            if (tcb.DelayedAckAt <= ctx.NowNs + (delay >> 2))
            {
                tcb.Acks |= AckFlags.Now;
                return;
            }
            at = Math.Min(at, tcb.DelayedAckAt);
        }
        tcb.Acks |= AckFlags.Delayed;
        tcb.DelayedAckAt = at;
    }

    /// <summary>
    /// The delay is over: nothing has taken the ACK along, so the guess was too long, or too short.
    /// </summary>
    public static void OnTimer(ref Tcb tcb, in TcpContext ctx)
    {
        tcb.DelayedAckAt = 0;
        bool compressed = (tcb.Acks & AckFlags.Compressed) != 0;
        tcb.Acks &= ~(AckFlags.Delayed | AckFlags.Compressed);
        if ((tcb.Acks & AckFlags.Scheduled) == 0)
            return;
        if (compressed)
        {
            // It waited for more to report: that says nothing of the peer's pace.
            tcb.Acks |= AckFlags.Now;
            return;
        }
        if (IsPingPong(in tcb))
        {
            tcb.PingPong = 0;
            tcb.AckTimeout = Least(in ctx);
        }
        else
            tcb.AckTimeout = Math.Min(tcb.AckTimeout << 1, tcb.Recovery.Rtt.Rto);
        tcb.Acks |= AckFlags.Now;
        ctx.Count(TcpCounter.DelayedAcks);
    }

    /// <summary>
    /// The reader took data: an ACK that waits goes if it covers more than a segment, or if the peer may be waiting for
    /// it, as Nagle's rule makes it.
    /// </summary>
    public static bool IsDueAfterRead(in Tcb tcb, in TcpStreams streams)
    {
        if ((tcb.Acks & AckFlags.Scheduled) == 0)
            return false;
        return tcb.RcvNxt - tcb.RcvWup > tcb.RcvMss
            || (streams.Unread == 0 && ((tcb.Acks & AckFlags.PushedTwice) != 0
                || ((tcb.Acks & AckFlags.Pushed) != 0 && !IsPingPong(in tcb))));
    }

    /// <summary>A segment that carries the ACK has been made.</summary>
    public static void OnAckSent(ref Tcb tcb, in TcpContext ctx)
    {
        if (tcb.QuickAcks > 0 && (tcb.Acks & AckFlags.Scheduled) != 0)
            tcb.QuickAcks--;
        if ((tcb.Acks & AckFlags.Compressed) != 0)
            ctx.Count(TcpCounter.CompressedAcks);
        tcb.Acks = AckFlags.None;
        tcb.DelayedAckAt = 0;
        tcb.Compressed = 0;
    }

    /// <summary>The size of the peer's full segments: delayed ACKs count in those (RFC 5681 4.2).</summary>
    private static void MeasureMss(ref Tcb tcb, in TcpSegment seg)
    {
        uint each = seg.Merged > 1 ? (seg.Length + seg.Merged - 1) / seg.Merged : seg.Length;
        if (each >= tcb.RcvMss)
        {
            // Longer than known, by more than options: this may be a burst's end, which the reader should answer.
            if (each > tcb.RcvMss + OptionSpace)
                tcb.Acks |= AckFlags.Pushed;
            tcb.RcvMss = (ushort)Math.Min(each, tcb.AdvertisedMss);
            return;
        }
        // A peer of small segments, on a path of small packets: not those that a push has cut short.
        if (each >= DefaultMss || (each >= MinMss && !seg.Has(TcpFlags.Psh)))
        {
            bool same = each == tcb.Tuning.LastLength;
            tcb.Tuning.LastLength = each;
            if (same)
            {
                tcb.RcvMss = (ushort)each;
                return;
            }
        }
        if ((tcb.Acks & AckFlags.Pushed) != 0)
            tcb.Acks |= AckFlags.PushedTwice;
        tcb.Acks |= AckFlags.Pushed;
    }
}
