using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Accel.Wire;

/// <summary>
/// The Internet checksum (RFC 1071). A <em>sum</em> is a running one's complement sum, opaque, with any count of bytes
/// behind it; start with 0 or a pseudo header's. A <em>checksum</em> is a field's number in host order.
/// </summary>
public static partial class Checksum
{
    /// <summary>
    /// Adds bytes. <paramref name="at"/> is where they stand in what is summed: only whether that is odd counts, as
    /// after a run of odd length.
    /// </summary>
    public static uint Add(ReadOnlySpan<byte> bytes, uint sum, int at = 0)
    {
        // A byte that moves by one place moves between the two halves of a word: 256 times its weight, modulo 2^32 - 1.
        if ((at & 1) != 0)
            return BitOperations.RotateLeft(Add(bytes, BitOperations.RotateRight(sum, 8)), 8);
        ref var first = ref MemoryMarshal.GetReference(bytes);
        return Run(ref first, ref first, bytes.Length, sum, copy: false);
    }

    /// <summary>
    /// Copies bytes and adds them in the same pass. The target must be as long and must not overlap; of a shorter one
    /// only as much as it holds is copied and added.
    /// </summary>
    public static uint CopyAndAdd(ReadOnlySpan<byte> from, Span<byte> to, uint sum, int at = 0)
    {
        if ((at & 1) != 0)
            return BitOperations.RotateLeft(CopyAndAdd(from, to, BitOperations.RotateRight(sum, 8)), 8);
        return Run(ref MemoryMarshal.GetReference(from), ref MemoryMarshal.GetReference(to),
            Math.Min(from.Length, to.Length), sum, copy: true);
    }

    /// <summary>Adds a 16-bit field, given in host order.</summary>
    public static uint AddWord(uint sum, ushort value) => AddRaw(sum, BinaryPrimitives.ReverseEndianness(value));

    /// <summary>Adds three.</summary>
    public static uint AddWords(uint sum, ushort a, ushort b, ushort c) =>
        AddRaw(sum, BinaryPrimitives.ReverseEndianness((uint)a + b + c));

    /// <summary>Joins two sums: of <paramref name="firstLength"/> bytes and of what follows them.</summary>
    public static uint Join(uint first, int firstLength, uint second) =>
        AddRaw(first, (firstLength & 1) != 0 ? BitOperations.RotateLeft(second, 8) : second);

    /// <summary>The checksum: the sum's complement, to be written in network order.</summary>
    public static ushort Fold(uint sum) => (ushort)~Partial(sum);

    /// <summary>RFC 768: a UDP checksum of zero is sent as all ones, since zero means that there is none.</summary>
    public static ushort FoldUdp(uint sum) => Fold(sum) is var checksum and not 0 ? checksum : ushort.MaxValue;

    /// <summary>
    /// The sum folded but not complemented: of the pseudo header alone, it is what a checksum field holds that a device
    /// is to finish.
    /// </summary>
    public static ushort Partial(uint sum)
    {
        sum = (sum & 0xFFFF) + (sum >> 16);
        sum = (sum & 0xFFFF) + (sum >> 16);
        return BinaryPrimitives.ReverseEndianness((ushort)sum);
    }

    /// <summary>True if the sum over everything, the checksum's field included, says that nothing changed.</summary>
    public static bool IsRight(uint sum) => Fold(sum) == 0;

    /// <summary>RFC 9293 3.1, RFC 768: the sum of IPv4's pseudo header. Addresses as they lie in memory.</summary>
    public static uint PseudoV4(uint source, uint destination, IpProtocol protocol, int length) =>
        AddLength(AddRaw(source, destination), protocol, length);

    /// <summary>RFC 8200 8.1: the sum of IPv6's pseudo header.</summary>
    public static uint PseudoV6(
        ReadOnlySpan<byte> source, ReadOnlySpan<byte> destination, IpProtocol protocol, int length) =>
        AddLength(Add(destination, Add(source, 0)), protocol, length);

    /// <summary>The same with addresses as values.</summary>
    public static uint PseudoV6(in Ipv6Address source, in Ipv6Address destination, IpProtocol protocol, int length)
    {
        var sum = Halves(source.Low) + Halves(source.High) + Halves(destination.Low) + Halves(destination.High);
        return AddLength(Narrow(sum), protocol, length);
    }

    /// <summary>RFC 1624 3: the checksum after a 16-bit field has changed.</summary>
    public static ushort Update(ushort checksum, ushort was, ushort now)
    {
        var sum = (uint)(ushort)~checksum + (ushort)~was + now;
        sum = (sum & 0xFFFF) + (sum >> 16);
        sum = (sum & 0xFFFF) + (sum >> 16);
        return (ushort)~sum;
    }

    /// <summary>The same for a 32-bit field at an even place, given in host order.</summary>
    public static ushort Update(ushort checksum, uint was, uint now) =>
        Update(Update(checksum, (ushort)(was >> 16), (ushort)(now >> 16)), (ushort)was, (ushort)now);

    private static uint AddLength(uint sum, IpProtocol protocol, int length) =>
        AddRaw(AddRaw(sum, BinaryPrimitives.ReverseEndianness((uint)length)),
            BinaryPrimitives.ReverseEndianness((uint)protocol));

    private static uint AddRaw(uint a, uint b) => Narrow((ulong)a + b);

    // End-around carry: a sum modulo 2^32 - 1 is right modulo 2^16 - 1 too, since the one divides the other.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Narrow(ulong sum)
    {
        sum = (uint)sum + (sum >> 32);
        return (uint)sum + (uint)(sum >> 32);
    }

    private static ulong Halves(ulong word) => (uint)word + (word >> 32);
}
