using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>Segments of the handshake: SYN, SYN-ACK, and an ACK for what does not belong to it.</summary>
public static class SynOutput
{
    public static bool Next(ref Tcb tcb, in TcpContext ctx, in TcpStreams streams, ref TcpEmit emit)
    {
        bool answer = tcb.State == TcpState.SynReceived;
        if ((tcb.Flags & TcbFlags.SynDue) == 0)
        {
            if (!answer || (tcb.Acks & AckFlags.Now) == 0)
                return false;
            emit.Seq = tcb.SndNxt;
            emit.Flags = TcpFlags.Ack;
            emit.Ack = tcb.RcvNxt;
            emit.Window = (ushort)(tcb.RcvWnd >> tcb.RcvWscale);
            TcpOutput.WriteTimestamp(ref tcb, in ctx, ref emit);
            DelayedAck.OnAckSent(ref tcb, in ctx);
            ctx.Count(TcpCounter.SegmentsOut);
            return true;
        }
        tcb.Flags &= ~TcbFlags.SynDue;
        // What is measured and waited for begins when the first one leaves: its next hop may have had to be found.
        if (tcb.SndNxt == tcb.Iss)
            tcb.OpenedAt = ctx.NowNs;
        tcb.SndNxt = tcb.Iss + 1;
        emit.Seq = tcb.Iss;
        emit.Flags = TcpFlags.Syn;
        // RFC 7323 2.2: never scaled. RcvWnd is small enough before the connection is established.
        emit.Window = (ushort)Math.Min(tcb.RcvWnd, Window.MaxUnscaled);
        if (answer)
        {
            emit.Flags |= TcpFlags.Ack;
            emit.Ack = tcb.RcvNxt;
            tcb.RcvWup = tcb.RcvNxt;
            DelayedAck.OnAckSent(ref tcb, in ctx);
        }
        WriteOptions(ref tcb, in ctx, ref emit);
        WriteEcn(in tcb, answer, ref emit);
        if (tcb.SendTimer == SendTimer.None)
            SynTimer.Arm(ref tcb, in ctx);
        tcb.Tally.SegmentsOut++;
        ctx.Count(TcpCounter.SegmentsOut);
        return true;
    }

    private static void WriteOptions(ref Tcb tcb, in TcpContext ctx, ref TcpEmit emit)
    {
        emit.Options.Present = TcpOpen.Offered(in tcb);
        emit.Options.Mss = tcb.AdvertisedMss;
        emit.Options.WindowScale = Window.ScaleFor(ctx.Settings.ReceiveMax);
        TcpOutput.WriteTimestamp(ref tcb, in ctx, ref emit);
        if (tcb.State == TcpState.SynSent)
            emit.Options.TsEcr = 0;
    }

    /// <summary>RFC 3168 6.1.1. A SYN that was not answered is repeated without, as it may be ECN that drops it.
    /// </summary>
    private static void WriteEcn(in Tcb tcb, bool answer, ref TcpEmit emit)
    {
        if ((tcb.Flags & TcbFlags.Ecn) == 0)
            return;
        if (answer)
            emit.Flags |= TcpFlags.Ece;
        else if (tcb.Retransmits == 0)
            emit.Flags |= TcpFlags.Ece | TcpFlags.Cwr;
    }
}
