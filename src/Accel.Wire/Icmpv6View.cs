namespace Accel.Wire;

/// <summary>An ICMPv6 message (RFC 4443): the upper header of an IPv6 packet.</summary>
public readonly ref struct Icmpv6View
{
    public const int MinLength = 8;
    public const byte Unreachable = 1, PacketTooBig = 2, TimeExceeded = 3, ParameterProblem = 4, Echo = 128,
        EchoReply = 129, RouterSolicitation = 133, RouterAdvertisement = 134, NeighbourSolicitation = 135,
        NeighbourAdvertisement = 136;

    /// <summary>Codes of <see cref="Unreachable"/>.</summary>
    public const byte NoRoute = 0, Prohibited = 1, BeyondScope = 2, Address = 3, Port = 4;

    private readonly ReadOnlySpan<byte> _bytes;

    private Icmpv6View(ReadOnlySpan<byte> bytes) => _bytes = bytes;

    public static bool TryParse(ReadOnlySpan<byte> bytes, out Icmpv6View icmp)
    {
        var valid = bytes.Length >= MinLength;
        icmp = valid ? new(bytes) : default;
        return valid;
    }

    public byte Type => _bytes[0];

    public byte Code => _bytes[1];

    /// <summary>Over the pseudo header too: sum up <see cref="Bytes"/>.</summary>
    public ushort Checksum => Big.U16(_bytes, 2);

    public ReadOnlySpan<byte> Bytes => _bytes;

    /// <summary>RFC 4443 2.1: types below 128 are errors, and quote a packet.</summary>
    public bool IsError => Type < 128;

    /// <summary>Of an echo request or reply.</summary>
    public ushort Identifier => Big.U16(_bytes, 4);

    public ushort Sequence => Big.U16(_bytes, 6);

    /// <summary>RFC 4443 3.2: next-hop MTU of "packet too big".</summary>
    public uint Mtu => Big.U32(_bytes, 4);

    /// <summary>What follows the first eight bytes: echo data, or the quoted packet.</summary>
    public ReadOnlySpan<byte> Body => _bytes[MinLength..];

    /// <summary>The packet that an error is about.</summary>
    public bool TryGetQuote(out QuoteView quote)
    {
        quote = default;
        return IsError && QuoteView.TryParse(Body, out quote) && quote.IsIpv6;
    }

    /// <summary>RFC 4861 4.3, 4.4: the address that a neighbour solicitation or advertisement is about.</summary>
    public bool TryGetTarget(out ReadOnlySpan<byte> target)
    {
        var has = Type is NeighbourSolicitation or NeighbourAdvertisement && Body.Length >= Ipv6Address.Bytes;
        target = has ? Body[..Ipv6Address.Bytes] : default;
        return has;
    }
}
