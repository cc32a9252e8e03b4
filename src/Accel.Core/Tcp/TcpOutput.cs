using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>What to send: the counterpart of RFC 9293 3.10.2 and of all that says "send".</summary>
public static class TcpOutput
{
    private const uint LeastWindow = 68 - 40;

    /// <summary>
    /// The next segment, or run of segments, that is due. To be called until it says no, after anything that may have
    /// made something due: an event with <see cref="TcpEvents.Send"/>, a write, a read that made room, a shutdown.
    /// </summary>
    public static bool Next(ref Tcb tcb, in TcpContext ctx, in TcpStreams streams, out TcpEmit emit)
    {
        emit = default;
        switch (tcb.State)
        {
            case TcpState.SynSent or TcpState.SynReceived:
                return SynOutput.Next(ref tcb, in ctx, in streams, ref emit);
            case TcpState.TimeWait:
                return (tcb.Acks & AckFlags.Now) != 0 && Acknowledge(ref tcb, in ctx, in streams, ref emit);
            case TcpState.None or TcpState.Closed or TcpState.Listen:
                return false;
        }
        if (streams.Finished)
            TcpClose.OnFinished(ref tcb);
        bool sent = NextAgain(ref tcb, in ctx, in streams, ref emit)
            || ((tcb.Flags & TcbFlags.ProbeDue) != 0 && PersistTimer.NextProbe(ref tcb, in ctx, in streams, ref emit))
            || NewData.Next(ref tcb, in ctx, in streams, ref emit)
            || (IsAckDue(ref tcb, in ctx, in streams) && Acknowledge(ref tcb, in ctx, in streams, ref emit));
        if (!sent)
            PersistTimer.ArmIfBlocked(ref tcb, in ctx, in streams);
        TcpTimers.Sync(ref tcb, in ctx);
        return sent;
    }

    /// <summary>
    /// True if <see cref="Next"/> would say no and change nothing that counts, as after nearly every segment: all that
    /// there is was sent, no ACK is due, and the window that the peer has is not worth another. False says nothing.
    /// </summary>
    /// <param name="tcb">After a step, which has looked at the timers.</param>
    /// <param name="streams">As the step has left them.</param>
    public static bool IsIdle(in Tcb tcb, in TcpStreams streams)
    {
        const TcbFlags Unusual = TcbFlags.ProbeDue | TcbFlags.FinStored | TcbFlags.DsackDue | TcbFlags.Detached;
        return tcb.State == TcpState.Established
            && (tcb.Acks & AckFlags.Now) == 0 && (tcb.Flags & Unusual) == 0
            && tcb.Recovery.Sent.LostUnsent == 0 && tcb.Recovery.ProbeDue == LossProbe.None
            && streams.Queued == (uint)(tcb.SndNxt - tcb.SndUna)
            && !streams.Finished && !streams.ReadShut
            && 2ul * Window.Remaining(in tcb) > (ulong)streams.ReceiveSpace + streams.Unread
            && !DelayedAck.IsDueAfterRead(in tcb, in streams);
    }

    /// <summary>
    /// Payload of a full segment now. RFC 9293 3.8.6.2.1: not more than half of the largest window that the peer ever
    /// offered; the options that go along are taken off.
    /// </summary>
    public static uint Mss(in Tcb tcb)
    {
        uint half = tcb.MaxWindow > TcpOpen.DefaultMss ? tcb.MaxWindow >> 1 : tcb.MaxWindow;
        uint mss = Math.Min(tcb.SndMss, Math.Max(half, LeastWindow));
        if (!tcb.Reassembly.IsEmpty || (tcb.Flags & TcbFlags.DsackDue) != 0)
            mss -= Math.Min(SackBytes(in tcb), mss - 1);
        return mss;
    }

    private static uint SackBytes(in Tcb tcb) => SackWriter.OptionBytes(in tcb);

