using System.Runtime.InteropServices;

namespace Accel.Wire;

/// <summary>An IPv4 header without options to be written; its checksum is computed.</summary>
public struct Ipv4Header
{
    public const int Length = 20;

    public byte Tos;

    /// <summary>At most 65515.</summary>
    public int PayloadLength;
    public ushort Identification;
    public bool DontFragment;
    public bool MoreFragments;

    /// <summary>In bytes, a multiple of 8.</summary>
    public int FragmentOffset;
    public byte Ttl;
    public IpProtocol Protocol;

    /// <summary>Network byte order: as it lies in memory.</summary>
    public uint Source;
    public uint Destination;

    /// <summary>Returns the bytes written: <see cref="Length"/>, or 0 if there is no room.</summary>
    public readonly int WriteTo(Span<byte> to)
    {
        if (to.Length < Length)
            return 0;
        to[0] = 4 << 4 | Length / 4;
        to[1] = Tos;
        Big.Put(to, 2, (ushort)(Length + PayloadLength));
        Big.Put(to, 4, Identification);
        Big.Put(to, 6, (ushort)((DontFragment ? 0x4000 : 0) | (MoreFragments ? 0x2000 : 0) | FragmentOffset / 8));
        to[8] = Ttl;
        to[9] = (byte)Protocol;
        Big.Put(to, 10, (ushort)0);
        MemoryMarshal.Write(to[12..], in Source);
        MemoryMarshal.Write(to[16..], in Destination);
        Big.Put(to, 10, Checksum.Fold(Checksum.Add(to[..Length], 0)));
        return Length;
    }

    /// <summary>
    /// What <see cref="Adapt"/> needs to know of a header that was written: its sum without the fields that differ from
    /// one packet of a flow to the next.
    /// </summary>
    public static uint ConstantSum(ReadOnlySpan<byte> header) => Checksum.Add(header[..2],
        Checksum.Add(header[6..10], Checksum.Add(header[12..Length], 0)));

    /// <summary>
    /// Makes a copy of a header that was written without ECN the one of another packet: its length, its number
    /// (RFC 6864), its ECN field, and the checksum that follows from them (RFC 1624).
    /// </summary>
    public static void Adapt(Span<byte> header, uint constantSum, int payloadLength, ushort identification, byte ecn)
    {
        header = header[..Length];
        var total = (ushort)(Length + payloadLength);
        header[1] |= ecn;
        Big.Put(header, 2, total);
        Big.Put(header, 4, identification);
        Big.Put(header, 10, Checksum.Fold(Checksum.AddWords(constantSum, total, identification, ecn)));
    }
}
