using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>RFC 9293 3.10.7.4, seventh and eighth: the text of a segment, and its FIN.</summary>
public static class TcpReceive
{
    public static void OnText(
        ref Tcb tcb, in TcpSegment seg, in TcpContext ctx, in TcpStreams streams, ref TcpEffects fx)
    {
        SeqNum end = seg.Seq + seg.SequenceLength;
        UrgentMark.ForgetPassed(ref tcb, in streams);
        if (end <= tcb.RcvNxt)
            OnDuplicate(ref tcb, seg.Seq, end, in ctx);
        else if (!tcb.State.IsReceiving())
            // "This should not occur, since a FIN has been received from the remote side. Ignore the segment text."
            return;
        else if (IsForNobody(in tcb, in streams) && seg.Seq + seg.Length > tcb.RcvNxt)
        {
            // RFC 9293 3.6.1, RFC 2525 2.17: data for a connection that was closed is answered by a RST.
            ctx.Count(TcpCounter.AbortOnData);
            if ((tcb.Flags & TcbFlags.Detached) != 0)
                TcpClose.Abort(ref tcb, in ctx, ref fx);
            else
                TcpClose.AbortAndTell(ref tcb, in ctx, ref fx);
            return;
        }
        else if (seg.Seq <= tcb.RcvNxt)
            OnNext(ref tcb, in seg, in ctx, in streams, ref fx);
        else
            OnAhead(ref tcb, in seg, in ctx, in streams, ref fx);
        DelayedAck.Decide(ref tcb, in ctx, tcb.Reassembly.IsEmpty);
    }

    /// <summary>Payload [skip, skip + keep) begins at RCV.NXT and fits.</summary>
    public static void TakeInOrder(
        ref Tcb tcb, in TcpSegment seg, uint skip, uint keep, in TcpContext ctx, in TcpStreams streams,
        ref TcpEffects fx)
    {
        fx.StoreFrom = skip;
        fx.StoreLength = keep;
        fx.StoreAt = 0;
        SeqNum next = tcb.RcvNxt + keep;
        if (!tcb.Reassembly.IsEmpty)
        {
            next = tcb.Reassembly.Advance(ctx.Pool, next);
            // RFC 5681 4.2: an ACK at once when a gap is filled.
            if (tcb.Reassembly.IsEmpty)
                tcb.Acks |= AckFlags.Now;
        }
        uint advance = (uint)(next - tcb.RcvNxt);
        fx.Advance = advance;
        tcb.RcvNxt = next;
        tcb.Tally.BytesReceived += advance;
        tcb.Tally.DataSegmentsIn += Math.Max(seg.Merged, 1);
        DelayedAck.OnData(ref tcb, in seg, in ctx);
        uint wanted = tcb.Tuning.OnData(ref tcb, in seg, in ctx, in streams);
        if (wanted == 0)
            return;
        fx.ReceiveWanted = wanted;
        fx.Events |= TcpEvents.GrowReceive;
    }

    /// <summary>RFC 2883: what came twice is told to the peer once.</summary>
    public static void NoteDuplicate(ref Tcb tcb, SeqNum left, SeqNum right)
    {
        if ((tcb.Flags & TcbFlags.Sack) == 0 || left >= right)
            return;
        tcb.Reassembly.Duplicate = new SackBlock { Left = left, Right = right };
        tcb.Flags |= TcbFlags.DsackDue;
    }

    /// <summary>Both directions are shut for the program: nobody will take what comes now.</summary>
    private static bool IsForNobody(in Tcb tcb, in TcpStreams streams) =>
        tcb.State is TcpState.FinWait1 or TcpState.FinWait2
        && ((tcb.Flags & TcbFlags.Detached) != 0 || streams.ReadShut);

    /// <summary>An ACK of ours was lost, or a retransmission was needless.</summary>
    private static void OnDuplicate(ref Tcb tcb, SeqNum left, SeqNum right, in TcpContext ctx)
    {
        ctx.Count(TcpCounter.DuplicateData);
        NoteDuplicate(ref tcb, left, right);
        DelayedAck.EnterQuick(ref tcb, in ctx);
        tcb.Acks |= AckFlags.Scheduled;
    }

    /// <summary>The end of what can be taken: the window, the buffer, and the peer's own FIN.</summary>
    private static SeqNum Limit(in Tcb tcb, in TcpStreams streams)
    {
        SeqNum limit = tcb.RcvNxt + Math.Min(Window.Remaining(in tcb), streams.ReceiveSpace);
        return (tcb.Flags & TcbFlags.FinStored) != 0 ? SeqNum.Earlier(limit, tcb.FinAt) : limit;
    }

