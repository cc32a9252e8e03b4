using Accel.Core.Tcp;

namespace Accel.Testing;

/// <summary>A segment on its way: header and payload, and what IP says of congestion.</summary>
public sealed class Packet
{
    public TcpSegment Header;

    /// <summary>ECN field of the IP header: 0 not capable, 2 ECT(0), 3 congestion experienced.</summary>
    public byte Ecn;

    public byte[] Payload = [];

    /// <summary>Damaged on its way: the checksum shows it.</summary>
    public bool IsCorrupt;

    public Packet Copy() => (Packet)MemberwiseClone();
}
