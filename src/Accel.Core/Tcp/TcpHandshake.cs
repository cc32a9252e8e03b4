using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>Segments in SYN-SENT and SYN-RECEIVED (RFC 9293 3.5, 3.10.7.3, 3.10.7.4).</summary>
public static class TcpHandshake
{
    /// <summary>RFC 6928; RFC 5681 3.1 after more than one loss.</summary>
    private const uint InitialSegments = 10, SegmentsAfterLoss = 1;

    /// <summary>RFC 9293 3.10.7.3.</summary>
    public static void OnSynSent(ref Tcb tcb, in TcpSegment seg, in TcpContext ctx, ref TcpEffects fx)
    {
        bool ack = seg.Has(TcpFlags.Ack);
        // First, check the ACK bit.
        if (ack && (seg.Ack <= tcb.Iss || seg.Ack > tcb.SndNxt || IsEchoWrong(in tcb, in seg, in ctx)))
        {
            TcpClose.ResetFor(in seg, ref fx);
            return;
        }
        // Second, check the RST bit. RFC 5961 3.2: only one that acknowledges our SYN is believed.
        if (seg.Has(TcpFlags.Rst))
        {
            if (ack)
                TcpClose.OnReset(ref tcb, in ctx, ref fx);
            return;
        }
        // Fourth, check the SYN bit.
        if (!seg.Has(TcpFlags.Syn))
            return;
        tcb.HeardAt = ctx.NowNs;
        TcpOptionKinds offered = TcpOpen.Offered(in tcb);
        TcpOpen.TakeSyn(ref tcb, in seg);
        TcpOpen.TakeOptions(ref tcb, in seg.Options, in ctx, offered);
        if (!ack)
        {
            // RFC 9293 3.5, figure 7: both ends open at the same time.
            tcb.State = TcpState.SynReceived;
            tcb.Flags |= TcbFlags.SynDue;
            if (!(seg.Has(TcpFlags.Ece) && seg.Has(TcpFlags.Cwr)))
                tcb.Flags &= ~TcbFlags.Ecn;
            fx.Events |= TcpEvents.Send;
            return;
        }
        // RFC 3168 6.1.1: ECE alone agrees; both bits are an echo of ours by somebody who does not know them.
        if (!seg.Has(TcpFlags.Ece) || seg.Has(TcpFlags.Cwr))
            tcb.Flags &= ~TcbFlags.Ecn;
        Establish(ref tcb, in seg, in ctx, ref fx);
        tcb.Acks |= AckFlags.Now;
        fx.Events |= TcpEvents.Send;
    }

    /// <summary>The SYN of this connection came again: our SYN-ACK was lost. True: that was all.</summary>
    public static bool IsOldSyn(ref Tcb tcb, in TcpSegment seg, in TcpContext ctx, ref TcpEffects fx)
    {
        bool again = (seg.Flags & (TcpFlags.Syn | TcpFlags.Ack | TcpFlags.Rst)) == TcpFlags.Syn && seg.Seq == tcb.Irs;
        if (!again)
            return false;
        if (SegmentCheck.IsFromThePast(in tcb, in seg, in ctx) || !Challenge.IsAllowed(ref tcb, in ctx))
            return true;
        tcb.Flags |= TcbFlags.SynDue | TcbFlags.SynRetransmitted;
        fx.Events |= TcpEvents.Send;
        return true;
    }

    /// <summary>The SYN-ACK that answers our SYN in a simultaneous open: it repeats the peer's SYN.</summary>
    public static bool IsCrossedSynAck(in Tcb tcb, in TcpSegment seg) =>
        tcb.State == TcpState.SynReceived && (tcb.Flags & TcbFlags.Passive) == 0 && seg.Has(TcpFlags.Ack)
        && seg.Length == 0 && seg.Seq + 1 == tcb.RcvNxt && seg.Ack == tcb.SndNxt;

