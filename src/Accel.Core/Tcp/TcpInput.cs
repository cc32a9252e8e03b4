using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>RFC 9293 3.10.7: a segment arrives.</summary>
public static class TcpInput
{
    /// <summary>
    /// One step. <paramref name="fx"/> says what to store, how much of it became readable, and whether to call
    /// <see cref="TcpOutput.Next"/>. <paramref name="streams"/> is as it was before the segment.
    /// </summary>
    public static void OnSegment(
        ref Tcb tcb, in TcpSegment seg, in TcpContext ctx, in TcpStreams streams, ref TcpEffects fx)
    {
        ctx.Count(TcpCounter.SegmentsIn);
        tcb.Tally.SegmentsIn += Math.Max(seg.Merged, 1);
        if (HeaderPrediction.TryTake(ref tcb, in seg, in ctx, in streams, ref fx))
            return;
        switch (tcb.State)
        {
            case TcpState.None or TcpState.Closed or TcpState.Listen:
                TcpClose.ResetFor(in seg, ref fx);
                return;
            case TcpState.SynSent:
                TcpHandshake.OnSynSent(ref tcb, in seg, in ctx, ref fx);
                break;
            case TcpState.TimeWait:
                TcpTimeWait.OnSegment(ref tcb, in seg, in ctx, ref fx);
                return;
            default:
                OnSynchronized(ref tcb, in seg, in ctx, in streams, ref fx);
                break;
        }
        Finish(ref tcb, in ctx, ref fx);
    }

    /// <summary>RFC 9293 3.10.7.4: all states from SYN-RECEIVED to LAST-ACK.</summary>
    private static void OnSynchronized(
        ref Tcb tcb, in TcpSegment seg, in TcpContext ctx, in TcpStreams streams, ref TcpEffects fx)
    {
        if (tcb.State == TcpState.SynReceived && TcpHandshake.IsOldSyn(ref tcb, in seg, in ctx, ref fx))
            return;
        // First, check the sequence number; second, the RST bit; fourth, the SYN bit.
        if (!SegmentCheck.Passes(ref tcb, in seg, in ctx, ref fx))
            return;
        // Fifth, check the ACK field. "If the ACK bit is off, drop the segment and return."
        if (!seg.Has(TcpFlags.Ack))
            return;
        if (tcb.State == TcpState.SynReceived)
        {
            if (!TcpHandshake.OnSynReceived(ref tcb, in seg, in ctx, ref fx))
                return;
        }
        if (streams.Finished)
            TcpClose.OnFinished(ref tcb);
        if (!TcpAck.OnAck(ref tcb, in seg, in ctx, in streams, ref fx))
            return;
        if (TcpClose.OnAcked(ref tcb, in ctx, ref fx))
            return;
        Ecn.OnSegment(ref tcb, in seg, in ctx);
        // Sixth, check the URG bit.
        if (seg.Has(TcpFlags.Urg))
            UrgentMark.OnSegment(ref tcb, in seg, in ctx, in streams, ref fx);
        // Seventh, process the segment text; eighth, check the FIN bit.
        if (seg.Length != 0 || seg.Has(TcpFlags.Fin))
            TcpReceive.OnText(ref tcb, in seg, in ctx, in streams, ref fx);
    }

    private static void Finish(ref Tcb tcb, in TcpContext ctx, ref TcpEffects fx)
    {
        if ((tcb.Acks & AckFlags.Now) != 0)
            fx.Events |= TcpEvents.Send;
        TcpTimers.Sync(ref tcb, in ctx);
    }
}
