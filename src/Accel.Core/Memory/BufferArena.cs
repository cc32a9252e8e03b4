using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Accel.Core.Memory;

/// <summary>Sizes of ring buffers: a connection starts small and moves to a larger ring when it fills.</summary>
public static class BufferClass
{
    public const int Count = 5, Least = 14, Most = Least + 2 * (Count - 1);

    /// <summary>
    /// Log2 of the bytes of each class, each four times the one before: 16 KiB to begin with, 256 KiB for bulk, 1 MiB
    /// for a receiver on a short path, 4 MiB for long ones and for a sender whose reader does not read.
    /// </summary>
    public static int Log2(int index) => Least + 2 * index;

    public static int OfLog2(int log2) => (log2 - Least) >> 1;

    public static bool Is(int log2) => (uint)(log2 - Least) <= Most - Least && (log2 & 1) == 0;
}

/// <summary>
/// Allocator of ring buffers in a local region: a free list per size class over one bump pointer. A released buffer
/// keeps its link in its own first word. References are offsets in 4 KiB units, so they fit 32 bits.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 128)]
public unsafe struct BufferArena
{
    public const int UnitLog2 = 12;

    /// <summary>Bytes of a huge page; larger buffers begin on such a boundary of the region's file.</summary>
    public const int HugeLog2 = 21;

    [FieldOffset(0)] public ulong FirstByte;
    [FieldOffset(8)] public ulong EndByte;
    [FieldOffset(16)] public ulong BumpByte;
    [FieldOffset(24)] public uint Refused;

    /// <summary>Per class: tag (high 32 bits) and unit of the first free buffer (low 32 bits, 0 = none).</summary>
    [FieldOffset(32)] public fixed ulong Heads[BufferClass.Count];
    [FieldOffset(72)] public fixed int InUse[BufferClass.Count];

    /// <summary>Takes a buffer of 2^log2 bytes. Returns its unit (offset / 4096) or 0 if the region is full.</summary>
    public static uint Take(BufferArena* arena, byte* region, int log2)
    {
        int size = BufferClass.OfLog2(log2);
        while (true)
        {
            ulong head = Volatile.Read(ref arena->Heads[size]);
            uint unit = (uint)head;
            if (unit == 0)
                break;
            if (!Contains(arena, unit, log2))
                return 0;
            uint next = Volatile.Read(ref *(uint*)(region + ((ulong)unit << UnitLog2)));
            if (Interlocked.CompareExchange(ref arena->Heads[size], ((head >> 32) + 1) << 32 | next, head) == head)
            {
                Interlocked.Increment(ref arena->InUse[size]);
                return unit;
            }
        }
        ulong bytes = 1ul << log2;
        // Costs address space only: what is passed over is never touched.
        ulong aligned = log2 > HugeLog2 ? (1ul << HugeLog2) - 1 : 0;
        while (true)
        {
            ulong bump = Volatile.Read(ref arena->BumpByte);
            ulong first = (bump + aligned) & ~aligned;
            if (first + bytes > arena->EndByte)
            {
                Interlocked.Increment(ref arena->Refused);
                return 0;
            }
            if (Interlocked.CompareExchange(ref arena->BumpByte, first + bytes, bump) == bump)
            {
                Interlocked.Increment(ref arena->InUse[size]);
                return (uint)(first >> UnitLog2);
            }
        }
    }

    /// <summary>Gives a buffer back.</summary>
    public static void Give(BufferArena* arena, byte* region, uint unit, int log2)
    {
        if (!Contains(arena, unit, log2))
            return;
        int size = BufferClass.OfLog2(log2);
        while (true)
        {
            ulong head = Volatile.Read(ref arena->Heads[size]);
            Volatile.Write(ref *(uint*)(region + ((ulong)unit << UnitLog2)), (uint)head);
            if (Interlocked.CompareExchange(ref arena->Heads[size], ((head >> 32) + 1) << 32 | unit, head) == head)
            {
                Interlocked.Decrement(ref arena->InUse[size]);
                return;
            }
        }
    }

    /// <summary>
    /// True if a buffer of that size at that unit lies inside the arena: a neighbour may have written nonsense.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Contains(BufferArena* arena, uint unit, int log2)
    {
        ulong first = (ulong)unit << UnitLog2;
        return BufferClass.Is(log2) && first >= arena->FirstByte && first + (1ul << log2) <= arena->EndByte;
    }
}
