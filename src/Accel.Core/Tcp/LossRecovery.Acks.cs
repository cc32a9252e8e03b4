using Accel.Wire;

namespace Accel.Core.Tcp;

// What an ACK does to the state of recovery: the order of steps is that of Linux's tcp_ack and tcp_fastretrans_alert.
public partial struct LossRecovery
{
    /// <summary>An acceptable ACK: every one, not only those that advance SND.UNA.</summary>
    public AckOutcome OnAck(SegmentPool pool, in AckInput input, in TcpOptions options)
    {
        SegmentSize = Math.Max(1, input.SegmentSize);
        Hold = false;
        AckOutcome outcome = Scoreboard.OnAck(pool, ref Sent, ref Rack, Rtt.MinRtt, HasSack, HighSeq,
            UndoArmed ? UndoFrom : Sent.Una, in input, in options);
        if (outcome.Has(AckFindings.Advanced))
            OnAdvance(input.NowNs);
        else if (outcome.Has(AckFindings.Duplicate))
            DuplicateAcks++;
        if (outcome.RttNs >= 0)
            Rtt.Sample(outcome.RttNs, outcome.LastRttNs, Sent.Una, Sent.Nxt, input.NowNs);
        Rack.AdaptWindow(TakeDsack(input.NowNs, ref outcome), Sent.Delivered, outcome.PriorDelivered);
        if (Rack.ProbeOut)
            OnProbeAck(pool, in input, ref outcome);
        if (State != RecoveryState.Open || input.CongestionEcho
            || outcome.Has(AckFindings.Duplicate | AckFindings.NewlySacked | AckFindings.Dsack | AckFindings.Reneged))
            Alert(pool, in input, ref outcome);
        if (Congestion.Reducing)
        {
            bool lossFree = outcome.Has(AckFindings.Advanced) && outcome.LostBytes == 0;
            Congestion.OnAckInReduction(outcome.DeliveredBytes, lossFree, Sent.InFlight, SegmentSize);
        }
        else if (outcome.Has(AckFindings.Advanced))
            Congestion.Grow(
                outcome.DeliveredBytes, SegmentSize, in Sent, outcome.LastRttNs, in Rtt, input.NowNs);
        return outcome;
    }

    private void OnAdvance(long nowNs)
    {
        Timeouts = 0;
        DuplicateAcks = 0;
        Forced = false;
        // RFC 6298 5.3, RFC 8985 7.2.
        TimerNs = nowNs;
        ProbeNs = Sent.IsEmpty ? 0 : nowNs;
        ProbeDue = LossProbe.None;
        if (Sent.IsEmpty)
            Rack.DeadlineNs = 0;
    }

    /// <summary>
    /// RFC 2883: counts what arrived twice against what was sent twice. True if RACK's window may be too small.
    /// </summary>
    private bool TakeDsack(long nowNs, ref AckOutcome outcome)
    {
        // More than was ever sent again: the network has doubled it, which says nothing of us.
        if (outcome.DsackBytes == 0 || outcome.DsackBytes > DsackCredit)
            return false;
        DsackCredit -= outcome.DsackBytes;
        if (!outcome.DsackInRecovery)
            UndoPast(outcome.DsackLeft, outcome.DsackBytes, nowNs, ref outcome);
        else if (UndoArmed && UndoResent > 0)
            UndoResent = (int)Math.Max(0, UndoResent - (long)outcome.DsackBytes);
        return !outcome.Has(AckFindings.DsackOfProbe);
    }

    /// <summary>RFC 8985 7.4: what the answer to a tail loss probe says.</summary>
    private void OnProbeAck(SegmentPool pool, in AckInput input, ref AckOutcome outcome)
    {
        if (input.Ack < Rack.ProbeEnd)
            return;
        if (!Rack.ProbeIsResend || outcome.Has(AckFindings.DsackOfProbe))
            Rack.ProbeOut = false;
        else if (input.Ack > Rack.ProbeEnd)
        {
            // Nobody reported the probe as a duplicate: it has repaired a loss, which counts as one.
            Rack.ProbeOut = false;
            BeginReduction(RecoveryState.Reduced, mayUndo: false, ref outcome);
            Congestion.EndReduction(atSsthresh: true, input.NowNs);
            KeepOpen(pool);
        }
        else if (outcome.Has(AckFindings.Duplicate) && !outcome.Has(AckFindings.NewlySacked))
            Rack.ProbeOut = false;
    }

