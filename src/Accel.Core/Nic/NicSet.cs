using System.Numerics;
using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Nic;

/// <summary>
/// A set of numbers below 65536 in shared memory, in three levels of bits. Anybody may add without a lock; whoever dies
/// in between has at worst added nothing. Taking is for one at a time.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 8384)]
public unsafe struct NicSet
{
    public const int Capacity = 65536;
    private const int Words = Capacity / 64, Summaries = Words / 64;

    /// <summary>Non-zero if the set may hold something: a bit per summary.</summary>
    [FieldOffset(0)] public ulong Top;
    [FieldOffset(64)] public fixed ulong Summary[Summaries];
    [FieldOffset(192)] public fixed ulong Bits[Words];

    public static bool IsEmpty(NicSet* set) => Volatile.Read(ref set->Top) == 0;

    /// <summary>A full fence: what was written before is seen by whoever takes the number.</summary>
    public static void Add(NicSet* set, int number)
    {
        int word = number >> 6;
        ulong bit = 1ul << (number & 63);
        // From the bottom up, so that a way down that was seen leads to a bit, or to one that was taken meanwhile.
        Interlocked.Or(ref set->Bits[word], bit);
        Interlocked.Or(ref set->Summary[word >> 6], 1ul << (word & 63));
        Interlocked.Or(ref set->Top, 1ul << (word >> 6));
    }

    /// <summary>Takes 64 numbers' bits, if any is set.</summary>
    public static bool TakeWord(NicSet* set, out int first, out ulong bits)
    {
        while (true)
        {
            ulong top = Volatile.Read(ref set->Top);
            if (top == 0)
            {
                first = 0;
                bits = 0;
                return false;
            }
            int s = BitOperations.TrailingZeroCount(top);
            ulong summary = s < Summaries ? Volatile.Read(ref set->Summary[s]) : 0;
            if (summary == 0)
            {
                Interlocked.And(ref set->Top, ~(1ul << s));
                // Between the look and this somebody may have added, and found the bit still set.
                if (s < Summaries && Volatile.Read(ref set->Summary[s]) != 0)
                    Interlocked.Or(ref set->Top, 1ul << s);
                continue;
            }
            int w = BitOperations.TrailingZeroCount(summary);
            Interlocked.And(ref set->Summary[s], ~(1ul << w));
            first = s * 4096 + w * 64;
            bits = Interlocked.Exchange(ref set->Bits[first >> 6], 0);
            if (bits != 0)
                return true;
        }
    }
}
