using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Os.Links;

/// <summary>
/// The first bytes of the memory that frames of one queue lie in, shared by all stacks on that queue: who has which
/// frame, and the frames that nobody has. A byte per frame and the list of free frames follow, then the frames.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 192)]
public struct UmemHeader
{
    /// <summary>"ACCELUME" read as a little-endian integer.</summary>
    public const ulong ExpectedMagic = 0x454D554C45434341;

    [FieldOffset(0)] public ulong Magic;
    [FieldOffset(8)] public ulong LayoutHash;
    [FieldOffset(16)] public ulong SizeBytes;
    [FieldOffset(24)] public int InterfaceIndex;
    [FieldOffset(28)] public uint Queue;
    [FieldOffset(32)] public uint Frames;
    [FieldOffset(36)] public uint FrameBytes;
    [FieldOffset(40)] public uint FillRingSize;
    [FieldOffset(44)] public uint CompletionRingSize;

    // Line 1: the lock and what it protects, together with the producer of the fill ring and the consumer of the
    // completion ring.

    /// <summary>A <see cref="SharedLock"/>.</summary>
    [FieldOffset(64)] public int Lock;
    [FieldOffset(68)] public uint FreeCount;

    /// <summary>Entries of the fill ring that are being published: a holder that dies has its work finished.</summary>
    [FieldOffset(72)] public uint FillAnnounced;
    [FieldOffset(76)] public uint FillFrom;

    // Line 2: for the tools.

    /// <summary>Times that the lock was taken over from a dead holder.</summary>
    [FieldOffset(128)] public uint Takeovers;

    /// <summary>Frames taken back from stacks that died.</summary>
    [FieldOffset(132)] public uint Reclaimed;

    /// <summary>The fewest free frames there ever were.</summary>
    [FieldOffset(136)] public uint LowestFree;
}
