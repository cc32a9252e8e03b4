using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Accel.Core.Memory;

/// <summary>Clears a shared struct in line: of those that every connection takes, a call would be a third.</summary>
internal static unsafe class Zeros
{
    private const int Step = 128;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Fill<T>(T* at)
        where T : unmanaged
    {
        byte* end = (byte*)at + sizeof(T) / Step * Step;
        for (byte* to = (byte*)at; to != end; to += Step)
        {
            Vector256<byte>.Zero.Store(to);
            Vector256<byte>.Zero.Store(to + 32);
            Vector256<byte>.Zero.Store(to + 64);
            Vector256<byte>.Zero.Store(to + 96);
        }
        if (sizeof(T) % Step != 0)
            Unsafe.InitBlockUnaligned(end, 0, (uint)sizeof(T) % Step);
    }
}
