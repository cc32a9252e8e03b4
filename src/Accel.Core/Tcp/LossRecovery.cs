using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>
/// The sending half's view of the path: what is in flight, what is lost, how much may be sent. The machine tells it of
/// what was sent and acknowledged and of its timers; it says what to send again and how much new. Windows of the peer
/// are the machine's affair, as are SYN and how often to try before giving up. Sequence numbers count FIN.
/// <code>
/// established:  Start
/// ACK:          OnAck, then look at Timer again
/// to send:      while NextRetransmission: emit, OnRetransmitted; while there is new and Quota allows: emit, OnSent;
///               then look at Timer again
/// Timer is due: OnTimeout, OnProbeTimer or OnReorderTimer; then "to send"
/// close:        Free
/// </code>
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 640)]
public partial struct LossRecovery
{
    [FieldOffset(0)] public RecoveryState State;

    /// <summary>The peer sends SACK.</summary>
    [FieldOffset(1)] public bool HasSack;

    /// <summary>F-RTO (RFC 5682): whether the timeout was spurious is not known yet.</summary>
    [FieldOffset(2)] public bool Frto;

    /// <summary>A tail loss probe is to be sent.</summary>
    [FieldOffset(3)] public LossProbe ProbeDue;

    /// <summary>What is lost is not sent again before the next ACK: it may be on its way (F-RTO step 2b).</summary>
    [FieldOffset(4)] public bool Hold;

    /// <summary>One segment is sent again whatever the window says: the first after a timeout.</summary>
    [FieldOffset(5)] public bool Forced;

    /// <summary>A reduction can still turn out to be wrong: <see cref="UndoFrom"/>, <see cref="UndoResent"/>.</summary>
    [FieldOffset(6)] public bool UndoArmed;

    /// <summary>Timeouts since SND.UNA last moved.</summary>
    [FieldOffset(7)] public byte Timeouts;

    /// <summary>SND.NXT when the state was entered: it ends when that is acknowledged.</summary>
    [FieldOffset(8)] public SeqNum HighSeq;

    /// <summary>SND.UNA when the reduction began.</summary>
    [FieldOffset(12)] public SeqNum UndoFrom;

    /// <summary>Bytes sent again since, that no DSACK has reported; -1: none was sent again yet.</summary>
    [FieldOffset(16)] public int UndoResent;

    /// <summary>Clock of the first retransmission of this recovery, in milliseconds as in timestamps (RFC 3522).
    /// </summary>
    [FieldOffset(20)] public uint FirstResendMs;
    [FieldOffset(24)] public bool HasFirstResend;

    /// <summary>Bytes sent again, less those reported as duplicates: a peer cannot report more.</summary>
    [FieldOffset(28)] public uint DsackCredit;

    /// <summary>When the retransmission timer was started last, and when something was last sent.</summary>
    [FieldOffset(32)] public long TimerNs;
    [FieldOffset(40)] public long SentNs;

    /// <summary>When the tail loss probe's timer was started; 0: not running.</summary>
    [FieldOffset(48)] public long ProbeNs;

    /// <summary>Duplicate ACKs in a row.</summary>
    [FieldOffset(56)] public uint DuplicateAcks;

    /// <summary>SND.MSS when it was last told.</summary>
    [FieldOffset(60)] public uint SegmentSize;

    [FieldOffset(64)] public RttEstimator Rtt;
    [FieldOffset(128)] public SentQueue Sent;
    [FieldOffset(256)] public Rack Rack;
    [FieldOffset(320)] public CongestionControl Congestion;

    /// <summary>Reductions before the one of <see cref="UndoArmed"/> that can turn out to have been wrong.</summary>
    [FieldOffset(512)] public PastReductions Past;

    public readonly uint Cwnd => Congestion.Cwnd;

    public readonly uint Ssthresh => Congestion.Ssthresh;

    public readonly uint InFlight => Sent.InFlight;

    /// <summary>
    /// The handshake is complete: <paramref name="next"/> is SND.NXT. <see cref="Rtt"/> may have its sample from the
    /// SYN already. <paramref name="initialSegments"/>: 10 (RFC 6928), 1 if a SYN was lost (RFC 5681 3.1).
    /// Slow start after idle is a setting: <see cref="CongestionControl.SlowStartAfterIdle"/>.
    /// </summary>
    public void Start(
        SeqNum next, uint segmentSize, bool hasSack, CongestionAlgorithm algorithm, uint initialSegments, long nowNs)
    {
        HasSack = hasSack;
        SegmentSize = Math.Max(1, segmentSize);
        HighSeq = UndoFrom = next;
        Sent.Start(next);
        Rack.Start();
        Congestion.Start(algorithm, initialSegments, SegmentSize, next, nowNs);
    }

    /// <summary>True if a record for a new segment can be had; if not, nothing may be sent now.</summary>
    public readonly bool CanSend(SegmentPool pool) => Sent.HasRoom(pool);

