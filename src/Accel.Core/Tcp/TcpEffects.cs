using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>What happened to a connection. The caller does what follows from it.</summary>
[Flags]
public enum TcpEvents : uint
{
    None = 0,

    /// <summary>The handshake is complete.</summary>
    Established = 1,

    /// <summary>There is something to send, an ACK at least: call <see cref="TcpOutput"/>.</summary>
    Send = 2,

    /// <summary>The peer's FIN has come and everything before it: end of stream for the reader.</summary>
    EndOfStream = 4,

    /// <summary>The connection has failed: see <see cref="TcpEffects.Error"/>.</summary>
    Failed = 8,

    /// <summary>State is CLOSED: the block may be given back.</summary>
    Closed = 16,

    /// <summary>State is TIME-WAIT: the buffers may be given back.</summary>
    TimeWait = 32,

    /// <summary>Answer with a RST as <see cref="TcpEffects.ResetSeq"/> and so on say.</summary>
    SendReset = 64,

    /// <summary>Urgent data was announced: see <see cref="TcpEffects.UrgentEnd"/>.</summary>
    Urgent = 128,

    /// <summary>
    /// TIME-WAIT gives way to the SYN that just came: free the block and hand the SYN to the listener.
    /// </summary>
    Reopen = 256,

    /// <summary>Our FIN has been acknowledged.</summary>
    FinAcked = 512,

    /// <summary>The peer answers what it should not: look for a better path (black hole, dead gateway).</summary>
    PathSuspect = 1024,

    /// <summary>The receiving buffer should grow to <see cref="TcpEffects.ReceiveWanted"/> bytes, if memory allows.
    /// </summary>
    GrowReceive = 2048,
}

/// <summary>Why a connection failed. Turned into an errno where errno is known.</summary>
public enum TcpError : byte
{
    None = 0,

    /// <summary>A RST in a synchronized state.</summary>
    Reset,

    /// <summary>A RST in answer to our SYN.</summary>
    Refused,

    /// <summary>Retransmissions, keepalive probes or the user timeout ran out.</summary>
    TimedOut,
    HostUnreachable,
    NetUnreachable,
    MessageSize,

    /// <summary>RST after the peer's FIN had been seen (EPIPE on Linux).</summary>
    Broken,

    /// <summary>As ICMP says.</summary>
    ProtocolUnreachable,
    Prohibited,
    HostDown,
}

/// <summary>
/// What one step of the machine asks of its caller. Reset before each step; the machine only fills it in.
/// </summary>
public struct TcpEffects
{
    public TcpEvents Events;
    public TcpError Error;

    /// <summary>Bytes of the sending stream that are acknowledged now and may be forgotten (SYN, FIN not among them).
    /// </summary>
    public uint Acked;

    /// <summary>Payload to keep: bytes [StoreFrom, StoreFrom + StoreLength) of the segment.</summary>
    public uint StoreFrom;
    public uint StoreLength;

    /// <summary>
    /// Where they belong: so many bytes after what the reader had before this segment (0 = in order).
    /// </summary>
    public uint StoreAt;

    /// <summary>Bytes that became readable, in order, with what had been kept before.</summary>
    public uint Advance;

    /// <summary>With <see cref="TcpEvents.Urgent"/>: distance of the byte after the urgent one from what the reader had
    /// before this segment.</summary>
    public uint UrgentEnd;

    /// <summary>With <see cref="TcpEvents.SendReset"/>: the segment to send (RFC 9293 3.10.7.1).</summary>
    public SeqNum ResetSeq;
    public SeqNum ResetAck;
    public TcpFlags ResetFlags;

    /// <summary>
    /// With <see cref="TcpEvents.Reopen"/>: the sequence number that the new connection starts with.
    /// </summary>
    public SeqNum NextIss;

    /// <summary>With <see cref="TcpEvents.GrowReceive"/>: the size that is wanted, in bytes.</summary>
    public uint ReceiveWanted;

    public readonly bool Has(TcpEvents events) => (Events & events) != 0;
}
