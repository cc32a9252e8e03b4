using System.Numerics;
using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>
/// RFC 9293 3.8.6.1: nothing is in flight, and what there is to send may not go: the window is closed, too small, or
/// the program holds a short segment back. After a while a probe, or what fits, goes.
/// </summary>
public static class PersistTimer
{
    private const int MostBackoff = 10;

    /// <summary>As Linux's probe0: the RTO doubled for each probe, from 200 ms to 2 minutes.</summary>
    public static void Arm(ref Tcb tcb, in TcpContext ctx)
    {
        long first = Math.Max(tcb.Recovery.Rtt.BaseRto, RttEstimator.MinRtoNs);
        int backoff = Math.Min((int)tcb.Backoff, MostBackoff);
        long delay = Math.Min(first << backoff, RttEstimator.MaxRtoNs);
        if (tcb.Options.UserTimeoutMillis != 0 && tcb.ProbesSince != 0)
        {
            long left = tcb.ProbesSince + tcb.Options.UserTimeoutMillis * TcpContext.NsPerMs - ctx.NowNs;
            delay = Math.Min(delay, Math.Max(left, TcpContext.NsPerMs));
        }
        tcb.SendTimer = SendTimer.Persist;
        tcb.SendTimerAt = ctx.NowNs + delay;
    }

    /// <summary>Nothing more goes now: if nothing is in flight that would be answered, time must help.</summary>
    public static void ArmIfBlocked(ref Tcb tcb, in TcpContext ctx, in TcpStreams streams)
    {
        if (tcb.SendTimer != SendTimer.None || tcb.SndUna != tcb.SndNxt || (tcb.Flags & TcbFlags.FinSent) != 0)
            return;
        if (streams.Queued != 0 || streams.Finished)
            Arm(ref tcb, in ctx);
    }

    public static void OnTimer(ref Tcb tcb, in TcpContext ctx, in TcpStreams streams, ref TcpEffects fx)
    {
        tcb.SendTimer = SendTimer.None;
        tcb.SendTimerAt = 0;
        if (tcb.SndUna != tcb.SndNxt || (streams.Queued == 0 && !streams.Finished))
        {
            tcb.ProbesOut = 0;
            tcb.ProbesSince = 0;
            return;
        }
        uint user = tcb.Options.UserTimeoutMillis;
        if (tcb.ProbesSince == 0)
            tcb.ProbesSince = ctx.NowNs;
        else if (user != 0 && ctx.NowNs - tcb.ProbesSince >= user * TcpContext.NsPerMs)
        {
            GiveUp.Now(ref tcb, in ctx, ref fx);
            return;
        }
        uint most = ctx.Settings.Retries2;
        if ((tcb.Flags & TcbFlags.Detached) != 0)
        {
            bool alive = tcb.Recovery.Rtt.BaseRto << Math.Min((int)tcb.Backoff, MostBackoff) < RttEstimator.MaxRtoNs;
            most = GiveUp.OrphanRetries(in tcb, in ctx, alive);
            if (!alive && tcb.Backoff >= most)
            {
                GiveUp.Now(ref tcb, in ctx, ref fx);
                return;
            }
        }
        if (tcb.ProbesOut >= most)
        {
            GiveUp.Now(ref tcb, in ctx, ref fx);
            return;
        }
        tcb.Flags |= TcbFlags.ProbeDue;
        tcb.ProbesOut++;
        if (tcb.Backoff < ctx.Settings.Retries2)
            tcb.Backoff++;
        Arm(ref tcb, in ctx);
        fx.Events |= TcpEvents.Send;
    }

    /// <summary>
    /// The probe: what fits into the window, however little; or, as Linux does it, a segment without data just below
    /// the window, which has to be answered.
    /// </summary>
    public static bool NextProbe(ref Tcb tcb, in TcpContext ctx, in TcpStreams streams, ref TcpEmit emit)
    {
        tcb.Flags &= ~TcbFlags.ProbeDue;
        uint flight = (uint)(tcb.SndNxt - tcb.SndUna);
        uint unsent = streams.Queued > flight ? streams.Queued - flight : 0;
        uint room = Window.Sendable(in tcb), mss = TcpOutput.Mss(in tcb);
        uint length = Math.Min(Math.Min(unsent, room), mss);
        if (length != 0 && (tcb.Flags & TcbFlags.FinSent) == 0
            && NewData.Send(ref tcb, in ctx, in streams, length, mss, fin: false, ref emit))
        {
            emit.Flags |= TcpFlags.Psh;
            tcb.ProbesOut = 0;
            return true;
        }
        emit = default;
        emit.Seq = tcb.SndUna - 1;
        TcpOutput.Complete(ref tcb, in ctx, in streams, ref emit);
        ctx.Count(TcpCounter.ProbesSent);
        return true;
    }
}
