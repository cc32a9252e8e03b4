namespace Accel.Core.Tcp;

/// <summary>RFC 9293 3.8.4: probes for a peer that has been silent.</summary>
public static class TcpKeepalive
{
    /// <summary>The program has changed <see cref="Tcb.Options"/>, or the connection is established.</summary>
    public static void OnOptions(ref Tcb tcb, in TcpContext ctx)
    {
        if (!tcb.State.IsSynchronized() || IsAbandoned(in tcb))
            return;
        tcb.SlowTimerAt = 0;
        if (!tcb.Options.Keepalive)
            return;
        long silent = ctx.NowNs - LastHeard(in tcb);
        tcb.SlowTimerAt = ctx.NowNs + Math.Max(Idle(in tcb, in ctx) - silent, TcpContext.NsPerMs);
    }

    public static void OnTimer(ref Tcb tcb, in TcpContext ctx, in TcpStreams streams, ref TcpEffects fx)
    {
        if (!tcb.Options.Keepalive || !tcb.State.IsSynchronized())
            return;
        long idle = Idle(in tcb, in ctx);
        // Who has something to send will find out without.
        bool busy = tcb.SndUna != tcb.SndNxt || streams.Queued != 0;
        long silent = busy ? 0 : ctx.NowNs - LastHeard(in tcb);
        if (silent < idle)
        {
            tcb.SlowTimerAt = ctx.NowNs + idle - silent;
            return;
        }
        uint most = tcb.Options.KeepaliveProbes != 0 ? tcb.Options.KeepaliveProbes : ctx.Settings.KeepaliveProbes;
        uint user = tcb.Options.UserTimeoutMillis;
        bool dead = user != 0
            ? silent >= user * TcpContext.NsPerMs && tcb.ProbesOut > 0
            : tcb.ProbesOut >= most;
        if (dead)
        {
            ctx.Count(TcpCounter.KeepaliveFails);
            TcpError error = tcb.SoftError != TcpError.None ? tcb.SoftError : TcpError.TimedOut;
            TcpClose.Abort(ref tcb, in ctx, ref fx);
            fx.Error = error;
            fx.Events |= TcpEvents.Failed;
            return;
        }
        tcb.ProbesOut++;
        tcb.Flags |= TcbFlags.ProbeDue;
        ctx.Count(TcpCounter.KeepaliveProbes);
        uint interval = tcb.Options.KeepaliveIntervalSeconds;
        if (interval == 0)
            interval = ctx.Settings.KeepaliveIntervalSeconds;
        tcb.SlowTimerAt = ctx.NowNs + interval * TcpContext.NsPerSecond;
        fx.Events |= TcpEvents.Send;
    }

    /// <summary>In FIN-WAIT-2 without a program the slow timer ends the connection.</summary>
    private static bool IsAbandoned(in Tcb tcb) =>
        tcb.State == TcpState.FinWait2 && (tcb.Flags & TcbFlags.Detached) != 0;

    private static long LastHeard(in Tcb tcb) => Math.Max(tcb.HeardAt, tcb.ReceivedAt);

    private static long Idle(in Tcb tcb, in TcpContext ctx)
    {
        uint seconds = tcb.Options.KeepaliveTimeSeconds;
        return (seconds != 0 ? seconds : ctx.Settings.KeepaliveTimeSeconds) * TcpContext.NsPerSecond;
    }
}