    private void Alert(SegmentPool pool, in AckInput input, ref AckOutcome outcome)
    {
        bool advanced = outcome.Has(AckFindings.Advanced);
        if (input.CongestionEcho)
            Congestion.PriorSsthresh = 0;
        if (outcome.Has(AckFindings.Reneged))
        {
            // RFC 2018 8: perhaps its ACKs were only late. A short timeout asks.
            TimerNs = input.NowNs + Math.Max(Rtt.Srtt / 16, MinRenegeNs) - Rtt.Rto;
            return;
        }
        if (State != RecoveryState.Open && Sent.Una >= HighSeq && LeaveState(pool, in input, ref outcome))
            return;
        switch (State)
        {
            case RecoveryState.Recovery:
                if (advanced && UndoPartial(pool, in input, ref outcome))
                    return;
                if (UndoByDsack(pool, input.NowNs, ref outcome))
                    TryOpen(pool, in input, ref outcome);
                IdentifyLosses(pool, advanced, input.NowNs, ref outcome);
                if (State == RecoveryState.Recovery || Sent.Lost == 0)
                    return;
                break;
            case RecoveryState.Loss:
                ProcessLoss(pool, in input, ref outcome);
                IdentifyLosses(pool, advanced, input.NowNs, ref outcome);
                if (State != RecoveryState.Open && !outcome.Has(AckFindings.RetransmissionLost))
                    return;
                break;
            default:
                if (State <= RecoveryState.Disorder)
                    UndoByDsack(pool, input.NowNs, ref outcome);
                IdentifyLosses(pool, advanced, input.NowNs, ref outcome);
                break;
        }
        if (Sent.Lost == 0)
            TryOpen(pool, in input, ref outcome);
        else
            EnterRecovery(input.CongestionEcho, ref outcome);
    }

    /// <summary>HighSeq is acknowledged. True if nothing more is to be done about this ACK.</summary>
    private bool LeaveState(SegmentPool pool, in AckInput input, ref AckOutcome outcome)
    {
        if (State == RecoveryState.Reduced)
        {
            // Something after it has to be acknowledged: the CWR bit has arrived then.
            if (Sent.Una != HighSeq)
            {
                Congestion.EndReduction(atSsthresh: true, input.NowNs);
                State = RecoveryState.Open;
            }
        }
        else if (State == RecoveryState.Recovery)
        {
            if (!HasSack)
                Sent.Sacked = 0;
            if (UndoRecovery(pool, in input, ref outcome))
                return true;
            Congestion.EndReduction(atSsthresh: UndoArmed, input.NowNs);
        }
        return false;
    }

    /// <summary>After a timeout: F-RTO (RFC 5682 3.1), undo, or going on.</summary>
    private void ProcessLoss(SegmentPool pool, in AckInput input, ref AckOutcome outcome)
    {
        bool advanced = outcome.Has(AckFindings.Advanced), recovered = Sent.Una >= HighSeq;
        if (advanced && MayUndo(in input))
        {
            UndoLoss(pool, frto: false, input.NowNs, ref outcome);
            return;
        }
        if (Frto)
        {
            // Step 3b: something arrived that was never sent again. Then the rest may have as well. Without SACK the
            // peer may have had it before the timeout: only what it acknowledges in answer to new data counts (2a).
            if (outcome.Has(AckFindings.OriginalDelivered) && (HasSack || Sent.Nxt > HighSeq))
            {
                UndoLoss(pool, frto: true, input.NowNs, ref outcome);
                return;
            }
            if (Sent.Nxt > HighSeq)
            {
                // Step 3a: new data was sent, and its ACK does not say that the old had arrived.
                if (outcome.Has(AckFindings.NewlySacked | AckFindings.Duplicate))
                    Frto = false;
            }
            else if (advanced && !recovered)
            {
                // Step 2b: new data instead of retransmissions, if there is any.
                HighSeq = Sent.Nxt;
                if (input.HasNew && CanSend(pool))
                {
                    Hold = true;
                    return;
                }
                Frto = false;
            }
        }
        if (recovered)
            UndoRecovery(pool, in input, ref outcome);
        else if (!HasSack && (advanced || Sent.Nxt <= HighSeq))
        {
            // Duplicates of what was sent again without need are not news of anything (RFC 6582 4).
            Sent.Sacked = 0;
            DuplicateAcks = 0;
        }
    }

