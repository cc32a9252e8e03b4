using Accel.Wire;

namespace Accel.Core.Tcp;

// What loss recovery waits for, and what it does when the time has come.
public partial struct LossRecovery
{
    private const long NsPerMs = 1_000_000;

    /// <summary>RFC 8985 7.2: the peer may delay the ACK of a lone segment so long. Linux's TCP_TIMEOUT_MIN.</summary>
    private const long MaxAckDelayNs = 200 * NsPerMs, MinTimeoutNs = 2 * NsPerMs;

    /// <summary>How long a peer is given to explain what looks like reneging.</summary>
    private const long MinRenegeNs = 10 * NsPerMs;

    /// <summary>Which timer runs, and when it is due. After every call that changes something.</summary>
    public readonly RecoveryTimer Timer(out long atNs)
    {
        atNs = 0;
        if (Sent.IsEmpty)
            return RecoveryTimer.None;
        atNs = TimerNs + Rtt.Rto;
        if (Rack.DeadlineNs != 0 && Rack.DeadlineNs < atNs)
        {
            atNs = Rack.DeadlineNs;
            return RecoveryTimer.Reorder;
        }
        if (!MayProbe)
            return RecoveryTimer.Retransmit;
        long probeAt = ProbeNs + ProbeTimeout;
        // RFC 8985 7.2: in place of the timeout if that comes first.
        if (probeAt >= atNs)
            return HasTail ? RecoveryTimer.LossProbe : RecoveryTimer.Retransmit;
        atNs = probeAt;
        return RecoveryTimer.LossProbe;
    }

    /// <summary>RFC 8985 7.2: nothing reported missing, no recovery.</summary>
    private readonly bool HasTail => State is RecoveryState.Open or RecoveryState.Reduced && Sent.Sacked == 0;

    /// <summary>
    /// RFC 8985 7.2: SACK, no other probe. Not only where <see cref="HasTail"/>: a flight may have one ACK, and if that
    /// is lost in recovery only the timeout would be left. RFC 9002 6.2 probes there, too.
    /// </summary>
    private readonly bool MayProbe => HasSack && ProbeNs != 0 && !Rack.ProbeOut && ProbeDue == LossProbe.None
        && State < RecoveryState.Loss && Sent.LostUnsent == 0 && Timeouts == 0;

    private readonly long ProbeTimeout => Rtt.Srtt == 0 ? RttEstimator.InitialRtoNs
        : 2 * Rtt.Srtt + (Sent.Outstanding <= SegmentSize ? MaxAckDelayNs : MinTimeoutNs);

    /// <summary>
    /// The retransmission timer has run out (RFC 6298 5.4): backs it off and makes the first segment the next to send.
    /// </summary>
    public void OnTimeout(SegmentPool pool, uint segmentSize, long nowNs)
    {
        if (Sent.IsEmpty)
            return;
        SegmentSize = Math.Max(1, segmentSize);
        bool newRecovery = State < RecoveryState.Recovery;
        MarkForTimeout(pool, nowNs);
        // RFC 5681 3.1: ssthresh once per flight, not for each timeout of the same segment.
        if (State <= RecoveryState.Disorder || Sent.Una >= HighSeq || State == RecoveryState.Loss && Timeouts == 0)
        {
            Congestion.ReduceForTimeout(SegmentSize);
            ArmUndo();
            Past.Clear();
        }
        Congestion.Collapse(Sent.InFlight, SegmentSize, nowNs);
        // RFC 5682 2.1 step 1: not if the timeout came in the midst of a recovery.
        Frto = newRecovery || Timeouts > 0;
        State = RecoveryState.Loss;
        HighSeq = Sent.Nxt;
        DuplicateAcks = 0;
        Rack.ProbeOut = false;
        Rack.DeadlineNs = ProbeNs = 0;
        ProbeDue = LossProbe.None;
        Hold = false;
        Forced = true;
        if (Timeouts < byte.MaxValue)
            Timeouts++;
        Rtt.Backoff();
        TimerNs = nowNs;
    }

