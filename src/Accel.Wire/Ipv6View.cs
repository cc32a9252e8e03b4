namespace Accel.Wire;

/// <summary>An IPv6 packet (RFC 8200).</summary>
public readonly ref struct Ipv6View
{
    /// <summary>Extension headers that are walked over before a packet is given up.</summary>
    public const int MaxExtensions = 8;

    private readonly ReadOnlySpan<byte> _bytes;

    private Ipv6View(ReadOnlySpan<byte> bytes) => _bytes = bytes;

    /// <summary>A whole packet. What lies behind it (padding of a short frame) is cut off.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out Ipv6View ip)
    {
        if (TryParseHead(bytes, out ip) && Ipv6Header.Length + ip.PayloadLength <= bytes.Length)
            return true;
        ip = default;
        return false;
    }

    /// <summary>A packet of which some payload may be missing: see <see cref="Ipv4View.TryParseHead"/>.</summary>
    public static bool TryParseHead(ReadOnlySpan<byte> bytes, out Ipv6View ip)
    {
        ip = default;
        if (bytes.Length < Ipv6Header.Length || bytes[0] >> 4 != 6)
            return false;
        var total = Ipv6Header.Length + Big.U16(bytes, 4);
        ip = new(bytes.Length > total ? bytes[..total] : bytes);
        return true;
    }

    public byte TrafficClass => (byte)(Big.U16(_bytes, 0) >> 4);

    /// <summary>RFC 3168 5: 0 not capable, 1 and 2 capable, 3 congestion experienced.</summary>
    public byte Ecn => (byte)(TrafficClass & 3);

    public uint FlowLabel => Big.U32(_bytes, 0) & 0xFFFFF;

    /// <summary>Extension headers and what follows them.</summary>
    public int PayloadLength => Big.U16(_bytes, 4);

    public IpProtocol NextHeader => (IpProtocol)_bytes[6];

    public byte HopLimit => _bytes[7];

    public ReadOnlySpan<byte> Source => _bytes.Slice(8, Ipv6Address.Bytes);

    public ReadOnlySpan<byte> Destination => _bytes.Slice(24, Ipv6Address.Bytes);

    /// <summary>From the first extension header on, up to the end that the header gives.</summary>
    public ReadOnlySpan<byte> Payload => _bytes[Ipv6Header.Length..];

    /// <summary>
    /// Walks the extension headers. <paramref name="offset"/> counts from the start of <see cref="Payload"/>.
    /// <paramref name="fragment"/>: a part of a packet only; what is at the offset is the upper header in the first one
    /// alone. False if the chain is cut short, or longer than any that makes sense.
    /// </summary>
    public bool TryFindUpper(out IpProtocol protocol, out int offset, out bool fragment)
    {
        protocol = NextHeader;
        offset = 0;
        fragment = false;
        var rest = Payload;
        for (var walked = 0; walked <= MaxExtensions; walked++)
        {
            if (!IsExtension(protocol))
                return offset <= rest.Length;
            // RFC 8200 4.1, 4.3: hop-by-hop options come first or not at all.
            if ((protocol == IpProtocol.HopByHop && walked > 0) || rest.Length - offset < 8)
                return false;
            var header = rest[offset..];
            if (protocol == IpProtocol.Fragment)
            {
                // RFC 6946: offset 0 and no more to come is a whole packet.
                var place = Big.U16(header, 2) & 0xFFF9;
                fragment |= place != 0;
                protocol = (IpProtocol)header[0];
                offset += 8;
                if (place >> 3 != 0)
                    return true;
                continue;
            }
            // RFC 4302 2.2: the authentication header counts in words of four bytes, without two.
            offset += protocol == IpProtocol.Authentication ? (header[1] + 2) * 4 : (header[1] + 1) * 8;
            protocol = (IpProtocol)header[0];
        }
        return false;
    }

    /// <summary>The pseudo header's sum (RFC 8200 8.1) for a transport of so many bytes.</summary>
    public uint PseudoSum(IpProtocol protocol, int length) =>
        Checksum.PseudoV6(Source, Destination, protocol, length);

    private static bool IsExtension(IpProtocol header) => header is IpProtocol.HopByHop or IpProtocol.Routing
        or IpProtocol.Fragment or IpProtocol.DestinationOptions or IpProtocol.Authentication or IpProtocol.Mobility
        or IpProtocol.Hip or IpProtocol.Shim6;
}
