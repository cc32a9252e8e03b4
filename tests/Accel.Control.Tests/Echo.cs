using System.Buffers.Binary;

namespace Accel.Control.Tests;

/// <summary>Turns a frame round: what came goes back to where it came from.</summary>
static class Echo
{
    /// <summary>
    /// Exchanges addresses and ports, and fills in the transport's sum, which a peer on the same host leaves out.
    /// </summary>
    public static void Turn(Span<byte> frame)
    {
        Exchange(frame[..6], frame[6..12]);
        int transport;
        if (BinaryPrimitives.ReadUInt16BigEndian(frame[12..]) == 0x0800)
        {
            Exchange(frame[26..30], frame[30..34]);
            transport = 14 + (frame[14] & 15) * 4;
        }
        else
        {
            Exchange(frame[22..38], frame[38..54]);
            transport = 54;
        }
        Exchange(frame[transport..(transport + 2)], frame[(transport + 2)..(transport + 4)]);
        Fill(frame, transport);
    }

    /// <summary>Writes the transport's sum.</summary>
    public static void Fill(Span<byte> frame, int transport)
    {
        int end = IsV4(frame) ? 14 + BinaryPrimitives.ReadUInt16BigEndian(frame[16..])
            : 54 + BinaryPrimitives.ReadUInt16BigEndian(frame[18..]);
        Begin(frame, transport, end - transport);
        Span<byte> sum = Field(frame, transport);
        BinaryPrimitives.WriteUInt16BigEndian(sum, (ushort)~Sum(frame[transport..end], 0));
    }

    /// <summary>Writes the sum of the pseudo header alone, as for a device that does the rest.</summary>
    public static void Begin(Span<byte> frame, int transport, int length)
    {
        var pseudo = Sum(IsV4(frame) ? frame[26..34] : frame[22..54], (IsV4(frame) ? frame[23] : frame[20]) + length);
        BinaryPrimitives.WriteUInt16BigEndian(Field(frame, transport), pseudo);
    }

    public static ushort Sum(ReadOnlySpan<byte> bytes, long total)
    {
        for (int at = 0; at < bytes.Length; at += 2)
            total += bytes[at] << 8 | (at + 1 < bytes.Length ? bytes[at + 1] : 0);
        while (total > 0xFFFF)
            total = (total & 0xFFFF) + (total >> 16);
        return (ushort)total;
    }

    static bool IsV4(ReadOnlySpan<byte> frame) => BinaryPrimitives.ReadUInt16BigEndian(frame[12..]) == 0x0800;

    static Span<byte> Field(Span<byte> frame, int transport) =>
        frame.Slice(transport + ((IsV4(frame) ? frame[23] : frame[20]) == 17 ? 6 : 16), 2);

    /// <summary>Offset of the TCP or UDP header.</summary>
    public static int Transport(ReadOnlySpan<byte> frame) =>
        BinaryPrimitives.ReadUInt16BigEndian(frame[12..]) == 0x0800 ? 14 + (frame[14] & 15) * 4 : 54;

    static void Exchange(Span<byte> a, Span<byte> b)
    {
        Span<byte> kept = stackalloc byte[a.Length];
        a.CopyTo(kept);
        b.CopyTo(a);
        kept.CopyTo(b);
    }
}
