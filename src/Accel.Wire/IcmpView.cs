namespace Accel.Wire;

/// <summary>An ICMP message (RFC 792): the payload of an IPv4 packet.</summary>
public readonly ref struct IcmpView
{
    public const int MinLength = 8;
    public const byte EchoReply = 0, Unreachable = 3, Echo = 8, TimeExceeded = 11, ParameterProblem = 12;

    /// <summary>Codes of <see cref="Unreachable"/>.</summary>
    public const byte Net = 0, Host = 1, Protocol = 2, Port = 3, FragmentationNeeded = 4, SourceRouteFailed = 5;

    private readonly ReadOnlySpan<byte> _bytes;

    private IcmpView(ReadOnlySpan<byte> bytes) => _bytes = bytes;

    public static bool TryParse(ReadOnlySpan<byte> bytes, out IcmpView icmp)
    {
        var valid = bytes.Length >= MinLength;
        icmp = valid ? new(bytes) : default;
        return valid;
    }

    public byte Type => _bytes[0];

    public byte Code => _bytes[1];

    public ushort Checksum => Big.U16(_bytes, 2);

    public bool HasRightChecksum => Wire.Checksum.IsRight(Wire.Checksum.Add(_bytes, 0));

    /// <summary>It reports on a packet that it quotes. RFC 1122 3.2.2: source quench counts, and is dropped.</summary>
    public bool IsError => Type is Unreachable or TimeExceeded or ParameterProblem;

    /// <summary>Of an echo request or reply.</summary>
    public ushort Identifier => Big.U16(_bytes, 4);

    public ushort Sequence => Big.U16(_bytes, 6);

    /// <summary>RFC 1191 4: next-hop MTU of "fragmentation needed"; 0 from routers that do not say.</summary>
    public ushort NextHopMtu => Big.U16(_bytes, 6);

    /// <summary>What follows the first eight bytes: echo data, or the quoted packet.</summary>
    public ReadOnlySpan<byte> Body => _bytes[MinLength..];

    /// <summary>The packet that an error is about.</summary>
    public bool TryGetQuote(out QuoteView quote)
    {
        quote = default;
        return IsError && QuoteView.TryParse(Body, out quote) && !quote.IsIpv6;
    }
}