    /// <summary>What is lost, or a loss probe, as loss recovery says.</summary>
    private static bool NextAgain(ref Tcb tcb, in TcpContext ctx, in TcpStreams streams, ref TcpEmit emit)
    {
        if (tcb.Recovery.Sent.LostUnsent == 0 && tcb.Recovery.ProbeDue == 0)
            return false;
        uint mss = Mss(in tcb);
        uint max = Math.Max(streams.MaxEmission / mss * mss, mss);
        if (!tcb.Recovery.NextRetransmission(ctx.Pool, max, mss, out SeqNum seq, out uint length) || length == 0)
            return false;
        // The peer may have taken its window back: only the first segment is tried then.
        SeqNum edge = tcb.SndUna + tcb.SndWnd;
        if (seq != tcb.SndUna && seq + length > edge)
        {
            if (seq >= edge)
                return false;
            length = (uint)(edge - seq);
        }
        emit.Seq = seq;
        emit.IsRetransmission = true;
        emit.SegmentSize = (ushort)mss;
        emit.Length = length;
        SeqNum end = seq + length;
        if ((tcb.Flags & TcbFlags.FinSent) != 0 && end > tcb.FinSeq)
        {
            emit.Length--;
            emit.Flags |= TcpFlags.Fin;
            end -= 1;
        }
        emit.Offset = (uint)(seq - tcb.SndUna);
        if (emit.Length != 0 && emit.Offset + emit.Length == streams.Queued)
            emit.Flags |= TcpFlags.Psh;
        tcb.Recovery.OnRetransmitted(ctx.Pool, seq, length, mss, ctx.NowNs);
        if (tcb.Path.ProbeMtu != 0)
            Pmtu.OnRetransmit(ref tcb, seq);
        uint segments = Complete(ref tcb, in ctx, in streams, ref emit);
        tcb.Tally.Retransmitted += segments;
        tcb.Tally.BytesRetransmitted += emit.Length;
        ctx.Counters[(int)TcpCounter.Retransmitted] += segments;
        return true;
    }

    /// <summary>An ACK by itself: asked for, or due since the reader took data.</summary>
    private static bool IsAckDue(ref Tcb tcb, in TcpContext ctx, in TcpStreams streams)
    {
        if ((tcb.Acks & AckFlags.Now) != 0)
            return true;
        SeqNum read = tcb.RcvNxt - streams.Unread;
        if (read <= tcb.ReadSeq)
            return false;
        tcb.ReadSeq = read;
        if (DelayedAck.IsDueAfterRead(in tcb, in streams))
            return true;
        if (!tcb.State.IsReceiving() || streams.ReadShut || !Window.IsUpdateDue(in tcb, in streams))
            return false;
        ctx.Count(TcpCounter.WindowUpdates);
        return true;
    }

    private static bool Acknowledge(ref Tcb tcb, in TcpContext ctx, in TcpStreams streams, ref TcpEmit emit)
    {
        // As Linux: at the window's edge if the peer has taken its window back, else it would not be acceptable.
        SeqNum edge = tcb.SndUna + tcb.SndWnd;
        emit.Seq = tcb.SndNxt > edge && tcb.State != TcpState.TimeWait ? edge : tcb.SndNxt;
        Complete(ref tcb, in ctx, in streams, ref emit);
        return true;
    }

    /// <summary>
    /// Fills in what every segment of a synchronized connection has. Returns how many segments it is.
    /// </summary>
    internal static uint Complete(ref Tcb tcb, in TcpContext ctx, in TcpStreams streams, ref TcpEmit emit)
    {
        emit.Flags |= TcpFlags.Ack;
        emit.Ack = tcb.RcvNxt;
        emit.Window = Window.Offer(ref tcb, in streams);
        if (emit.SegmentSize == 0)
            emit.SegmentSize = (ushort)Mss(in tcb);
        WriteTimestamp(ref tcb, in ctx, ref emit);
        if (!tcb.Reassembly.IsEmpty || (tcb.Flags & TcbFlags.DsackDue) != 0)
            SackWriter.Write(ref tcb, ref emit);
        Ecn.Write(ref tcb, ref emit);
        UrgentMark.Write(in tcb, in streams, ref emit);
        DelayedAck.OnAckSent(ref tcb, in ctx);
        uint segments = emit.Length <= emit.SegmentSize ? 1 : (emit.Length + emit.SegmentSize - 1) / emit.SegmentSize;
        tcb.Tally.SegmentsOut += segments;
        ctx.Counters[(int)TcpCounter.SegmentsOut] += segments;
        if (emit.Length == 0)
            return segments;
        tcb.Tally.DataSegmentsOut += segments;
        tcb.Tally.BytesSent += emit.Length;
        return segments;
    }

    internal static void WriteTimestamp(ref Tcb tcb, in TcpContext ctx, ref TcpEmit emit)
    {
        if ((tcb.Flags & TcbFlags.Timestamps) == 0)
            return;
        emit.Options.Present |= TcpOptionKinds.Timestamps;
        emit.Options.TsVal = ctx.NowMs + tcb.TsOffset;
        emit.Options.TsEcr = tcb.TsRecent;
    }
}