    private static void OnNext(
        ref Tcb tcb, in TcpSegment seg, in TcpContext ctx, in TcpStreams streams, ref TcpEffects fx)
    {
        SeqNum end = seg.Seq + seg.Length;
        SeqNum taken = SeqNum.Earlier(end, Limit(in tcb, in streams));
        if (taken <= tcb.RcvNxt && end > tcb.RcvNxt)
        {
            ctx.Count(TcpCounter.ZeroWindowDrops);
            OnNoRoom(ref tcb, in ctx);
            return;
        }
        NoteDuplicate(ref tcb, seg.Seq, tcb.RcvNxt);
        if (end > tcb.RcvNxt)
            TakeInOrder(
                ref tcb, in seg, (uint)(tcb.RcvNxt - seg.Seq), (uint)(taken - tcb.RcvNxt), in ctx, in streams, ref fx);
        if (seg.Has(TcpFlags.Fin) && taken == end)
            StoreFin(ref tcb, end, in ctx);
        if ((tcb.Flags & TcbFlags.FinStored) != 0 && tcb.RcvNxt == tcb.FinAt)
            OnFin(ref tcb, in ctx, ref fx);
    }

    private static void OnAhead(
        ref Tcb tcb, in TcpSegment seg, in TcpContext ctx, in TcpStreams streams, ref TcpEffects fx)
    {
        tcb.Acks |= AckFlags.Scheduled;
        SeqNum end = seg.Seq + seg.Length;
        SeqNum taken = SeqNum.Earlier(end, Limit(in tcb, in streams));
        if (seg.Length != 0)
        {
            if (taken <= seg.Seq)
            {
                ctx.Count(TcpCounter.OutOfWindow);
                OnNoRoom(ref tcb, in ctx);
                return;
            }
            int islands = tcb.Reassembly.Count;
            if (!tcb.Reassembly.TryAdd(ctx.Pool, seg.Seq, taken, out SackBlock known))
            {
                ctx.Count(TcpCounter.NoReassembly);
                return;
            }
            // RFC 5681 4.2: a gap is reported at once; what only adds to an island may share an ACK.
            if (tcb.Reassembly.Count > islands)
                tcb.GapAcks = 0;
            NoteDuplicate(ref tcb, known.Left, known.Right);
            fx.StoreLength = (uint)(taken - seg.Seq);
            fx.StoreAt = (uint)(seg.Seq - tcb.RcvNxt);
            tcb.Tally.OutOfOrder++;
            tcb.Tally.DataSegmentsIn += Math.Max(seg.Merged, 1);
            ctx.Count(TcpCounter.OutOfOrder);
        }
        if (seg.Has(TcpFlags.Fin) && taken == end)
            StoreFin(ref tcb, end, in ctx);
    }

    private static void OnNoRoom(ref Tcb tcb, in TcpContext ctx)
    {
        DelayedAck.EnterQuick(ref tcb, in ctx);
        tcb.Acks |= AckFlags.Scheduled | AckFlags.Now;
    }

    /// <summary>The first FIN holds: a peer that names another place lies.</summary>
    private static void StoreFin(ref Tcb tcb, SeqNum at, in TcpContext ctx)
    {
        if ((tcb.Flags & TcbFlags.FinStored) != 0
            || (!tcb.Reassembly.IsEmpty && tcb.Reassembly.HighEnd(ctx.Pool) > at))
            return;
        tcb.Flags |= TcbFlags.FinStored;
        tcb.FinAt = at;
    }

    /// <summary>RFC 9293 3.10.7.4, eighth: the FIN and all before it have come.</summary>
    private static void OnFin(ref Tcb tcb, in TcpContext ctx, ref TcpEffects fx)
    {
        tcb.RcvNxt += 1;
        tcb.Flags |= TcbFlags.FinReceived;
        tcb.Acks |= AckFlags.Scheduled;
        tcb.Reassembly.Clear(ctx.Pool);
        fx.Events |= TcpEvents.EndOfStream;
        switch (tcb.State)
        {
            case TcpState.Established:
                tcb.State = TcpState.CloseWait;
                // As Linux: the program probably answers with a FIN of its own, which takes this ACK along.
                DelayedAck.EnterPingPong(ref tcb);
                break;
            case TcpState.FinWait1:
                tcb.State = TcpState.Closing;
                tcb.Acks |= AckFlags.Now;
                break;
            case TcpState.FinWait2:
                tcb.Acks |= AckFlags.Now;
                TcpTimeWait.Enter(ref tcb, in ctx, ref fx);
                break;
        }
    }
}
