using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>RFC 9293 3.10.7.4, fifth: the ACK field of a synchronized connection.</summary>
public static class TcpAck
{
    /// <summary>False: the segment is to be dropped.</summary>
    public static bool OnAck(
        ref Tcb tcb, in TcpSegment seg, in TcpContext ctx, in TcpStreams streams, ref TcpEffects fx)
    {
        if (seg.Ack < tcb.SndUna)
            return OnOldAck(ref tcb, in seg, in ctx, in streams, ref fx);
        if (seg.Ack > tcb.SndNxt)
        {
            // RFC 9293: "If the ACK acks something not yet sent, then send an ACK, drop the segment, and return."
            ctx.Count(TcpCounter.UnsentAcked);
            Challenge.Send(ref tcb, in ctx, ref fx);
            return false;
        }
        SegmentCheck.TakeTimestamp(ref tcb, in seg, in ctx);
        tcb.HeardAt = ctx.NowNs;
        bool moved = Window.Update(ref tcb, in seg);
        Take(ref tcb, in seg, in ctx, in streams, moved, ref fx);
        return true;
    }

    /// <summary>An ACK of [SND.UNA, SND.NXT]; the window has been taken already.</summary>
    public static void Take(
        ref Tcb tcb, in TcpSegment seg, in TcpContext ctx, in TcpStreams streams, bool windowMoved, ref TcpEffects fx)
    {
        tcb.ProbesOut = 0;
        tcb.SoftError = TcpError.None;
        uint flight = (uint)(tcb.SndNxt - tcb.SndUna);
        bool unsent = streams.Queued > flight || (streams.Finished && (tcb.Flags & TcbFlags.FinSent) == 0);
        // A DSACK may come when all is acknowledged (RFC 2883 4).
        if (flight != 0 || seg.Options.Has(TcpOptionKinds.Sack))
        {
            AckOutcome outcome = Tell(ref tcb, in seg, seg.Ack, in ctx, unsent, mayBeDuplicate: !windowMoved);
            bool advanced = seg.Ack != tcb.SndUna;
            if (advanced)
                Advance(ref tcb, seg.Ack, in ctx, ref fx);
            if ((advanced || outcome.Findings != AckFindings.None)
                && (unsent || tcb.Recovery.Sent.LostUnsent != 0 || tcb.Recovery.ProbeDue != 0))
                fx.Events |= TcpEvents.Send;
        }
        if (windowMoved && unsent)
            fx.Events |= TcpEvents.Send;
        if (tcb.SendTimer == SendTimer.Persist)
            OnProbeAnswered(ref tcb, in ctx, in streams);
    }

    /// <summary>Tells loss recovery, and does what follows for ECN and the counters.</summary>
    private static AckOutcome Tell(
        ref Tcb tcb, in TcpSegment seg, SeqNum ack, in TcpContext ctx, bool unsent, bool mayBeDuplicate)
    {
        bool ecn = (tcb.Flags & TcbFlags.Ecn) != 0;
        AckInput input = new()
        {
            Ack = ack,
            NowNs = ctx.NowNs,
            SegmentSize = tcb.SndMss,
            MayBeDuplicate = mayBeDuplicate && seg.SequenceLength == 0,
            CongestionEcho = ecn && seg.Has(TcpFlags.Ece),
            HasNew = unsent && tcb.SndUna + tcb.SndWnd > tcb.SndNxt,
            HasEcho = (tcb.Flags & TcbFlags.Timestamps) != 0 && seg.Options.Has(TcpOptionKinds.Timestamps)
                && seg.Options.TsEcr != 0,
            EchoMs = seg.Options.TsEcr - tcb.TsOffset,
        };
        AckOutcome outcome = tcb.Recovery.OnAck(ctx.Pool, in input, in seg.Options);
        if (ecn && outcome.Has(AckFindings.Reduced))
        {
            tcb.Flags |= TcbFlags.TellReduced;
            if (input.CongestionEcho)
                ctx.Count(TcpCounter.EcnReduced);
        }
        if (outcome.Has(AckFindings.Undone))
            ctx.Count(TcpCounter.SpuriousTimeouts);
        if (outcome.Has(AckFindings.Dsack))
            tcb.Tally.DuplicatesSeen++;
        return outcome;
    }

    private static void Advance(ref Tcb tcb, SeqNum ack, in TcpContext ctx, ref TcpEffects fx)
    {
        uint bytes = (uint)(ack - tcb.SndUna);
        if ((tcb.Flags & TcbFlags.FinSent) != 0 && ack > tcb.FinSeq && tcb.SndUna <= tcb.FinSeq)
        {
            bytes--;
            fx.Events |= TcpEvents.FinAcked;
        }
        // What the window still holds moves with SND.UNA: SND.WND counts from there (RFC 9293 3.3.1).
        tcb.SndUna = ack;
        tcb.Retransmits = 0;
        tcb.Backoff = 0;
        tcb.TimeoutsSince = 0;
        tcb.Tally.BytesAcked += bytes;
        fx.Acked += bytes;
        if (tcb.Path.ProbeMtu != 0)
            Pmtu.OnAcked(ref tcb, in ctx);
    }

    /// <summary>
    /// RFC 5961 5.2: an ACK of the past is of use for its SACK blocks at best; one that is too old is answered, since
    /// somebody may be guessing.
    /// </summary>
    private static bool OnOldAck(
        ref Tcb tcb, in TcpSegment seg, in TcpContext ctx, in TcpStreams streams, ref TcpEffects fx)
    {
        uint reach = (uint)Math.Min(tcb.MaxWindow, tcb.Tally.BytesAcked);
        if (seg.Ack < tcb.SndUna - reach)
        {
            ctx.Count(TcpCounter.OldAcks);
            Challenge.Send(ref tcb, in ctx, ref fx);
            return false;
        }
        if (!seg.Options.Has(TcpOptionKinds.Sack) || tcb.SndUna == tcb.SndNxt)
            return true;
        TcpSegment again = seg;
        again.Options.Present &= ~TcpOptionKinds.Timestamps;
        bool unsent = streams.Queued > (uint)(tcb.SndNxt - tcb.SndUna);
        AckOutcome outcome = Tell(ref tcb, in again, seg.Ack, in ctx, unsent, mayBeDuplicate: false);
        if (outcome.Findings != AckFindings.None)
            fx.Events |= TcpEvents.Send;
        return true;
    }

    /// <summary>RFC 9293 3.8.6.1: the peer answers our probes. The window is open again, or we go on asking.</summary>
    private static void OnProbeAnswered(ref Tcb tcb, in TcpContext ctx, in TcpStreams streams)
    {
        uint flight = (uint)(tcb.SndNxt - tcb.SndUna);
        uint unsent = streams.Queued > flight ? streams.Queued - flight : 0;
        uint first = Math.Min(unsent, TcpOutput.Mss(in tcb));
        if (flight == 0 && first > Window.Sendable(in tcb))
        {
            PersistTimer.Arm(ref tcb, in ctx);
            return;
        }
        tcb.Backoff = 0;
        tcb.ProbesSince = 0;
        tcb.SendTimer = SendTimer.None;
        tcb.SendTimerAt = 0;
    }
}
