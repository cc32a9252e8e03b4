using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Accel.Wire;

// The loops. Words are added as memory holds them (RFC 1071 2.B: the byte order does not matter but for a swap at the
// end), 32 bits at a time into 64-bit lanes, which no length that fits an int can overflow. For little-endian machines.
public static partial class Checksum
{
    /// <summary>The widest registers that a run uses, in bytes.</summary>
    internal static int Width => Avx2.IsSupported ? 32 : Vector128.IsHardwareAccelerated ? 16 : 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Run(ref byte from, ref byte to, int length, uint sum, bool copy) =>
        Run(ref from, ref to, length, sum, copy, Width);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static uint Run(ref byte from, ref byte to, int length, uint sum, bool copy, int width)
    {
        ulong total = sum;
        nuint at = 0;
        var end = (nuint)(uint)length;
        if (width >= 32 && end >= 64)
            total += Wide256(ref from, ref to, ref at, end, copy);
        if (width >= 16 && end - at >= 32)
            total += Wide128(ref from, ref to, ref at, end, copy);
        return Narrow(total + Tail(ref from, ref to, at, end, copy));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Wide256(ref byte from, ref byte to, ref nuint at, nuint end, bool copy)
    {
        var mask = Vector256.Create((ulong)uint.MaxValue);
        Vector256<ulong> sum0 = default, sum1 = default, sum2 = default, sum3 = default;
        for (; end - at >= 64; at += 64)
        {
            var a = Vector256.LoadUnsafe(ref from, at);
            var b = Vector256.LoadUnsafe(ref from, at + 32);
            if (copy)
            {
                a.StoreUnsafe(ref to, at);
                b.StoreUnsafe(ref to, at + 32);
            }
            sum0 += a.AsUInt64() & mask;
            sum1 += a.AsUInt64() >>> 32;
            sum2 += b.AsUInt64() & mask;
            sum3 += b.AsUInt64() >>> 32;
        }
        return Vector256.Sum(sum0 + sum1 + sum2 + sum3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Wide128(ref byte from, ref byte to, ref nuint at, nuint end, bool copy)
    {
        var mask = Vector128.Create((ulong)uint.MaxValue);
        Vector128<ulong> sum0 = default, sum1 = default, sum2 = default, sum3 = default;
        for (; end - at >= 32; at += 32)
        {
            var a = Vector128.LoadUnsafe(ref from, at);
            var b = Vector128.LoadUnsafe(ref from, at + 16);
            if (copy)
            {
                a.StoreUnsafe(ref to, at);
                b.StoreUnsafe(ref to, at + 16);
            }
            sum0 += a.AsUInt64() & mask;
            sum1 += a.AsUInt64() >>> 32;
            sum2 += b.AsUInt64() & mask;
            sum3 += b.AsUInt64() >>> 32;
        }
        return Vector128.Sum(sum0 + sum1 + sum2 + sum3);
    }

    // What is left, or everything on a machine without vectors: eight bytes at a time, then the last seven.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Tail(ref byte from, ref byte to, nuint at, nuint end, bool copy)
    {
        ulong total = 0;
        for (; end - at >= 8; at += 8)
            total += Halves(Move<ulong>(ref from, ref to, at, copy));
        if (end - at >= 4)
        {
            total += Move<uint>(ref from, ref to, at, copy);
            at += 4;
        }
        if (end - at >= 2)
        {
            total += Move<ushort>(ref from, ref to, at, copy);
            at += 2;
        }
        if (end - at >= 1)
            total += Move<byte>(ref from, ref to, at, copy);
        return total;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T Move<T>(ref byte from, ref byte to, nuint at, bool copy)
        where T : unmanaged
    {
        var word = Unsafe.ReadUnaligned<T>(ref Unsafe.Add(ref from, at));
        if (copy)
            Unsafe.WriteUnaligned(ref Unsafe.Add(ref to, at), word);
        return word;
    }
}
