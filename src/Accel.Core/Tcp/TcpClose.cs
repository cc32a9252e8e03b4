using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>The ends of a connection: close(), abort, reset (RFC 9293 3.10.4, 3.10.5).</summary>
public static class TcpClose
{
    /// <summary>
    /// RFC 9293 3.10.4: the program sends no more, so the state moves at once; FIN follows the data.
    /// </summary>
    public static void OnFinished(ref Tcb tcb)
    {
        if (tcb.State == TcpState.Established)
            tcb.State = TcpState.FinWait1;
        else if (tcb.State == TcpState.CloseWait)
            tcb.State = TcpState.LastAck;
    }

    /// <summary>
    /// The program has closed its last descriptor. With data unread, or to come, the connection is reset as Linux does
    /// it; else our FIN follows what is queued (the caller sets <see cref="TcpStreams.Finished"/>).
    /// </summary>
    /// <param name="abort">SO_LINGER with a time of 0.</param>
    public static void OnDetached(
        ref Tcb tcb, in TcpContext ctx, in TcpStreams streams, bool abort, ref TcpEffects fx)
    {
        tcb.Flags |= TcbFlags.Detached;
        if (tcb.State == TcpState.SynSent)
        {
            Done(ref tcb, in ctx, ref fx);
            return;
        }
        if (!tcb.State.IsSynchronized())
            return;
        // RFC 2525 2.17: the peer should know that its data was not read.
        if (streams.Unread != 0)
        {
            ctx.Count(TcpCounter.AbortOnClose);
            Abort(ref tcb, in ctx, ref fx);
            return;
        }
        if (abort)
        {
            Abort(ref tcb, in ctx, ref fx);
            return;
        }
        OnFinished(ref tcb);
        if (tcb.State == TcpState.FinWait2)
            AbandonFinWait2(ref tcb, in ctx, ref fx);
        fx.Events |= TcpEvents.Send;
    }

    /// <summary>RFC 9293 3.10.5: ends the connection with a RST if the peer knows of it.</summary>
    public static void Abort(ref Tcb tcb, in TcpContext ctx, ref TcpEffects fx)
    {
        if (tcb.State.IsSynchronized() || tcb.State == TcpState.SynReceived)
        {
            // Where the peer takes it: within the window, should that have shrunk.
            SeqNum edge = tcb.SndUna + tcb.SndWnd;
            bool beyond = tcb.State != TcpState.SynReceived && edge < tcb.SndNxt;
            fx.ResetSeq = beyond ? edge : tcb.SndNxt;
            fx.ResetAck = tcb.RcvNxt;
            fx.ResetFlags = TcpFlags.Rst | TcpFlags.Ack;
            fx.Events |= TcpEvents.SendReset;
        }
        Done(ref tcb, in ctx, ref fx);
    }

    /// <summary>RFC 9293 3.10.7.1: the RST that answers a segment for which there is no connection. Sets
    /// <see cref="TcpEvents.SendReset"/> unless the segment is a RST itself.</summary>
    public static void ResetFor(in TcpSegment seg, ref TcpEffects fx)
    {
        if (seg.Has(TcpFlags.Rst))
            return;
        fx.Events |= TcpEvents.SendReset;
        if (seg.Has(TcpFlags.Ack))
        {
            fx.ResetSeq = seg.Ack;
            fx.ResetAck = default;
            fx.ResetFlags = TcpFlags.Rst;
            return;
        }
        fx.ResetSeq = default;
        fx.ResetAck = seg.Seq + seg.SequenceLength;
        fx.ResetFlags = TcpFlags.Rst | TcpFlags.Ack;
    }

    /// <summary>RFC 9293 3.10.7.4, second: a RST that is believed.</summary>
    internal static void OnReset(ref Tcb tcb, in TcpContext ctx, ref TcpEffects fx)
    {
        switch (tcb.State)
        {
            case TcpState.SynReceived when (tcb.Flags & TcbFlags.Passive) != 0:
                // "Return this connection to the LISTEN state": nobody was told of it yet.
                ctx.Count(TcpCounter.AttemptFails);
                Done(ref tcb, in ctx, ref fx);
                return;
            case TcpState.SynSent or TcpState.SynReceived:
                ctx.Count(TcpCounter.AttemptFails);
                Fail(ref tcb, TcpError.Refused, in ctx, ref fx);
                return;
            case TcpState.CloseWait:
                ctx.Count(TcpCounter.EstablishedResets);
                Fail(ref tcb, TcpError.Broken, in ctx, ref fx);
                return;
            default:
                ctx.Count(TcpCounter.EstablishedResets);
                Fail(ref tcb, TcpError.Reset, in ctx, ref fx);
                return;
        }
    }