    /// <summary>
    /// The probe timer has run out. <paramref name="hasNew"/>: there is new data and the peer's window has room for
    /// it. After this, <see cref="Quota"/> or <see cref="NextRetransmission"/> gives the probe.
    /// </summary>
    public void OnProbeTimer(SegmentPool pool, bool hasNew, uint segmentSize, long nowNs)
    {
        if (Sent.IsEmpty)
            return;
        SegmentSize = Math.Max(1, segmentSize);
        ProbeDue = hasNew && CanSend(pool) ? LossProbe.New : LossProbe.Last;
        ProbeNs = 0;
        TimerNs = nowNs;
    }

    /// <summary>The reordering window of a segment has passed. Returns the bytes newly taken for lost.</summary>
    public uint OnReorderTimer(SegmentPool pool, uint segmentSize, long nowNs)
    {
        SegmentSize = Math.Max(1, segmentSize);
        long window = Rack.Window(in Sent, State, in Rtt, SegmentSize);
        uint lost = Rack.DetectLosses(pool, ref Sent, window, nowNs, out _);
        if (lost == 0)
            return 0;
        AckOutcome outcome = default;
        if (State != RecoveryState.Recovery)
        {
            EnterRecovery(congestionEcho: false, ref outcome);
            Congestion.OnAckInReduction(SegmentSize, lossFree: false, Sent.InFlight, SegmentSize);
        }
        return lost;
    }

    /// <summary>
    /// Segments are smaller from now on (path MTU): what was sent in larger ones is sent again, and the window is not
    /// reduced for it (RFC 1191 6.5, RFC 8899).
    /// </summary>
    public void OnSmallerSegments(SegmentPool pool, uint segmentSize, long nowNs)
    {
        SegmentSize = Math.Max(1, segmentSize);
        uint lost = 0;
        for (uint link = Sent.Head; link != 0; link = pool[link].Next)
        {
            ref SegmentRecord record = ref pool[link];
            if (record.SegmentSize > SegmentSize && record.Length > SegmentSize)
                lost += Sent.MarkLost(pool, link);
        }
        if (lost == 0)
            return;
        if (!HasSack)
            Sent.Sacked = 0;
        if (State == RecoveryState.Loss)
            return;
        Congestion.Ssthresh = Congestion.CurrentSsthresh;
        Congestion.PriorSsthresh = 0;
        Congestion.Reducing = false;
        UndoArmed = Frto = false;
        State = RecoveryState.Loss;
        HighSeq = Sent.Nxt;
        TimerNs = nowNs;
    }

    private void MarkForTimeout(SegmentPool pool, long nowNs)
    {
        bool reneged = pool[Sent.Head].Is(SegmentFlags.Sacked);
        if (reneged)
            Sent.ForgetSacks(pool);
        else if (!HasSack)
            Sent.Sacked = 0;
        // RFC 8985 6.3: what was sent within the last round trip can still be on its way.
        for (uint link = Sent.Head; link != 0; link = pool[link].Next)
            if (reneged || !HasSack || link == Sent.Head || !Rack.IsRecent(in pool[link], nowNs))
                Sent.MarkLost(pool, link);
    }

    /// <summary>
    /// What is sent again to see whether anything arrives: the last segment, or the first if the last has.
    /// </summary>
    private bool LastSegment(SegmentPool pool, uint max, out SeqNum seq, out uint length)
    {
        seq = Sent.Una;
        length = 0;
        if (Sent.IsEmpty || pool[Sent.Head].Is(SegmentFlags.Sacked))
        {
            ProbeDue = LossProbe.None;
            return false;
        }
        if (pool[Sent.Tail].Is(SegmentFlags.Sacked))
        {
            length = Math.Min(Math.Min(pool[Sent.Head].Length, SegmentSize), Math.Max(1, max));
            return true;
        }
        ref SegmentRecord tail = ref pool[Sent.Tail];
        uint last = tail.Length % SegmentSize;
        length = Math.Min(last == 0 ? SegmentSize : last, Math.Max(1, max));
        seq = tail.End - length;
        return true;
    }

    private void OnProbeSent(bool resend, long nowNs)
    {
        ProbeDue = LossProbe.None;
        Rack.ProbeOut = true;
        // RFC 8985 7.4: that it has repaired a loss costs no second reduction.
        Rack.ProbeIsResend = resend && State < RecoveryState.Recovery;
        Rack.ProbeEnd = Sent.Nxt;
        ProbeNs = 0;
        TimerNs = nowNs;
    }
}
