namespace Accel.Wire;

/// <summary>A UDP header to be written.</summary>
public struct UdpHeader
{
    public const int Length = 8, ChecksumAt = 6;

    public ushort SourcePort;
    public ushort DestinationPort;
    public int PayloadLength;

    /// <summary>0 until the payload is summed up: see <see cref="Checksum.FoldUdp"/>.</summary>
    public ushort Checksum;

    /// <summary>Returns the bytes written: <see cref="Length"/>, or 0 if there is no room.</summary>
    public readonly int WriteTo(Span<byte> to)
    {
        if (to.Length < Length)
            return 0;
        Big.Put(to, 0, SourcePort);
        Big.Put(to, 2, DestinationPort);
        Big.Put(to, 4, (ushort)(Length + PayloadLength));
        Big.Put(to, ChecksumAt, Checksum);
        return Length;
    }

    /// <summary>Fills in the checksum of a header that was written.</summary>
    public static void SetChecksum(Span<byte> header, ushort checksum) => Big.Put(header, ChecksumAt, checksum);
}
