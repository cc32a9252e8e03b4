using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Memory;

namespace Accel.Core.Ip;

/// <summary>
/// An address as a number of 128 bits, the first bit of it the highest one, so that prefixes sort and mask as numbers.
/// IPv4 uses the highest 32 bits.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 16)]
public struct Prefix
{
    [FieldOffset(0)] public ulong High;
    [FieldOffset(8)] public ulong Low;

    public static Prefix Of(in Endpoint endpoint) => Of(endpoint.Family, endpoint.AddressLow, endpoint.AddressHigh);

    /// <summary>From the halves of an <see cref="Endpoint"/>, which are in the order of memory.</summary>
    public static Prefix Of(byte family, ulong addressLow, ulong addressHigh) => new()
    {
        High = BinaryPrimitives.ReverseEndianness(family == Endpoint.V4 ? (uint)addressLow : addressLow),
        Low = family == Endpoint.V4 ? 0 : BinaryPrimitives.ReverseEndianness(addressHigh),
    };

    /// <summary>The first bits of it, the rest zero.</summary>
    public readonly Prefix First(int bits) => new()
    {
        High = High & Mask(bits),
        Low = Low & Mask(bits - 64),
    };

    /// <summary>How many of the first bits are the same.</summary>
    public readonly int SameBits(in Prefix other) => High != other.High
        ? System.Numerics.BitOperations.LeadingZeroCount(High ^ other.High)
        : 64 + System.Numerics.BitOperations.LeadingZeroCount(Low ^ other.Low);

    public readonly bool StartsLike(in Prefix other, int bits) => SameBits(other) >= bits;

    /// <summary>Below zero if this one comes first.</summary>
    public readonly int Order(in Prefix other) => High != other.High
        ? High < other.High ? -1 : 1
        : Low < other.Low ? -1 : Low > other.Low ? 1 : 0;

    private static ulong Mask(int bits) => bits <= 0 ? 0 : bits >= 64 ? ulong.MaxValue : ~(ulong.MaxValue >> bits);
}
