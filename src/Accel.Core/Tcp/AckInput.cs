using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>
/// An acceptable ACK (SND.UNA &lt;= SEG.ACK &lt;= SND.NXT) as loss recovery sees it; or an older one, for what its SACK
/// blocks may say.
/// </summary>
public struct AckInput
{
    /// <summary>SEG.ACK itself: SACK blocks below it tell of duplicates (RFC 2883 4).</summary>
    public SeqNum Ack;
    public long NowNs;

    /// <summary>SND.MSS: payload of a full segment.</summary>
    public uint SegmentSize;

    /// <summary>
    /// It can be a duplicate ACK (RFC 5681 2): no payload, neither SYN nor FIN, and it does not change the window.
    /// Whether it acknowledges nothing new, and whether something is in flight, is looked at here.
    /// </summary>
    public bool MayBeDuplicate;

    /// <summary>ECE is set and ECN was agreed on.</summary>
    public bool CongestionEcho;

    /// <summary>There are bytes that were never sent, and the peer's window (as updated by this ACK) has room for
    /// them.</summary>
    public bool HasNew;

    /// <summary>Timestamps were agreed on and the segment has them: <see cref="EchoMs"/> is TSecr without the offset
    /// of the connection.</summary>
    public bool HasEcho;
    public uint EchoMs;
}