    /// <summary>The connection ends, and the program is told why.</summary>
    internal static void Fail(ref Tcb tcb, TcpError error, in TcpContext ctx, ref TcpEffects fx)
    {
        fx.Error = error;
        fx.Events |= TcpEvents.Failed;
        Done(ref tcb, in ctx, ref fx);
    }

    /// <summary>CLOSED.</summary>
    internal static void Done(ref Tcb tcb, in TcpContext ctx, ref TcpEffects fx)
    {
        tcb.State = TcpState.Closed;
        Free(ref tcb, in ctx);
        fx.Events = (fx.Events | TcpEvents.Closed) & ~TcpEvents.Send;
    }

    /// <summary>Gives the block's records back. To be called before the block is used again.</summary>
    public static void Free(ref Tcb tcb, in TcpContext ctx)
    {
        tcb.Recovery.Free(ctx.Pool);
        tcb.Reassembly.Clear(ctx.Pool);
        tcb.SendTimer = SendTimer.None;
        tcb.SendTimerAt = tcb.DelayedAckAt = tcb.SlowTimerAt = 0;
        tcb.Acks = AckFlags.None;
    }

    /// <summary>RFC 9293 3.10.7.4, fifth: what the ACK of our FIN leads to. True: the step ends here.</summary>
    internal static bool OnAcked(ref Tcb tcb, in TcpContext ctx, ref TcpEffects fx)
    {
        if ((tcb.Flags & TcbFlags.FinSent) == 0 || tcb.SndUna <= tcb.FinSeq)
            return false;
        switch (tcb.State)
        {
            case TcpState.FinWait1:
                tcb.State = TcpState.FinWait2;
                if ((tcb.Flags & TcbFlags.Detached) != 0)
                    AbandonFinWait2(ref tcb, in ctx, ref fx);
                return tcb.State == TcpState.Closed;
            case TcpState.Closing:
                TcpTimeWait.Enter(ref tcb, in ctx, ref fx);
                return true;
            case TcpState.LastAck:
                Done(ref tcb, in ctx, ref fx);
                return true;
            default:
                return false;
        }
    }

    /// <summary>Nobody waits for the peer's FIN any more: only for so long (tcp_fin_timeout, TCP_LINGER2).</summary>
    private static void AbandonFinWait2(ref Tcb tcb, in TcpContext ctx, ref TcpEffects fx)
    {
        int linger = tcb.Options.Linger2Seconds;
        if (linger < 0)
        {
            ctx.Count(TcpCounter.AbortOnLinger);
            Abort(ref tcb, in ctx, ref fx);
            return;
        }
        long seconds = linger != 0 ? linger : ctx.Settings.FinTimeoutSeconds;
        // As Linux: never for less than what acknowledges our FIN could still take.
        long least = (tcb.Recovery.Rtt.Rto << 2) - (tcb.Recovery.Rtt.Rto >> 1);
        tcb.SlowTimerAt = ctx.NowNs + Math.Max(seconds * TcpContext.NsPerSecond, least);
    }

    /// <summary>
    /// True if a connection in TIME-WAIT may give way to a new one of ours to the same peer (RFC 6191 as tcp_tw_reuse):
    /// its timestamps tell old segments apart. The new one starts with <paramref name="iss"/>.
    /// </summary>
    public static bool CanReuse(in Tcb tcb, in TcpContext ctx, out SeqNum iss)
    {
        iss = tcb.SndNxt + (ushort.MaxValue + 2u);
        return tcb.State == TcpState.TimeWait && (tcb.Flags & TcbFlags.Timestamps) != 0 && tcb.TsRecentAt != 0
            && ctx.NowNs - tcb.TsRecentAt > TcpContext.NsPerSecond;
    }
}