    private void IdentifyLosses(SegmentPool pool, bool advanced, long nowNs, ref AckOutcome outcome)
    {
        if (Sent.IsEmpty)
            return;
        if (!HasSack)
            outcome.LostBytes += MarkFirst(pool, advanced);
        else if (Rack.Advanced)
        {
            long window = Rack.Window(in Sent, State, in Rtt, SegmentSize);
            outcome.LostBytes += Rack.DetectLosses(pool, ref Sent, window, nowNs, out bool lostAgain);
            if (lostAgain)
                outcome.Findings |= AckFindings.RetransmissionLost;
        }
    }

    /// <summary>RFC 6582 3.2 steps 2 and 5: the first segment, at the third duplicate and at each partial ACK.
    /// </summary>
    private uint MarkFirst(SegmentPool pool, bool advanced)
    {
        bool due = State < RecoveryState.Recovery ? DuplicateAcks >= Rack.Reordering
            : State == RecoveryState.Recovery && advanced;
        if (!due || pool[Sent.Head].Is(SegmentFlags.Lost))
            return 0;
        if (pool[Sent.Head].Length > SegmentSize)
            Sent.Split(pool, Sent.Head, Sent.Una + SegmentSize, urgent: true);
        return Sent.MarkLost(pool, Sent.Head);
    }

    private void EnterRecovery(bool congestionEcho, ref AckOutcome outcome)
    {
        KeepPast();
        ArmUndo();
        if (Congestion.Reducing)
            Congestion.PriorSsthresh = 0;
        else
            BeginReduction(RecoveryState.Recovery, !congestionEcho, ref outcome);
        HighSeq = Sent.Nxt;
        State = RecoveryState.Recovery;
        Rack.ProbeOut = false;
        ProbeDue = LossProbe.None;
        outcome.Findings |= AckFindings.RecoveryBegan;
    }

    private void BeginReduction(RecoveryState state, bool mayUndo, ref AckOutcome outcome)
    {
        Congestion.BeginReduction(SegmentSize, mayUndo);
        State = state;
        HighSeq = Sent.Nxt;
        Rack.ProbeOut = false;
        outcome.Findings |= AckFindings.Reduced;
    }

    private void TryOpen(SegmentPool pool, in AckInput input, ref AckOutcome outcome)
    {
        if (!AnyResent(pool))
            HasFirstResend = false;
        if (input.CongestionEcho && State < RecoveryState.Reduced)
        {
            // RFC 3168 6.1.2: as for a loss, once in a window.
            UndoArmed = false;
            BeginReduction(RecoveryState.Reduced, mayUndo: false, ref outcome);
        }
        if (State != RecoveryState.Reduced)
            KeepOpen(pool);
    }

    private void KeepOpen(SegmentPool pool)
    {
        RecoveryState state = Sent.Sacked != 0 || Sent.Lost != 0 || AnyResent(pool)
            ? RecoveryState.Disorder : RecoveryState.Open;
        if (State == state)
            return;
        State = state;
        HighSeq = Sent.Nxt;
    }

    private readonly bool AnyResent(SegmentPool pool) =>
        Sent.Resent != 0 || Sent.Head != 0 && pool[Sent.Head].Is(SegmentFlags.EverResent);
}
