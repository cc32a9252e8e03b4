using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>
/// Whether a segment of a synchronized connection can be one of its own: timestamps (PAWS), window, RST and SYN with
/// the defences of RFC 5961.
/// </summary>
public static class SegmentCheck
{
    /// <summary>RFC 7323 5.5: a timestamp that has not moved for so long may have wrapped.</summary>
    private const long PawsForgetsNs = 24L * 24 * 3600 * TcpContext.NsPerSecond;

    /// <summary>Steps one, two and four of RFC 9293 3.10.7.4. False: it was dropped, and answered if it must be.
    /// </summary>
    public static bool Passes(ref Tcb tcb, in TcpSegment seg, in TcpContext ctx, ref TcpEffects fx)
    {
        bool isReset = seg.Has(TcpFlags.Rst);
        if (IsFromThePast(in tcb, in seg, in ctx) && !IsOutdatedAck(in tcb, in seg))
        {
            // RFC 7323 5.3 R1: not acceptable, to be acknowledged. A RST is looked at all the same.
            if (!isReset)
            {
                ctx.Count(TcpCounter.PawsRejected);
                Unacceptable(ref tcb, in seg, in ctx, ref fx);
                return false;
            }
        }
        if (!Window.Accepts(in tcb, in seg))
        {
            ctx.Count(TcpCounter.OutOfWindow);
            if (!isReset)
                Unacceptable(ref tcb, in seg, in ctx, ref fx);
            else if (IsResetAfterFin(in tcb, in seg))
                TcpClose.OnReset(ref tcb, in ctx, ref fx);
            return false;
        }
        if (isReset)
        {
            OnReset(ref tcb, in seg, in ctx, ref fx);
            return false;
        }
        // RFC 5961 4.2: whatever its number, a SYN gets a challenge ACK. The SYN-ACK of a simultaneous open is none.
        if (seg.Has(TcpFlags.Syn) && !TcpHandshake.IsCrossedSynAck(in tcb, in seg))
        {
            ctx.Count(TcpCounter.SynChallenges);
            Challenge.Send(ref tcb, in ctx, ref fx);
            return false;
        }
        return true;
    }

    /// <summary>RFC 7323 5: protection against wrapped sequence numbers.</summary>
    public static bool IsFromThePast(in Tcb tcb, in TcpSegment seg, in TcpContext ctx) =>
        (tcb.Flags & TcbFlags.Timestamps) != 0 && seg.Options.Has(TcpOptionKinds.Timestamps)
        && (int)(tcb.TsRecent - seg.Options.TsVal) > 0
        && ctx.NowNs - tcb.TsRecentAt < PawsForgetsNs;

    /// <summary>RFC 7323 4.3: what the next ACK echoes.</summary>
    public static void TakeTimestamp(ref Tcb tcb, in TcpSegment seg, in TcpContext ctx)
    {
        if ((tcb.Flags & TcbFlags.Timestamps) == 0 || !seg.Options.Has(TcpOptionKinds.Timestamps)
            || seg.Seq > tcb.RcvWup || IsFromThePast(in tcb, in seg, in ctx))
            return;
        tcb.TsRecent = seg.Options.TsVal;
        tcb.TsRecentAt = ctx.NowNs;
    }

    /// <summary>
    /// As Linux: an ACK without data that was overtaken on its way tells nothing, but is no reason to answer either.
    /// </summary>
    private static bool IsOutdatedAck(in Tcb tcb, in TcpSegment seg)
    {
        uint window = (uint)seg.Window << tcb.SndWscale;
        return seg.Has(TcpFlags.Ack) && seg.SequenceLength == 0 && seg.Seq == tcb.RcvNxt && seg.Ack == tcb.SndUna
            && window <= tcb.SndWnd && window != 0
            && (int)(tcb.TsRecent - seg.Options.TsVal) <= tcb.Recovery.Rtt.Rto / TcpContext.NsPerMs;
    }

    /// <summary>
    /// An unacceptable segment is acknowledged (RFC 9293 3.10.7.4), so that an end that is out of step finds back.
    /// </summary>
    private static void Unacceptable(ref Tcb tcb, in TcpSegment seg, in TcpContext ctx, ref TcpEffects fx)
    {
        if (seg.Has(TcpFlags.Syn))
        {
            ctx.Count(TcpCounter.SynChallenges);
            Challenge.Send(ref tcb, in ctx, ref fx);
            return;
        }
        // Data is not what an endless exchange of ACKs is made of: only ACKs are limited.
        if (seg.SequenceLength == 0 && !Challenge.IsAllowed(ref tcb, in ctx))
            return;
        if (seg.SequenceLength != 0 && seg.Seq < tcb.RcvNxt)
        {
            ctx.Count(TcpCounter.DelayedAckLost);
            DelayedAck.EnterQuick(ref tcb, in ctx);
            TcpReceive.NoteDuplicate(ref tcb, seg.Seq, SeqNum.Earlier(seg.Seq + seg.SequenceLength, tcb.RcvNxt));
        }
        tcb.Acks |= AckFlags.Scheduled | AckFlags.Now;
        fx.Events |= TcpEvents.Send;
    }

    /// <summary>RFC 5961 3.2: only a RST at the very place that is expected next resets.</summary>
    private static void OnReset(ref Tcb tcb, in TcpSegment seg, in TcpContext ctx, ref TcpEffects fx)
    {
        // As Linux: also at the end of what SACK told the peer of, which a peer may answer that has lost its ACKs.
        bool exact = seg.Seq == tcb.RcvNxt || IsResetAfterFin(in tcb, in seg)
            || (!tcb.Reassembly.IsEmpty && (tcb.Flags & TcbFlags.Sack) != 0
                && seg.Seq == tcb.Reassembly.HighEnd(ctx.Pool));
        if (exact)
            TcpClose.OnReset(ref tcb, in ctx, ref fx);
        else
            Challenge.Send(ref tcb, in ctx, ref fx);
    }

    /// <summary>Some peers send the RST after their FIN without counting the FIN.</summary>
    private static bool IsResetAfterFin(in Tcb tcb, in TcpSegment seg) => seg.Seq == tcb.RcvNxt - 1
        && tcb.State is TcpState.CloseWait or TcpState.LastAck or TcpState.Closing;
}
