using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Local;

/// <summary>
/// How a producer tells a waiting thread or epoll set of another stack that something happened. While the owner runs it
/// looks at its connections itself and nobody posts anything; before it sleeps it sets Sleeping, and the next producer
/// that sees this posts the connection's bit and sends one datagram to the abstract unix socket named here. Bits of
/// armed connections (those the owner does not look at) are posted always.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 8704)]
public unsafe struct Doorbell
{
    public const int MaxSources = 65536 + 1024;
    public const int Words = MaxSources / 64;
    public const int SummaryWords = 17;

    [FieldOffset(0)] public uint Next;
    [FieldOffset(4)] public uint Used;

    /// <summary>Index plus one of the owner's stack in the attachment table.</summary>
    [FieldOffset(8)] public uint Stack;

    /// <summary>Random part of the wake socket's name.</summary>
    [FieldOffset(16), Hidden] public ulong WakeName;

    /// <summary>1 while the owner sleeps, or is about to.</summary>
    [FieldOffset(64)] public uint Sleeping;

    /// <summary>Non-zero if some bit below may be set.</summary>
    [FieldOffset(68)] public uint Posted;

    /// <summary>Datagrams sent.</summary>
    [FieldOffset(72)] public ulong Rings;

    [FieldOffset(128)] public fixed ulong Summary[SummaryWords];

    /// <summary>Bit 2c+s: side s of connection c; bit 65536+l: listener l.</summary>
    [FieldOffset(320)] public fixed ulong Bits[Words];

    /// <summary>Marks a source. A full fence.</summary>
    public static void Post(Doorbell* bell, int source)
    {
        int word = source >> 6;
        Interlocked.Or(ref bell->Bits[word], 1ul << (source & 63));
        Interlocked.Or(ref bell->Summary[word >> 6], 1ul << (word & 63));
        Volatile.Write(ref bell->Posted, 1);
    }

    /// <summary>
    /// Takes all marks of one word of 64 sources, if there is a word with marks. Returns false when none is left.
    /// </summary>
    public static bool TakeWord(Doorbell* bell, out int firstSource, out ulong bits)
    {
        for (int s = 0; s < SummaryWords; s++)
        {
            ulong summary = Volatile.Read(ref bell->Summary[s]);
            if (summary == 0)
                continue;
            int bit = System.Numerics.BitOperations.TrailingZeroCount(summary);
            Interlocked.And(ref bell->Summary[s], ~(1ul << bit));
            int word = s * 64 + bit;
            if (word >= Words)
                continue;
            firstSource = word << 6;
            bits = Interlocked.Exchange(ref bell->Bits[word], 0);
            return true;
        }
        firstSource = 0;
        bits = 0;
        return false;
    }
}
