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
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 512)]
public partial struct LossRecovery
{
    [FieldOffset(0)] public RecoveryState State;

    /// <summary>The peer sends SACK.</summary>
    [FieldOffset(1)] public bool HasSack;

    /// <summary>F-RTO (RFC 5682): 0 no, 1 the first ACK after the timeout is waited for, 2 the second.</summary>
    [FieldOffset(2)] public byte Frto;

    /// <summary>A tail loss probe is to be sent: 0 no, 1 new data, 2 the last segment again.</summary>
    [FieldOffset(3)] public byte ProbeDue;

    /// <summary>What is lost is not sent again before the next ACK: it may be on its way (F-RTO step 2b).</summary>
    [FieldOffset(4)] public bool Hold;

    /// <summary>One segment may leave whatever the window says: the first of a recovery, a probe.</summary>
    [FieldOffset(5)] public bool Forced;
    [FieldOffset(6)] public bool UndoArmed;

    /// <summary>Timeouts since SND.UNA last moved.</summary>
    [FieldOffset(7)] public byte Timeouts;

    /// <summary>SND.NXT when the state was entered: it ends when that is acknowledged.</summary>
    [FieldOffset(8)] public SeqNum HighSeq;

    /// <summary>SND.UNA when the reduction began that may be undone (with UndoArmed).</summary>
    [FieldOffset(12)] public SeqNum UndoFrom;

    /// <summary>Bytes sent again since, that no DSACK has reported; -1: none was sent again yet.</summary>
    [FieldOffset(16)] public int UndoResent;

    /// <summary>Clock of the first retransmission of this recovery, in milliseconds as in timestamps (RFC 3522).
    /// </summary>
    [FieldOffset(20)] public uint FirstResendMs;
    [FieldOffset(24)] public bool HasFirstResend;

    /// <summary>When the retransmission timer was started last, and when something was last sent.</summary>
    [FieldOffset(32)] public long TimerNs;
    [FieldOffset(40)] public long SentNs;

    /// <summary>When the tail loss probe's timer was started; 0: not running.</summary>
    [FieldOffset(48)] public long ProbeNs;

    /// <summary>Duplicate ACKs in a row.</summary>
    [FieldOffset(56)] public uint DuplicateAcks;

    [FieldOffset(64)] public RttEstimator Rtt;
    [FieldOffset(128)] public SentQueue Sent;
    [FieldOffset(256)] public Rack Rack;
    [FieldOffset(320)] public CongestionControl Congestion;

    /// <summary>
    /// The handshake is complete: <paramref name="next"/> is SND.NXT. <see cref="Rtt"/> may have its sample from the
    /// SYN already. <paramref name="initialSegments"/>: 10 (RFC 6928), 1 if a SYN was lost (RFC 5681 3.1).
    /// </summary>
    public void Start(
        SeqNum next, uint segmentSize, bool hasSack, CongestionAlgorithm algorithm, uint initialSegments, long nowNs)
    {
        HasSack = hasSack;
        Sent.Una = Sent.Nxt = Sent.HighestSacked = HighSeq = next;
        Congestion.Algorithm = algorithm;
    }

    /// <summary>True if a record for a new segment can be had; if not, nothing may be sent now.</summary>
    public readonly bool CanSend(SegmentPool pool) => true;

    /// <summary>
    /// How much of <paramref name="wanted"/> new bytes (more than 0, and the peer's window has room for them) may leave
    /// now: all, a multiple of the segment size, or 0. Asking for more than it gives counts as "limited by the window".
    /// Not before <see cref="NextRetransmission"/> has said no.
    /// </summary>
    public uint Quota(SegmentPool pool, uint wanted, uint segmentSize, long nowNs) => wanted;

    /// <summary>
    /// New bytes [seq, seq + length) leave, as one segment or as a run of segments of
    /// <paramref name="segmentSize"/> bytes. A FIN counts as a byte. False if the pool is empty: then they must not
    /// leave. (Ask <see cref="CanSend"/> before, or send after this.)
    /// </summary>
    public bool OnSent(SegmentPool pool, SeqNum seq, uint length, uint segmentSize, long nowNs) => true;

    /// <summary>
    /// What to send again now, at most <paramref name="max"/> bytes in segments of <paramref name="segmentSize"/>:
    /// lost, and the congestion window allows it; or the tail loss probe. The range may end in the FIN.
    /// </summary>
    public bool NextRetransmission(
        SegmentPool pool, uint max, uint segmentSize, out SeqNum seq, out uint length)
    {
        seq = Sent.Una;
        length = 0;
        return false;
    }

    /// <summary>What <see cref="NextRetransmission"/> named, or less of it, leaves.</summary>
    public void OnRetransmitted(SegmentPool pool, SeqNum seq, uint length, uint segmentSize, long nowNs)
    {
    }

    /// <summary>An acceptable ACK: every one, not only those that advance SND.UNA.</summary>
    public AckOutcome OnAck(SegmentPool pool, in AckInput input, in TcpOptions options) => default;

    /// <summary>Which timer runs, and when it is due. After every call that changes something.</summary>
    public readonly RecoveryTimer Timer(out long atNs)
    {
        atNs = 0;
        return RecoveryTimer.None;
    }

    /// <summary>
    /// The retransmission timer has run out (RFC 6298 5.4): backs it off and makes the first segment the next to send.
    /// </summary>
    public void OnTimeout(SegmentPool pool, uint segmentSize, long nowNs)
    {
    }

    /// <summary>
    /// The probe timer has run out. <paramref name="hasNew"/>: there is new data and the peer's window has room for
    /// it. After this, <see cref="Quota"/> or <see cref="NextRetransmission"/> gives the probe.
    /// </summary>
    public void OnProbeTimer(SegmentPool pool, bool hasNew, uint segmentSize, long nowNs)
    {
    }

    /// <summary>The reordering window of a segment has passed. Returns the bytes newly taken for lost.</summary>
    public uint OnReorderTimer(SegmentPool pool, uint segmentSize, long nowNs) => 0;

    /// <summary>
    /// Segments are smaller from now on (path MTU): what was sent in larger ones is sent again, and the window is not
    /// reduced for it (RFC 1191, RFC 8899).
    /// </summary>
    public void OnSmallerSegments(SegmentPool pool, uint segmentSize, long nowNs)
    {
    }

    /// <summary>The connection is gone: gives its records back.</summary>
    public void Free(SegmentPool pool)
    {
    }
}
