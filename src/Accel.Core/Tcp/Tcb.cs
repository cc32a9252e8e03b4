using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>What was agreed on in the handshake, and what a connection has to do or has done once.</summary>
[Flags]
public enum TcbFlags : uint
{
    None = 0,

    // Agreed on.
    Timestamps = 1,
    Sack = 2,
    WindowScaling = 4,
    Ecn = 8,

    /// <summary>Opened by the peer's SYN.</summary>
    Passive = 0x10,

    /// <summary>IPv6: 20 bytes of headers more.</summary>
    V6 = 0x20,

    // To be sent.
    SynDue = 0x100,

    /// <summary>A probe of a closed window, or of a silent peer.</summary>
    ProbeDue = 0x200,
    LossProbeDue = 0x400,

    /// <summary>RFC 3168 6.1.3: ECE in all ACKs until the peer's CWR.</summary>
    EchoCongestion = 0x800,

    /// <summary>RFC 3168 6.1.2: CWR on the next new data.</summary>
    TellReduced = 0x1000,

    /// <summary>The next SACK option begins with a DSACK block (RFC 2883).</summary>
    DsackDue = 0x2000,

    // What has happened.
    FinSent = 0x10000,

    /// <summary>The peer's FIN is known to be at <see cref="Tcb.FinAt"/>; there may be gaps before it.</summary>
    FinStored = 0x20000,

    /// <summary>RCV.NXT has passed the peer's FIN.</summary>
    FinReceived = 0x40000,

    /// <summary>The program has closed its last descriptor: nobody reads any more.</summary>
    Detached = 0x80000,

    /// <summary>The peer has announced urgent data: <see cref="Tcb.RcvUp"/> holds.</summary>
    UrgentSeen = 0x100000,

    /// <summary>A SYN of ours was sent again: its round trip says nothing.</summary>
    SynRetransmitted = 0x200000,

    /// <summary>Data has come: the next measures the delay between segments.</summary>
    HasReceived = 0x400000,
}

/// <summary>The state of the delayed ACK.</summary>
[Flags]
public enum AckFlags : byte
{
    None = 0,

    /// <summary>Something has to be acknowledged.</summary>
    Scheduled = 1,

    /// <summary>It is being waited for.</summary>
    Delayed = 2,

    /// <summary>A segment shorter than the path's has come; twice: the reader should have it acknowledged when it has
    /// read.</summary>
    Pushed = 4,
    PushedTwice = 8,

    /// <summary>At once.</summary>
    Now = 16,

    /// <summary>What is being waited for reports data beyond a gap.</summary>
    Compressed = 32,
}

/// <summary>What the one timer of the sending half waits for.</summary>
public enum SendTimer : byte
{
    None = 0,

    /// <summary>RFC 6298: nothing was acknowledged for an RTO. Of a SYN as well.</summary>
    Retransmit,

    /// <summary>RFC 9293 3.8.6.1: the window is closed, or what there is to send does not fit.</summary>
    Persist,

    /// <summary>RFC 8985 7: tail loss probe.</summary>
    LossProbe,

    /// <summary>RFC 8985 6.3: the reordering window of a segment passes.</summary>
    Reorder,
}

/// <summary>
/// Transmission control block: one connection's state between segments. The first two lines are what a predicted
/// segment touches.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 1152)]
public struct Tcb
{
    // Line 0: every segment. Sequence variables as in RFC 9293 3.3.1.
    [FieldOffset(0)] public TcpState State;

    /// <summary>RFC 7323 2: shifts of the windows that the peer and we announce.</summary>
    [FieldOffset(1)] public byte SndWscale;
    [FieldOffset(2)] public byte RcvWscale;
    [FieldOffset(3)] public AckFlags Acks;
    [FieldOffset(4)] public TcbFlags Flags;
    [FieldOffset(8)] public SeqNum SndUna;

    /// <summary>One after the last that was ever sent: a retransmission does not take it back.</summary>
    [FieldOffset(12)] public SeqNum SndNxt;
    [FieldOffset(16)] public uint SndWnd;
    [FieldOffset(20)] public SeqNum SndWl1;
    [FieldOffset(24)] public SeqNum RcvNxt;

    /// <summary>
    /// RCV.NXT when the last segment was sent (Last.ACK.sent of RFC 7323), and the window it offered.
    /// </summary>
    [FieldOffset(28)] public SeqNum RcvWup;
    [FieldOffset(32)] public uint RcvWnd;

