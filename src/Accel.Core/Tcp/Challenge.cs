namespace Accel.Core.Tcp;

/// <summary>RFC 5961 7: ACKs that answer invalid segments, at a limited rate so that they cannot be made a flood.
/// </summary>
public static class Challenge
{
    public static void Send(ref Tcb tcb, in TcpContext ctx, ref TcpEffects fx)
    {
        if (!IsAllowed(ref tcb, in ctx))
            return;
        ctx.Count(TcpCounter.ChallengeAcks);
        tcb.Acks |= AckFlags.Scheduled | AckFlags.Now;
        fx.Events |= TcpEvents.Send;
    }

    /// <summary>One in half a second for each connection (net.ipv4.tcp_invalid_ratelimit).</summary>
    public static bool IsAllowed(ref Tcb tcb, in TcpContext ctx)
    {
        long apart = ctx.Settings.InvalidRateMillis * TcpContext.NsPerMs;
        if (tcb.ChallengedAt != 0 && ctx.NowNs - tcb.ChallengedAt < apart)
        {
            ctx.Count(TcpCounter.ChallengeSkipped);
            return false;
        }
        tcb.ChallengedAt = ctx.NowNs;
        return true;
    }
}
