using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>A received segment as the TCP machine sees it: its header, and how much payload follows.</summary>
public struct TcpSegment
{
    public SeqNum Seq;
    public SeqNum Ack;
    public TcpFlags Flags;

    /// <summary>IP's ECN field said "congestion experienced" (RFC 3168).</summary>
    public bool CongestionExperienced;

    /// <summary>As in the header: not scaled.</summary>
    public ushort Window;
    public ushort Urgent;

    /// <summary>Payload in bytes. A super-frame has more than the path's MSS.</summary>
    public uint Length;

    /// <summary>Segments that were merged into this one on their way (1 if none).</summary>
    public uint Merged;
    public TcpOptions Options;

    public readonly bool Has(TcpFlags flag) => (Flags & flag) != 0;

    /// <summary>SEG.LEN of RFC 9293: payload plus SYN and FIN.</summary>
    public readonly uint SequenceLength => Length + (Has(TcpFlags.Syn) ? 1u : 0u) + (Has(TcpFlags.Fin) ? 1u : 0u);
}
