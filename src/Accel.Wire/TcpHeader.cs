namespace Accel.Wire;

/// <summary>A TCP header to be written.</summary>
public struct TcpHeader
{
    public const int MinLength = 20, MaxLength = 60, ChecksumAt = 16;

    public ushort SourcePort;
    public ushort DestinationPort;
    public SeqNum Seq;
    public SeqNum Ack;
    public TcpFlags Flags;

    /// <summary>Scaled already.</summary>
    public ushort Window;

    /// <summary>0 until the payload is summed up: see <see cref="SetChecksum"/>.</summary>
    public ushort Checksum;
    public ushort Urgent;
    public TcpOptions Options;

    /// <summary>With the options, a multiple of four.</summary>
    public readonly int Length => MinLength + Options.Length;

    /// <summary>Returns the bytes written: <see cref="Length"/>, or 0 if there is no room.</summary>
    public readonly int WriteTo(Span<byte> to)
    {
        var length = Length;
        if (to.Length < length)
            return 0;
        // One check of the bounds for all.
        var first = to[..MinLength];
        Big.Put(first, 0, SourcePort);
        Big.Put(first, 2, DestinationPort);
        Big.Put(first, 4, Seq.Value);
        Big.Put(first, 8, Ack.Value);
        first[12] = (byte)(length / 4 << 4);
        first[13] = (byte)Flags;
        Big.Put(first, 14, Window);
        Big.Put(first, ChecksumAt, Checksum);
        Big.Put(first, 18, Urgent);
        Options.WriteTo(to[MinLength..]);
        return length;
    }

    /// <summary>Fills in the checksum of a header that was written.</summary>
    public static void SetChecksum(Span<byte> header, ushort checksum) => Big.Put(header, ChecksumAt, checksum);
}
