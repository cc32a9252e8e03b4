using System.Numerics;

namespace Accel.Core.Tcp;

/// <summary>
/// When a connection that is not answered has failed (RFC 9293 3.8.3, RFC 1122 4.2.3.5), counted in time as Linux does:
/// so many retransmissions of the least RTO would have taken that long. And TCP_USER_TIMEOUT (RFC 5482).
/// </summary>
public static class GiveUp
{
    /// <summary>Doublings from the least RTO to the greatest.</summary>
    private static readonly int Doublings = BitOperations.Log2((ulong)(RttEstimator.MaxRtoNs / RttEstimator.MinRtoNs));

    private const uint DefaultOrphanRetries = 8;

    /// <summary>The time that <paramref name="retries"/> retransmissions take.</summary>
    public static long TimeOf(uint retries)
    {
        if (retries <= (uint)Doublings)
            return ((2L << (int)retries) - 1) * RttEstimator.MinRtoNs;
        return ((2L << Doublings) - 1) * RttEstimator.MinRtoNs + (retries - (uint)Doublings) * RttEstimator.MaxRtoNs;
    }

    /// <summary>The row of timeouts has lasted for as long as so many retries take.</summary>
    public static bool HasLasted(in Tcb tcb, in TcpContext ctx, uint retries) =>
        tcb.TimeoutsSince != 0 && ctx.NowNs - tcb.TimeoutsSince >= TimeOf(retries);

    public static uint OrphanRetries(in Tcb tcb, in TcpContext ctx, bool alive)
    {
        uint retries = ctx.Settings.OrphanRetries;
        // A dead path was reported: why wait?
        if (tcb.SoftError != TcpError.None && !alive)
            return 0;
        return retries == 0 && alive ? DefaultOrphanRetries : retries;
    }

    /// <summary>Before a retransmission: true if there is to be none.</summary>
    public static bool IsTime(in Tcb tcb, in TcpContext ctx)
    {
        if (tcb.TimeoutsSince == 0)
            return false;
        uint retries = ctx.Settings.Retries2;
        if ((tcb.Flags & TcbFlags.Detached) != 0)
        {
            bool alive = tcb.Recovery.Rtt.Rto < RttEstimator.MaxRtoNs;
            retries = OrphanRetries(in tcb, in ctx, alive);
        }
        uint user = tcb.Options.UserTimeoutMillis;
        return user != 0
            ? ctx.NowNs - tcb.TimeoutsSince >= user * TcpContext.NsPerMs
            : HasLasted(in tcb, in ctx, retries);
    }

    public static void Now(ref Tcb tcb, in TcpContext ctx, ref TcpEffects fx)
    {
        ctx.Count(TcpCounter.AbortOnTimeout);
        TcpError error = tcb.SoftError != TcpError.None ? tcb.SoftError : TcpError.TimedOut;
        TcpClose.Fail(ref tcb, error, in ctx, ref fx);
    }
}
