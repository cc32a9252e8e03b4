using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>RFC 3168 6.1: congestion that the network marks instead of dropping.</summary>
public static class Ecn
{
    /// <summary>ECT(0), in the IP header's ECN field.</summary>
    public const byte Ect0 = 2;
    private const uint QuickAcks = 2;

    /// <summary>The receiver's part (6.1.3): marks are echoed until the sender has reduced its window.</summary>
    public static void OnSegment(ref Tcb tcb, in TcpSegment seg, in TcpContext ctx)
    {
        if ((tcb.Flags & TcbFlags.Ecn) == 0)
            return;
        if (seg.Has(TcpFlags.Cwr))
        {
            tcb.Flags &= ~TcbFlags.EchoCongestion;
            // Its window may be very small now: it waits for this ACK.
            if (seg.Length != 0)
                tcb.Acks |= AckFlags.Now;
        }
        if (!seg.CongestionExperienced || seg.Length == 0)
            return;
        tcb.Tally.CongestionMarks++;
        if ((tcb.Flags & TcbFlags.EchoCongestion) != 0)
            return;
        tcb.Flags |= TcbFlags.EchoCongestion;
        DelayedAck.EnterQuick(ref tcb, in ctx);
        tcb.QuickAcks = (byte)Math.Max(tcb.QuickAcks, QuickAcks);
    }

    /// <summary>The sender's part: new data is marked as capable, retransmissions and bare ACKs are not (6.1.5, 6.1.4).
    /// </summary>
    public static void Write(ref Tcb tcb, ref TcpEmit emit)
    {
        if ((tcb.Flags & TcbFlags.Ecn) == 0)
            return;
        if ((tcb.Flags & TcbFlags.EchoCongestion) != 0)
            emit.Flags |= TcpFlags.Ece;
        if (emit.Length == 0 || emit.IsRetransmission)
            return;
        emit.Ecn = Ect0;
        if ((tcb.Flags & TcbFlags.TellReduced) == 0)
            return;
        emit.Flags |= TcpFlags.Cwr;
        tcb.Flags &= ~TcbFlags.TellReduced;
    }
}
