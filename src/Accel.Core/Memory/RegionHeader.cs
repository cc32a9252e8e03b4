using System.Runtime.InteropServices;

namespace Accel.Core.Memory;

/// <summary>What a region holds.</summary>
public enum RegionKind : uint
{
    /// <summary>The state of one stack: sockets, epoll sets, descriptor tables, counters, options.</summary>
    Stack = 1,

    /// <summary>
    /// What a stack shares with its neighbours: listeners, local connections, their bytes, doorbells.
    /// </summary>
    Local = 2,

    /// <summary>The state of a stack's network path: TCP blocks, demultiplexing, timers, links.</summary>
    Nic = 3,

    /// <summary>The control plane's mirror of the kernel's links, addresses, rules, routes and neighbours.</summary>
    NetTables = 4,
}

/// <summary>The first bytes of every shared region: says what it is, so that nobody maps the wrong thing.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 128)]
public struct RegionHeader
{
    /// <summary>"ACCELREG" read as a little-endian integer.</summary>
    public const ulong ExpectedMagic = 0x4745524C45434341;

    /// <summary>Raised when the meaning of a field changes without its offset changing.</summary>
    public const uint CurrentVersion = 1;

    [FieldOffset(0)] public ulong Magic;
    [FieldOffset(8)] public uint Version;
    [FieldOffset(12)] public RegionKind Kind;

    /// <summary>Hash of every shared struct's offsets: two builds with different layouts refuse each other.</summary>
    [FieldOffset(16)] public ulong LayoutHash;
    [FieldOffset(24)] public ulong SizeBytes;

    /// <summary>Random identity of the region; a stack region's is the identity of its stack.</summary>
    [FieldOffset(32)] public ulong Id;

    /// <summary>Identity of the stack that made this region.</summary>
    [FieldOffset(40)] public ulong StackId;
    [FieldOffset(48)] public int OwnerPid;
    [FieldOffset(52)] public uint OwnerUid;

    /// <summary>CLOCK_REALTIME nanoseconds.</summary>
    [FieldOffset(56)] public long CreatedNs;

    /// <summary>Local region: number of connection slots; stack region: number of socket slots.</summary>
    [FieldOffset(64)] public uint Slots;

    /// <summary>
    /// Local region: producers must fence on every send, since some attached process has no membarrier().
    /// </summary>
    [FieldOffset(68)] public uint FenceAlways;

    /// <summary>Why this header is not one that this build can use, or null if it is.</summary>
    [ColdPath]
    public static string? Refusal(in RegionHeader header, RegionKind kind, ulong layoutHash) =>
        header.Magic != ExpectedMagic ? "not an Accel region"
        : header.Version != CurrentVersion ? $"region version {header.Version}, this build reads {CurrentVersion}"
        : header.LayoutHash != layoutHash ? $"layout {header.LayoutHash:x16}, this build has {layoutHash:x16}"
        : header.Kind != kind ? $"region of kind {header.Kind}, expected {kind}"
        : null;
}
