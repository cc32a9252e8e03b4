namespace Accel.Wire;

/// <summary>A TCP segment (RFC 9293 3.1): the payload of an IP packet.</summary>
public readonly ref struct TcpView
{
    private readonly ReadOnlySpan<byte> _bytes;

    private TcpView(ReadOnlySpan<byte> bytes) => _bytes = bytes;

    public static bool TryParse(ReadOnlySpan<byte> bytes, out TcpView tcp)
    {
        tcp = default;
        if (bytes.Length < TcpHeader.MinLength)
            return false;
        var header = (bytes[12] >> 4) * 4;
        if (header < TcpHeader.MinLength || header > bytes.Length)
            return false;
        tcp = new(bytes);
        return true;
    }

    public ushort SourcePort => Big.U16(_bytes, 0);

    public ushort DestinationPort => Big.U16(_bytes, 2);

    public SeqNum Seq => new(Big.U32(_bytes, 4));

    public SeqNum Ack => new(Big.U32(_bytes, 8));

    public int HeaderLength => (_bytes[12] >> 4) * 4;

    public TcpFlags Flags => (TcpFlags)_bytes[13];

    /// <summary>Not scaled.</summary>
    public ushort Window => Big.U16(_bytes, 14);

    public ushort Checksum => Big.U16(_bytes, TcpHeader.ChecksumAt);

    public ushort Urgent => Big.U16(_bytes, 18);

    /// <summary>For <see cref="TcpOptions.TryParse"/>.</summary>
    public ReadOnlySpan<byte> OptionBytes => _bytes[TcpHeader.MinLength..HeaderLength];

    public ReadOnlySpan<byte> Payload => _bytes[HeaderLength..];
}
