namespace Accel.Wire;

/// <summary>An IPv6 header to be written.</summary>
public struct Ipv6Header
{
    public const int Length = 40;

    public byte TrafficClass;

    /// <summary>20 bits.</summary>
    public uint FlowLabel;
    public int PayloadLength;
    public IpProtocol NextHeader;
    public byte HopLimit;
    public Ipv6Address Source;
    public Ipv6Address Destination;

    /// <summary>Returns the bytes written: <see cref="Length"/>, or 0 if there is no room.</summary>
    public readonly int WriteTo(Span<byte> to)
    {
        if (to.Length < Length)
            return 0;
        Big.Put(to, 0, 6u << 28 | (uint)TrafficClass << 20 | (FlowLabel & 0xFFFFF));
        Big.Put(to, 4, (ushort)PayloadLength);
        to[6] = (byte)NextHeader;
        to[7] = HopLimit;
        Source.WriteTo(to[8..]);
        Destination.WriteTo(to[24..]);
        return Length;
    }

    /// <summary>Makes a copy of a header that was written without ECN the one of another packet.</summary>
    public static void Adapt(Span<byte> header, int payloadLength, byte ecn)
    {
        header = header[..Length];
        // The traffic class lies across the first two bytes.
        header[1] |= (byte)(ecn << 4);
        Big.Put(header, 4, (ushort)payloadLength);
    }
}
