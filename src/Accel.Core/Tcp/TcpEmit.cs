using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>What the caller knows of a connection's two streams when it asks for the next segment.</summary>
public struct TcpStreams
{
    /// <summary>
    /// Bytes of the sending stream that are kept: those in flight and those not sent yet, from SND.UNA.
    /// </summary>
    public uint Queued;

    /// <summary>The program sends no more: FIN follows the last byte.</summary>
    public bool Finished;

    /// <summary>The program reads no more (SHUT_RD, or it has closed).</summary>
    public bool ReadShut;

    /// <summary>More will follow at once (MSG_MORE, TCP_CORK): hold a part segment back, but not for ever.</summary>
    public bool MoreComes;

    /// <summary>TCP_NODELAY.</summary>
    public bool NoDelay;

    /// <summary>Bytes that the receiving buffer can take from RCV.NXT on.</summary>
    public uint ReceiveSpace;

    /// <summary>
    /// Bytes in order that the reader has not taken yet. With the space it makes the buffer's size.
    /// </summary>
    public uint Unread;

    /// <summary>The most that is to be offered, though there is more room; 0: no limit.</summary>
    public uint OfferMost;

    /// <summary>Distance of the byte after the urgent one from SND.UNA; 0: none.</summary>
    public uint UrgentEnd;

    /// <summary>
    /// The most payload that one emission may carry: a multiple of the MSS on a link with super-frames.
    /// </summary>
    public uint MaxEmission;
}

/// <summary>A segment, or a run of segments of <see cref="SegmentSize"/> bytes, that is to be sent now.</summary>
public struct TcpEmit
{
    public SeqNum Seq;
    public SeqNum Ack;
    public TcpFlags Flags;
    public bool IsRetransmission;

    /// <summary>As in the header: scaled already.</summary>
    public ushort Window;
    public ushort Urgent;

    /// <summary>Distance of the first payload byte from SND.UNA, and how many bytes.</summary>
    public uint Offset;
    public uint Length;

    /// <summary>Payload of each segment but the last.</summary>
    public ushort SegmentSize;

    /// <summary>ECN field of the IP header: 0, or 2 for ECT(0).</summary>
    public byte Ecn;
    public TcpOptions Options;
}