    /// <summary>RFC 7323 4.3.</summary>
    [FieldOffset(36), Hidden] public uint TsRecent;
    [FieldOffset(40), Hidden] public uint TsOffset;

    /// <summary>Size of the peer's full segments, as seen.</summary>
    [FieldOffset(44)] public ushort RcvMss;

    /// <summary>Payload of a full segment to the peer, the timestamp option taken off.</summary>
    [FieldOffset(46)] public ushort SndMss;

    /// <summary>The largest window that the peer has offered.</summary>
    [FieldOffset(48)] public uint MaxWindow;

    /// <summary>End of the last segment sent that was not full (Minshall's variant of Nagle's rule).</summary>
    [FieldOffset(52)] public SeqNum SndSml;

    /// <summary>ACKs that are still sent at once, and whether the two ends take turns (then they are not).</summary>
    [FieldOffset(56)] public byte QuickAcks;
    [FieldOffset(57)] public byte PingPong;

    /// <summary>RTOs in a row, doublings of the timer, and probes that were not answered.</summary>
    [FieldOffset(58)] public byte Retransmits;
    [FieldOffset(59)] public byte Backoff;
    [FieldOffset(60)] public byte ProbesOut;
    [FieldOffset(61)] public SendTimer SendTimer;
    [FieldOffset(62)] public ushort OptionBytes;

    // Line 1: times, in nanoseconds; 0 = never, not armed.
    [FieldOffset(64)] public long SendTimerAt;
    [FieldOffset(72)] public long DelayedAckAt;

    /// <summary>Keepalive, FIN-WAIT-2, TIME-WAIT: what they wait for follows from the state.</summary>
    [FieldOffset(80)] public long SlowTimerAt;

    /// <summary>When data came last, when anything came last, when data went last.</summary>
    [FieldOffset(88)] public long ReceivedAt;
    [FieldOffset(96)] public long HeardAt;
    [FieldOffset(104)] public long SentAt;
    [FieldOffset(112)] public long TsRecentAt;

    /// <summary>Estimated delay between the peer's segments (Linux's ato).</summary>
    [FieldOffset(120)] public long AckTimeout;

    // Lines 2 to 11: what is in flight, and how fast.
    [FieldOffset(128)] public LossRecovery Recovery;

    // Line 12: what has been received ahead.
    [FieldOffset(768)] public Reassembly Reassembly;

    // Line 13: receiving.
    [FieldOffset(832)] public ReceiveTuning Tuning;

    /// <summary>Where the reader was when its progress was last looked at.</summary>
    [FieldOffset(880)] public SeqNum ReadSeq;

    /// <summary>With <see cref="TcbFlags.FinStored"/>: the sequence number of the peer's FIN.</summary>
    [FieldOffset(884)] public SeqNum FinAt;

    /// <summary>With <see cref="TcbFlags.UrgentSeen"/>: one after the peer's urgent byte (RCV.UP).</summary>
    [FieldOffset(888)] public SeqNum RcvUp;

    /// <summary>
    /// Segments beyond the newest gap, with RCV.NXT at <see cref="GapAt"/>, that were acknowledged at once; and those
    /// since the last ACK that were not.
    /// </summary>
    [FieldOffset(892)] public byte GapAcks;
    [FieldOffset(893)] public byte Compressed;

    // Line 14: sending, seldom.
    /// <summary>With <see cref="TcbFlags.FinSent"/>: the sequence number of our FIN.</summary>
    [FieldOffset(896)] public SeqNum FinSeq;
    [FieldOffset(900)] public SeqNum Iss;
    [FieldOffset(904)] public SeqNum Irs;
    [FieldOffset(908)] public SeqNum GapAt;

    /// <summary>The largest payload: of the peer's SYN, and what ours said.</summary>
    [FieldOffset(912)] public ushort PeerMss;
    [FieldOffset(914)] public ushort AdvertisedMss;

    /// <summary>What ICMP said, to be told if the connection fails.</summary>
    [FieldOffset(916)] public TcpError SoftError;

    /// <summary>First RTO of a row; first unanswered window probe; last challenge ACK; first SYN.</summary>
    [FieldOffset(920)] public long TimeoutsSince;
    [FieldOffset(928)] public long ProbesSince;
    [FieldOffset(936)] public long ChallengedAt;
    [FieldOffset(944)] public long OpenedAt;

    // Line 15: the path, and what the program asked for.
    [FieldOffset(960)] public Pmtu Path;
    [FieldOffset(992)] public TcpTuning Options;

    // Line 16: counts for tcp_info.
    [FieldOffset(1024)] public TcpTally Tally;
}
