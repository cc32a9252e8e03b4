using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>
/// RFC 9293 3.8.5 as Linux treats it: one byte at a time is urgent, the one before the pointer, and a newer mark
/// replaces an older one.
/// </summary>
public static class UrgentMark
{
    /// <summary>RFC 9293 3.10.7.4, sixth: RCV.UP = max(RCV.UP, SEG.SEQ + SEG.UP).</summary>
    public static void OnSegment(
        ref Tcb tcb, in TcpSegment seg, in TcpContext ctx, in TcpStreams streams, ref TcpEffects fx)
    {
        if (!tcb.State.IsReceiving())
            return;
        // DEVIATION: the urgent byte is the one before the pointer, as in BSD and Linux (RFC 6093 3.1 tells why).
        SeqNum end = seg.Seq + Math.Max((uint)seg.Urgent, 1);
        SeqNum read = tcb.RcvNxt - streams.Unread;
        bool old = end <= read || end <= tcb.RcvNxt || ((tcb.Flags & TcbFlags.UrgentSeen) != 0 && end <= tcb.RcvUp);
        if (old)
            return;
        tcb.RcvUp = end;
        tcb.Flags |= TcbFlags.UrgentSeen;
        fx.Events |= TcpEvents.Urgent;
        fx.UrgentEnd = (uint)(end - tcb.RcvNxt);
        ctx.Count(TcpCounter.UrgentReceived);
    }

    /// <summary>The reader is past the mark: the short way is open again.</summary>
    public static void ForgetPassed(ref Tcb tcb, in TcpStreams streams)
    {
        if ((tcb.Flags & TcbFlags.UrgentSeen) != 0 && tcb.RcvNxt - streams.Unread >= tcb.RcvUp)
            tcb.Flags &= ~TcbFlags.UrgentSeen;
    }

    /// <summary>RFC 9293 3.8.5: marks an outgoing segment that lies before the end of urgent data.</summary>
    public static void Write(in Tcb tcb, in TcpStreams streams, ref TcpEmit emit)
    {
        if (streams.UrgentEnd == 0)
            return;
        SeqNum end = tcb.SndUna + streams.UrgentEnd;
        int distance = end - emit.Seq;
        if (distance <= 0)
            return;
        emit.Flags |= TcpFlags.Urg;
        emit.Urgent = (ushort)Math.Min(distance, ushort.MaxValue);
    }
}