    /// <summary>RFC 9293 3.10.7.4, fifth, SYN-RECEIVED. False: the segment was dropped, and reset.</summary>
    public static bool OnSynReceived(ref Tcb tcb, in TcpSegment seg, in TcpContext ctx, ref TcpEffects fx)
    {
        if (seg.Ack <= tcb.SndUna || seg.Ack > tcb.SndNxt)
        {
            TcpClose.ResetFor(in seg, ref fx);
            return false;
        }
        tcb.HeardAt = ctx.NowNs;
        // The window of the SYN-ACK of a simultaneous open is not scaled, that of an ACK is.
        byte scale = seg.Has(TcpFlags.Syn) ? (byte)0 : tcb.SndWscale;
        tcb.SndWnd = (uint)seg.Window << scale;
        tcb.MaxWindow = Math.Max(tcb.MaxWindow, tcb.SndWnd);
        tcb.SndWl1 = seg.Seq;
        Establish(ref tcb, in seg, in ctx, ref fx);
        if (seg.Has(TcpFlags.Syn))
            tcb.Acks |= AckFlags.Scheduled | AckFlags.Now;
        if ((tcb.Flags & TcbFlags.Passive) != 0)
            ctx.Count(TcpCounter.PassiveOpens);
        // What was queued, or closed, before may go now.
        fx.Events |= TcpEvents.Send;
        return true;
    }

    private static void Establish(ref Tcb tcb, in TcpSegment seg, in TcpContext ctx, ref TcpEffects fx)
    {
        tcb.SndUna = tcb.SndNxt;
        tcb.State = TcpState.Established;
        long rtt = RoundTrip(in tcb, in seg, in ctx);
        if (rtt > 0)
            tcb.Recovery.Rtt.Sample(rtt, rtt, tcb.SndUna, tcb.SndNxt, ctx.NowNs);
        else
            tcb.Recovery.Rtt.StartUnmeasured();
        uint segments = tcb.Retransmits > 1 ? SegmentsAfterLoss : InitialSegments;
        tcb.Recovery.Congestion.SlowStartAfterIdle = ctx.Settings.SlowStartAfterIdle;
        tcb.Recovery.Start(
            tcb.SndNxt, tcb.SndMss, (tcb.Flags & TcbFlags.Sack) != 0, tcb.Recovery.Congestion.Algorithm, segments,
            ctx.NowNs);
        tcb.SndSml = tcb.SndNxt;
        tcb.Flags &= ~TcbFlags.SynDue;
        tcb.Retransmits = tcb.Backoff = 0;
        tcb.TimeoutsSince = 0;
        tcb.SendTimer = SendTimer.None;
        tcb.SendTimerAt = 0;
        tcb.SentAt = tcb.ReceivedAt = ctx.NowNs;
        TcpKeepalive.OnOptions(ref tcb, in ctx);
        fx.Events |= TcpEvents.Established;
    }

    /// <summary>Karn's rule: a SYN that was sent again is measured by its timestamp, or not at all.</summary>
    private static long RoundTrip(in Tcb tcb, in TcpSegment seg, in TcpContext ctx)
    {
        if ((tcb.Flags & TcbFlags.SynRetransmitted) == 0)
            return Math.Max(1, ctx.NowNs - tcb.OpenedAt);
        if ((tcb.Flags & TcbFlags.Timestamps) == 0 || seg.Options.TsEcr == 0)
            return 0;
        int ms = (int)(ctx.NowMs + tcb.TsOffset - seg.Options.TsEcr);
        return ms < 0 ? 0 : Math.Max(ms, 1) * TcpContext.NsPerMs;
    }

    /// <summary>RFC 7323 3.2: the echo must be of a SYN that we sent.</summary>
    private static bool IsEchoWrong(in Tcb tcb, in TcpSegment seg, in TcpContext ctx)
    {
        if ((tcb.Flags & TcbFlags.Timestamps) == 0 || !seg.Options.Has(TcpOptionKinds.Timestamps)
            || seg.Options.TsEcr == 0)
            return false;
        uint first = (uint)((ulong)tcb.OpenedAt / TcpContext.NsPerMs);
        return seg.Options.TsEcr - tcb.TsOffset - first > ctx.NowMs - first;
    }
}
