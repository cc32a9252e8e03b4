namespace Accel.Wire;

/// <summary>A UDP datagram (RFC 768): the payload of an IP packet.</summary>
public readonly ref struct UdpView
{
    private readonly ReadOnlySpan<byte> _bytes;

    private UdpView(ReadOnlySpan<byte> bytes) => _bytes = bytes;

    /// <summary>A whole datagram. What lies behind it is cut off.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out UdpView udp)
    {
        if (TryParseHead(bytes, out udp) && udp.Length <= bytes.Length)
            return true;
        udp = default;
        return false;
    }

    /// <summary>A datagram of which some payload may be missing: see <see cref="Ipv4View.TryParseHead"/>.</summary>
    public static bool TryParseHead(ReadOnlySpan<byte> bytes, out UdpView udp)
    {
        udp = default;
        if (bytes.Length < UdpHeader.Length)
            return false;
        var length = Big.U16(bytes, 4);
        if (length < UdpHeader.Length)
            return false;
        udp = new(bytes.Length > length ? bytes[..length] : bytes);
        return true;
    }

    public ushort SourcePort => Big.U16(_bytes, 0);

    public ushort DestinationPort => Big.U16(_bytes, 2);

    /// <summary>Header and payload.</summary>
    public int Length => Big.U16(_bytes, 4);

    /// <summary>0: the sender made none, which IPv6 does not allow.</summary>
    public ushort Checksum => Big.U16(_bytes, 6);

    public ReadOnlySpan<byte> Payload => _bytes[UdpHeader.Length..];
}
