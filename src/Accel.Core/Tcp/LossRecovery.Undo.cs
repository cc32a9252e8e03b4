using Accel.Wire;

namespace Accel.Core.Tcp;

// What is done when a retransmission turns out to have been unnecessary: by timestamps (Eifel, RFC 3522), by DSACK
// (RFC 2883, 3708) or by F-RTO (RFC 5682).
public partial struct LossRecovery
{
    /// <summary>Remembers what to go back to.</summary>
    private void ArmUndo()
    {
        UndoArmed = true;
        UndoFrom = Sent.Una;
        // Retransmissions of before may still cause DSACKs.
        UndoResent = Sent.Resent != 0 ? (int)Math.Min(Sent.Resent, int.MaxValue) : -1;
    }

    /// <summary>Another reduction begins: what is known of the last one is kept, if it can still be taken back.
    /// </summary>
    private void KeepPast()
    {
        // What is still on its way is reported to the next.
        long resent = UndoResent - (long)Sent.Resent;
        if (!UndoArmed || resent <= 0 || Congestion.PriorSsthresh == 0)
            return;
        Past.Add(new PastReduction
        {
            From = UndoFrom,
            To = Sent.Una,
            Resent = (uint)resent,
            Cwnd = Congestion.PriorCwnd,
            Reduced = Congestion.Ssthresh,
            Ssthresh = Congestion.PriorSsthresh,
        });
    }

    /// <summary>RFC 3708 3, for a reduction before the last.</summary>
    private void UndoPast(SeqNum left, uint bytes, long nowNs, ref AckOutcome outcome)
    {
        if (!Past.TryTakeBack(left, bytes, out PastReduction wrong))
            return;
        Congestion.TakeBack(in wrong, UndoFrom, nowNs);
        Rack.ReorderSeen++;
        Rack.OnRecoveryEnds(undone: true);
        outcome.Findings |= AckFindings.Undone;
    }

    private readonly bool MayUndo(in AckInput input) => UndoArmed && (UndoResent == 0 || IsDelayed(in input));

    /// <summary>RFC 3522 3.2: the echo is of a segment that was sent before the first retransmission.</summary>
    private readonly bool IsDelayed(in AckInput input) =>
        HasFirstResend && input.HasEcho && (int)(input.EchoMs - FirstResendMs) < 0;

    private void UndoReduction(SegmentPool pool, bool forgetLosses, long nowNs, ref AckOutcome outcome)
    {
        if (forgetLosses)
            Sent.ForgetLosses(pool);
        Congestion.Undo(nowNs);
        UndoArmed = false;
        Forced = false;
        // What is really lost is looked for anew.
        Rack.Advanced = true;
        outcome.Findings |= AckFindings.Undone;
    }

    /// <summary>HighSeq is acknowledged. True if the state has to be kept (RFC 6582 3.2, 4).</summary>
    private bool UndoRecovery(SegmentPool pool, in AckInput input, ref AckOutcome outcome)
    {
        if (MayUndo(in input))
            UndoReduction(pool, forgetLosses: false, input.NowNs, ref outcome);
        else
            Rack.OnRecoveryEnds(undone: false);
        if (PreventsReopening)
        {
            if (!AnyResent(pool))
                HasFirstResend = false;
            return true;
        }
        State = RecoveryState.Open;
        Frto = false;
        return false;
    }

    /// <summary>
    /// Without SACK, duplicates of old retransmissions look like those of a loss, until something after HighSeq is
    /// acknowledged.
    /// </summary>
    private readonly bool PreventsReopening => !HasSack && Sent.Una == HighSeq;

    /// <summary>A partial ACK in recovery. True if it says that nothing more is to be sent again now.</summary>
    private bool UndoPartial(SegmentPool pool, in AckInput input, ref AckOutcome outcome)
    {
        if (!UndoArmed || !IsDelayed(in input))
            return false;
        // The hole was filled by a segment that was late. While retransmissions are on their way new segments go out,
        // but nothing is sent again.
        Rack.NoteReordering(outcome.AckedBytes, SegmentSize);
        if (Sent.Resent != 0)
        {
            Hold = true;
            return true;
        }
        if (!AnyResent(pool))
            HasFirstResend = false;
        UndoReduction(pool, forgetLosses: true, input.NowNs, ref outcome);
        KeepOpen(pool);
        return false;
    }

    /// <summary>All that was sent again had arrived before.</summary>
    private bool UndoByDsack(SegmentPool pool, long nowNs, ref AckOutcome outcome)
    {
        if (!UndoArmed || UndoResent != 0)
            return false;
        if (State == RecoveryState.Recovery)
            Rack.ReorderSeen++;
        Rack.OnRecoveryEnds(undone: true);
        UndoReduction(pool, forgetLosses: false, nowNs, ref outcome);
        return true;
    }

    /// <summary>The timeout was spurious.</summary>
    private void UndoLoss(SegmentPool pool, bool frto, long nowNs, ref AckOutcome outcome)
    {
        UndoReduction(pool, forgetLosses: true, nowNs, ref outcome);
        Frto = false;
        if (PreventsReopening)
            return;
        if (frto || HasSack)
            State = RecoveryState.Open;
    }
}
