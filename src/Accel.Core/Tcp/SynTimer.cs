namespace Accel.Core.Tcp;

/// <summary>Retransmission of SYN and SYN-ACK (RFC 6298 2, RFC 9293 3.8.3): a few at an even pace, then backed off.
/// </summary>
public static class SynTimer
{
    private const int MostBackoff = 7;

    public static void Arm(ref Tcb tcb, in TcpContext ctx)
    {
        int backoff = Math.Min((int)tcb.Backoff, MostBackoff);
        long delay = Math.Min(RttEstimator.InitialRtoNs << backoff, RttEstimator.MaxRtoNs);
        if (tcb.Options.UserTimeoutMillis != 0)
        {
            long left = tcb.OpenedAt + tcb.Options.UserTimeoutMillis * TcpContext.NsPerMs - ctx.NowNs;
            delay = Math.Min(delay, Math.Max(left, TcpContext.NsPerMs));
        }
        tcb.SendTimer = SendTimer.Retransmit;
        tcb.SendTimerAt = ctx.NowNs + delay;
    }

    /// <summary>
    /// How long so many retries take with a back-off from the first on, which ends the attempt though the linear ones
    /// are not counted (tcp_model_timeout() of Linux).
    /// </summary>
    private static long Patience(uint retries)
    {
        // The largest power of two by which the first RTO stays below the largest.
        const int Doublings = 6;
        long doubled = ((2L << (int)Math.Min(retries, Doublings)) - 1) * RttEstimator.InitialRtoNs;
        return doubled + Math.Max(0, (int)retries - Doublings) * RttEstimator.MaxRtoNs;
    }

    public static void OnTimer(ref Tcb tcb, in TcpContext ctx, ref TcpEffects fx)
    {
        uint linear = tcb.State == TcpState.SynSent ? ctx.Settings.SynLinearTimeouts : 0u;
        uint retries = tcb.State == TcpState.SynReceived && (tcb.Flags & TcbFlags.Passive) != 0
            ? ctx.Settings.SynAckRetries
            : (tcb.Options.SynRetries != 0 ? tcb.Options.SynRetries : ctx.Settings.SynRetries) + linear;
        uint user = tcb.Options.UserTimeoutMillis;
        bool active = (tcb.Flags & TcbFlags.Passive) == 0;
        long patience = user != 0 ? user * TcpContext.NsPerMs : active ? Patience(retries - linear) : long.MaxValue;
        bool late = ctx.NowNs - tcb.OpenedAt >= patience && (user != 0 || tcb.Retransmits > 0);
        if (tcb.Retransmits >= retries || late)
        {
            ctx.Count(TcpCounter.AttemptFails);
            if ((tcb.Flags & TcbFlags.Passive) != 0)
                TcpClose.Done(ref tcb, in ctx, ref fx);
            else
                GiveUp.Now(ref tcb, in ctx, ref fx);
            return;
        }
        tcb.Retransmits++;
        if (tcb.Retransmits > linear)
            tcb.Backoff++;
        tcb.Flags |= TcbFlags.SynDue | TcbFlags.SynRetransmitted;
        tcb.Tally.Retransmitted++;
        tcb.Tally.Timeouts++;
        ctx.Count(TcpCounter.Retransmitted);
        ctx.Count(TcpCounter.Timeouts);
        Arm(ref tcb, in ctx);
        fx.Events |= TcpEvents.Send;
    }
}
