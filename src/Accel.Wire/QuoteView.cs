namespace Accel.Wire;

/// <summary>
/// The start of a packet as an ICMP error quotes it: IP header and at least eight bytes of a TCP or UDP header, which
/// is all that a router has to send back (RFC 792). It is a packet of ours, so its source is here.
/// </summary>
public readonly ref struct QuoteView
{
    /// <summary>Ports and, of TCP, the sequence number.</summary>
    public const int MinUpper = 8;

    private readonly ReadOnlySpan<byte> _packet;
    private readonly ReadOnlySpan<byte> _upper;

    private QuoteView(ReadOnlySpan<byte> packet, ReadOnlySpan<byte> upper, IpProtocol protocol)
    {
        _packet = packet;
        _upper = upper;
        Protocol = protocol;
    }

    public static bool TryParse(ReadOnlySpan<byte> bytes, out QuoteView quote)
    {
        quote = default;
        ReadOnlySpan<byte> upper;
        IpProtocol protocol;
        if (Ipv4View.TryParseHead(bytes, out var v4))
        {
            // A later fragment has no ports.
            if (v4.FragmentOffset != 0)
                return false;
            upper = v4.Payload;
            protocol = v4.Protocol;
        }
        else if (Ipv6View.TryParseHead(bytes, out var v6))
        {
            // Fragments are the kernel's.
            if (!v6.TryFindUpper(out protocol, out var offset, out var fragment) || fragment)
                return false;
            upper = v6.Payload[offset..];
        }
        else
        {
            return false;
        }
        if (protocol is not (IpProtocol.Tcp or IpProtocol.Udp) || upper.Length < MinUpper)
            return false;
        quote = new(bytes, upper, protocol);
        return true;
    }

    /// <summary>TCP or UDP.</summary>
    public IpProtocol Protocol { get; }

    public bool IsIpv6 => _packet[0] >> 4 == 6;

    /// <summary>Four or sixteen bytes.</summary>
    public ReadOnlySpan<byte> Source => IsIpv6 ? _packet.Slice(8, Ipv6Address.Bytes) : _packet.Slice(12, 4);

    public ReadOnlySpan<byte> Destination => IsIpv6 ? _packet.Slice(24, Ipv6Address.Bytes) : _packet.Slice(16, 4);

    public ushort SourcePort => Big.U16(_upper, 0);

    public ushort DestinationPort => Big.U16(_upper, 2);

    /// <summary>Of TCP.</summary>
    public SeqNum Seq => new(Big.U32(_upper, 4));
}