    /// <summary>
    /// How much of <paramref name="wanted"/> new bytes (more than 0, and the peer's window has room for them) may leave
    /// now: all, a multiple of the segment size, or 0. Asking for more than it gives counts as "limited by the window".
    /// Not before <see cref="NextRetransmission"/> has said no.
    /// </summary>
    public uint Quota(SegmentPool pool, uint wanted, uint segmentSize, long nowNs)
    {
        SegmentSize = Math.Max(1, segmentSize);
        if (!CanSend(pool))
            return 0;
        // RFC 8985 7.3: the probe leaves though the window is full.
        if (ProbeDue == LossProbe.New)
            return Math.Min(wanted, SegmentSize);
        if (Sent.IsEmpty && SentNs != 0)
        {
            Congestion.OnIdle(nowNs - SentNs, Rtt.Rto, SegmentSize, nowNs);
            SentNs = nowNs;
        }
        uint room = Room;
        if (room >= wanted)
            return wanted;
        Congestion.Validate(true, in Sent, State, SegmentSize, Rtt.Rto, nowNs);
        // A window of less than a segment must not stop everything.
        if (Sent.InFlight == 0)
            return Math.Min(wanted, Math.Max(room - room % SegmentSize, SegmentSize));
        return room - room % SegmentSize;
    }

    /// <summary>
    /// New bytes [seq, seq + length) leave, as one segment or as a run of segments of
    /// <paramref name="segmentSize"/> bytes. A FIN counts as a byte. False if the pool is empty: then they must not
    /// leave. (Ask <see cref="CanSend"/> before, or send after this.)
    /// </summary>
    public bool OnSent(SegmentPool pool, SeqNum seq, uint length, uint segmentSize, long nowNs)
    {
        bool first = Sent.IsEmpty;
        if (first && seq != Sent.Nxt)
            Sent.Start(seq);
        SegmentSize = Math.Max(1, segmentSize);
        if (length == 0)
            return true;
        if (!Sent.Append(pool, length, SegmentSize, nowNs))
            return false;
        SentNs = nowNs;
        if (first)
            TimerNs = nowNs;
        if (Congestion.Reducing)
            Congestion.PrrOut += length;
        if (ProbeDue == LossProbe.New)
            OnProbeSent(resend: false, nowNs);
        else if (!Rack.ProbeOut)
            ProbeNs = nowNs;
        bool full = Sent.InFlight + SegmentSize > Congestion.Cwnd;
        Congestion.Validate(full, in Sent, State, SegmentSize, Rtt.Rto, nowNs);
        return true;
    }

    /// <summary>
    /// What to send again now, at most <paramref name="max"/> bytes in segments of <paramref name="segmentSize"/>:
    /// lost, and the congestion window allows it; or the tail loss probe. The range may end in the FIN.
    /// </summary>
    public bool NextRetransmission(
        SegmentPool pool, uint max, uint segmentSize, out SeqNum seq, out uint length)
    {
        SegmentSize = Math.Max(1, segmentSize);
        seq = Sent.Una;
        length = 0;
        if (ProbeDue == LossProbe.Last)
            return LastSegment(pool, max, out seq, out length);
        if (Sent.LostUnsent == 0 || Hold && !Forced)
            return false;
        uint room = Room;
        uint most = Math.Min(Math.Max(max, 1), room - room % SegmentSize);
        if (Forced || most == 0 && Sent.InFlight == 0)
            most = Math.Min(Math.Max(max, 1), SegmentSize);
        uint link = Sent.FirstLost(pool);
        if (link == 0)
            return false;
        seq = pool[link].Seq;
        length = pool[link].Length;
        if (most == 0 && length <= room)
            most = Math.Min(max, length);
        // What lies behind is sent with it if it is lost as well.
        for (uint next = pool[link].Next;
            length < most && next != 0 && SentQueue.IsUnsent(in pool[next]); next = pool[next].Next)
            length += pool[next].Length;
        length = Math.Min(length, most);
        return length != 0;
    }

    /// <summary>What <see cref="NextRetransmission"/> named, or less of it from its start, leaves.</summary>
    public void OnRetransmitted(SegmentPool pool, SeqNum seq, uint length, uint segmentSize, long nowNs)
    {
        SegmentSize = Math.Max(1, segmentSize);
        Forced = false;
        SentNs = nowNs;
        Sent.Resend(pool, seq, length, SegmentSize, nowNs);
        if (Congestion.Reducing)
            Congestion.PrrOut += length;
        UndoResent = (int)Math.Min(Math.Max(UndoResent, 0) + (long)length, int.MaxValue);
        DsackCredit = (uint)Math.Min(DsackCredit + (ulong)length, uint.MaxValue);
        if (!HasFirstResend)
        {
            HasFirstResend = true;
            FirstResendMs = Rack.Milliseconds(nowNs);
        }
        // RFC 6298 5.1, RFC 6675 5 (4.3): the timer is about the first segment.
        if (seq == Sent.Una)
            TimerNs = nowNs;
        if (ProbeDue == LossProbe.Last)
            OnProbeSent(resend: true, nowNs);
        else if (!Rack.ProbeOut)
            ProbeNs = nowNs;
    }

    /// <summary>The connection is gone: gives its records back.</summary>
    public void Free(SegmentPool pool)
    {
        Sent.Clear(pool);
        Rack.DeadlineNs = ProbeNs = 0;
        ProbeDue = LossProbe.None;
    }

    private readonly uint Room
    {
        get
        {
            uint inFlight = Sent.InFlight;
            return Congestion.Cwnd > inFlight ? Congestion.Cwnd - inFlight : 0;
        }
    }
}
