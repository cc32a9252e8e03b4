using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>TIME-WAIT (RFC 9293 3.6.1, RFC 6191): old segments die out before the ports are used again.</summary>
public static class TcpTimeWait
{
    /// <summary>Beyond what the old connection can have had in flight.</summary>
    private const uint NextIssDistance = 65535 + 2;

    public static void Enter(ref Tcb tcb, in TcpContext ctx, ref TcpEffects fx)
    {
        tcb.State = TcpState.TimeWait;
        tcb.Recovery.Free(ctx.Pool);
        tcb.Reassembly.Clear(ctx.Pool);
        tcb.SendTimer = SendTimer.None;
        tcb.SendTimerAt = 0;
        Restart(ref tcb, in ctx);
        fx.Events |= TcpEvents.TimeWait;
        ctx.Count(TcpCounter.TimeWaits);
    }

    private static void Restart(ref Tcb tcb, in TcpContext ctx) =>
        tcb.SlowTimerAt = ctx.NowNs + ctx.Settings.TimeWaitSeconds * TcpContext.NsPerSecond;

    /// <summary>RFC 9293 3.10.7.4 in TIME-WAIT, as Linux does it.</summary>
    public static void OnSegment(ref Tcb tcb, in TcpSegment seg, in TcpContext ctx, ref TcpEffects fx)
    {
        bool past = SegmentCheck.IsFromThePast(in tcb, in seg, in ctx);
        bool isReset = seg.Has(TcpFlags.Rst);
        if (!past && seg.Seq == tcb.RcvNxt && (seg.SequenceLength == 0 || isReset))
        {
            // RFC 1337: a RST of the past must not end it, if that is what the host prefers.
            if (isReset && !ctx.Settings.Rfc1337)
            {
                TcpClose.Done(ref tcb, in ctx, ref fx);
                return;
            }
            Restart(ref tcb, in ctx);
            Touch(ref tcb, in seg, in ctx);
            return;
        }
        if (seg.Has(TcpFlags.Syn) && !isReset && !seg.Has(TcpFlags.Ack) && !past && IsNewer(in tcb, in seg))
        {
            // RFC 9293 3.6.1 MAY-2, RFC 6191: the SYN is beyond doubt of a new connection.
            fx.NextIss = tcb.SndNxt + NextIssDistance;
            fx.Events |= TcpEvents.Reopen;
            ctx.Count(TcpCounter.TimeWaitReopened);
            TcpClose.Done(ref tcb, in ctx, ref fx);
            return;
        }
        if (past)
            ctx.Count(TcpCounter.PawsRejected);
        if (isReset)
            return;
        // "The only thing that can arrive is a retransmission of the remote FIN. Acknowledge it, and restart."
        if (past || seg.Has(TcpFlags.Ack))
            Restart(ref tcb, in ctx);
        if (!Challenge.IsAllowed(ref tcb, in ctx))
            return;
        tcb.Acks |= AckFlags.Scheduled | AckFlags.Now;
        fx.Events |= TcpEvents.Send;
    }

    private static void Touch(ref Tcb tcb, in TcpSegment seg, in TcpContext ctx)
    {
        if ((tcb.Flags & TcbFlags.Timestamps) == 0 || !seg.Options.Has(TcpOptionKinds.Timestamps))
            return;
        tcb.TsRecent = seg.Options.TsVal;
        tcb.TsRecentAt = ctx.NowNs;
    }

    private static bool IsNewer(in Tcb tcb, in TcpSegment seg) => seg.Seq > tcb.RcvNxt
        || ((tcb.Flags & TcbFlags.Timestamps) != 0 && seg.Options.Has(TcpOptionKinds.Timestamps)
            && (int)(tcb.TsRecent - seg.Options.TsVal) < 0);
}
