namespace Accel.Core.Tcp;

/// <summary>What a connection does when time passes.</summary>
public static class TcpTimers
{
    /// <summary>Linux gives a peer that closed its window this long to say anything.</summary>
    private const long MostSilenceNs = 2 * RttEstimator.MaxRtoNs;

    /// <summary>
    /// When <see cref="OnTimer"/> should be called next; <see cref="long.MaxValue"/>: not at all. It may move in either
    /// direction in any step.
    /// </summary>
    public static long Deadline(in Tcb tcb)
    {
        long least = long.MaxValue;
        if (tcb.SendTimerAt != 0)
            least = tcb.SendTimerAt;
        if (tcb.DelayedAckAt != 0 && tcb.DelayedAckAt < least)
            least = tcb.DelayedAckAt;
        if (tcb.SlowTimerAt != 0 && tcb.SlowTimerAt < least)
            least = tcb.SlowTimerAt;
        return least;
    }

    /// <summary>Does what is due. Harmless when nothing is.</summary>
    public static void OnTimer(ref Tcb tcb, in TcpContext ctx, in TcpStreams streams, ref TcpEffects fx)
    {
        if (tcb.DelayedAckAt != 0 && tcb.DelayedAckAt <= ctx.NowNs)
        {
            DelayedAck.OnTimer(ref tcb, in ctx);
            if ((tcb.Acks & AckFlags.Now) != 0)
                fx.Events |= TcpEvents.Send;
        }
        if (tcb.SendTimerAt != 0 && tcb.SendTimerAt <= ctx.NowNs)
            OnSendTimer(ref tcb, in ctx, in streams, ref fx);
        if (tcb.SlowTimerAt != 0 && tcb.SlowTimerAt <= ctx.NowNs)
            OnSlowTimer(ref tcb, in ctx, in streams, ref fx);
        Sync(ref tcb, in ctx);
    }

    /// <summary>Takes the timer that loss recovery wants, while something is in flight.</summary>
    internal static void Sync(ref Tcb tcb, in TcpContext ctx)
    {
        if (!tcb.State.IsSynchronized())
            return;
        if (tcb.SndUna == tcb.SndNxt)
        {
            if (tcb.SendTimer == SendTimer.Persist)
                return;
            tcb.SendTimer = SendTimer.None;
            tcb.SendTimerAt = 0;
            return;
        }
        RecoveryTimer timer = tcb.Recovery.Timer(out long at);
        tcb.SendTimer = timer switch
        {
            RecoveryTimer.Retransmit => SendTimer.Retransmit,
            RecoveryTimer.LossProbe => SendTimer.LossProbe,
            RecoveryTimer.Reorder => SendTimer.Reorder,
            _ => SendTimer.None,
        };
        if (timer == RecoveryTimer.Retransmit && tcb.Options.UserTimeoutMillis != 0 && tcb.TimeoutsSince != 0)
        {
            // RFC 5482: the connection fails when the user's time is over, not at the next retransmission after it.
            long end = tcb.TimeoutsSince + tcb.Options.UserTimeoutMillis * TcpContext.NsPerMs;
            at = Math.Min(at, Math.Max(end, ctx.NowNs + TcpContext.NsPerMs));
        }
        tcb.SendTimerAt = timer == RecoveryTimer.None ? 0 : Math.Max(at, 1);
    }

    private static void OnSendTimer(ref Tcb tcb, in TcpContext ctx, in TcpStreams streams, ref TcpEffects fx)
    {
        if (tcb.State is TcpState.SynSent or TcpState.SynReceived)
        {
            SynTimer.OnTimer(ref tcb, in ctx, ref fx);
            return;
        }
        if (!tcb.State.IsSynchronized())
        {
            tcb.SendTimerAt = 0;
            return;
        }
        switch (tcb.SendTimer)
        {
            case SendTimer.Retransmit:
                OnRetransmit(ref tcb, in ctx, ref fx);
                break;
            case SendTimer.Persist:
                PersistTimer.OnTimer(ref tcb, in ctx, in streams, ref fx);
                break;
            case SendTimer.LossProbe:
                uint flight = (uint)(tcb.SndNxt - tcb.SndUna);
                uint unsent = streams.Queued > flight ? streams.Queued - flight : 0, mss = TcpOutput.Mss(in tcb);
                bool hasNew = unsent != 0 && Math.Min(unsent, mss) <= Window.Sendable(in tcb);
                tcb.Recovery.OnProbeTimer(ctx.Pool, hasNew, mss, ctx.NowNs);
                tcb.Tally.LossProbes++;
                ctx.Count(TcpCounter.LossProbes);
                fx.Events |= TcpEvents.Send;
                break;
            case SendTimer.Reorder:
                tcb.Recovery.OnReorderTimer(ctx.Pool, tcb.SndMss, ctx.NowNs);
                fx.Events |= TcpEvents.Send;
                break;
        }
    }

    /// <summary>RFC 6298 5.4 to 5.7.</summary>
    private static void OnRetransmit(ref Tcb tcb, in TcpContext ctx, ref TcpEffects fx)
    {
        bool shrunk = tcb.SndWnd == 0 && (tcb.Flags & TcbFlags.Detached) == 0;
        // A peer that took its window back but answers is alive: it may take its time.
        if (shrunk ? ctx.NowNs - tcb.HeardAt > MostSilenceNs : GiveUp.IsTime(in tcb, in ctx))
        {
            GiveUp.Now(ref tcb, in ctx, ref fx);
            return;
        }
        if (GiveUp.HasLasted(in tcb, in ctx, ctx.Settings.Retries1))
        {
            fx.Events |= TcpEvents.PathSuspect;
            uint before = tcb.SndMss;
            Pmtu.OnSilence(ref tcb, in ctx);
            if (tcb.SndMss < before)
                tcb.Recovery.OnSmallerSegments(ctx.Pool, tcb.SndMss, ctx.NowNs);
        }
        if (tcb.TimeoutsSince == 0)
            tcb.TimeoutsSince = ctx.NowNs;
        if (tcb.Retransmits < byte.MaxValue)
            tcb.Retransmits++;
        if (tcb.Backoff < byte.MaxValue)
            tcb.Backoff++;
        tcb.Recovery.OnTimeout(ctx.Pool, tcb.SndMss, ctx.NowNs);
        tcb.Tally.Timeouts++;
        ctx.Count(TcpCounter.Timeouts);
        fx.Events |= TcpEvents.Send;
    }

    private static void OnSlowTimer(ref Tcb tcb, in TcpContext ctx, in TcpStreams streams, ref TcpEffects fx)
    {
        tcb.SlowTimerAt = 0;
        switch (tcb.State)
        {
            case TcpState.TimeWait:
                TcpClose.Done(ref tcb, in ctx, ref fx);
                break;
            case TcpState.FinWait2 when (tcb.Flags & TcbFlags.Detached) != 0:
                ctx.Count(TcpCounter.AbortOnLinger);
                TcpClose.Done(ref tcb, in ctx, ref fx);
                break;
            default:
                TcpKeepalive.OnTimer(ref tcb, in ctx, in streams, ref fx);
                break;
        }
    }
}
