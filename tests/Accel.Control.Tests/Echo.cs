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

    static void Fill(Span<byte> frame, int transport)
    {
        bool isV4 = BinaryPrimitives.ReadUInt16BigEndian(frame[12..]) == 0x0800;
        int protocol = isV4 ? frame[23] : frame[20];
        int end = isV4 ? 14 + BinaryPrimitives.ReadUInt16BigEndian(frame[16..])
            : 54 + BinaryPrimitives.ReadUInt16BigEndian(frame[18..]);
        Span<byte> sum = frame.Slice(transport + (protocol == 17 ? 6 : 16), 2);
        sum.Clear();
        long total = protocol + (end - transport);
        foreach (var part in new[] { isV4 ? 26..34 : 22..54, transport..end })
            for (int at = part.Start.Value; at < part.End.Value; at += 2)
                total += frame[at] << 8 | (at + 1 < part.End.Value ? frame[at + 1] : 0);
        while (total > 0xFFFF)
            total = (total & 0xFFFF) + (total >> 16);
        BinaryPrimitives.WriteUInt16BigEndian(sum, (ushort)~total);
    }

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
