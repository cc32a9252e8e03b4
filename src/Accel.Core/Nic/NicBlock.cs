using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Nic;

/// <summary>What a block is used for.</summary>
public enum NicUse : uint
{
    Free = 0,

    /// <summary>The handshake that a peer began is not complete: there are no streams yet.</summary>
    HalfOpen = 1,

    /// <summary>A connection with its streams, or one that its program has no part in any more.</summary>
    Live = 2,

    /// <summary>RFC 9293 3.3.2 TIME-WAIT: the name is kept, the streams are not.</summary>
    TimeWait = 3,

    /// <summary>On its way to the kernel: nothing is sent, and what arrives is lost as on the wire.</summary>
    Frozen = 4,

    /// <summary>The kernel has it. Segments that were on their way here go unanswered.</summary>
    HandedOver = 5,
}

/// <summary>What the engine has done, or has still to do, for a block.</summary>
[Flags]
public enum NicBlockFlags : uint
{
    None = 0,

    /// <summary>In the list of this round: it will be looked at when all that has arrived is taken in.</summary>
    Pending = 1,

    /// <summary>The program has something to see.</summary>
    NotifyDue = 2,

    /// <summary>The TCP machine knows that the program has closed.</summary>
    Detached = 4,

    /// <summary>The next hop's hardware address is known.</summary>
    HasMac = 8,

    /// <summary>An emission waits for a buffer of the link: <see cref="NicBlock.Held"/>.</summary>
    Holds = 16,

    /// <summary>Counted in its listener's half-open connections.</summary>
    Counted = 32,

    /// <summary>In the hash table.</summary>
    Linked = 64,

    /// <summary>With <see cref="Pending"/>: there may be something to send, or to do for the program.</summary>
    ServiceDue = 128,
}

/// <summary>The names of a connection's ends and all else that is written before a TCP header.</summary>
[StructLayout(LayoutKind.Explicit, Size = 72)]
public struct NicRoute
{
    /// <summary>Plain addresses: never v4-mapped, without a scope.</summary>
    [FieldOffset(0)] public Endpoint Local;
    [FieldOffset(24)] public Endpoint Remote;

    /// <summary>The next hop's.</summary>
    [FieldOffset(48)] public MacAddress Mac;

    /// <summary>VLAN tag control information plus 0x10000; 0: untagged.</summary>
    [FieldOffset(56)] public uint Vlan;
    [FieldOffset(60), Hidden] public ushort Identification;
    [FieldOffset(62)] public byte Ttl;

    /// <summary>Without the two bits of ECN.</summary>
    [FieldOffset(63)] public byte Tos;

    /// <summary>RFC 6437.</summary>
    [FieldOffset(64), Hidden] public uint FlowLabel;

    /// <summary>Index of the link.</summary>
    [FieldOffset(68)] public byte Link;
}

/// <summary>
/// One connection as the engine keeps it: its names, its way out, its streams, its timer, and TCP's own block.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 1728)]
public struct NicBlock
{
    /// <summary>Link in the list of free blocks.</summary>
    [FieldOffset(0)] public uint Next;

    /// <summary>Index plus one of the next in the bucket.</summary>
    [FieldOffset(4)] public uint HashNext;
    [FieldOffset(8)] public NicUse Use;
    [FieldOffset(12)] public NicBlockFlags Flags;
    [FieldOffset(16)] public NicRoute Route;
    [FieldOffset(88), Hidden] public uint Hash;

    /// <summary>Index plus one of the connection in the stack's own local region; 0: none.</summary>
    [FieldOffset(92)] public uint Conn;

    /// <summary>Generation of the connection's slot when it became this block's.</summary>
    [FieldOffset(96)] public uint ConnGeneration;

    /// <summary>The engine's side of it.</summary>
    [FieldOffset(100)] public uint Side;

    /// <summary>Index plus one of the listener that it came to.</summary>
    [FieldOffset(104)] public uint Listener;
    [FieldOffset(108)] public uint ListenerGeneration;

    /// <summary>In ticks of the wheel: no later than TCP's deadline, but perhaps sooner.</summary>
    [FieldOffset(112)] public TimerNode Timer;

    /// <summary>Version of the tables that the way out was looked up in.</summary>
    [FieldOffset(136)] public uint TablesVersion;
    [FieldOffset(140)] public int InterfaceIndex;

    /// <summary>Port 0. Family none: the way back to where the frames come from.</summary>
    [FieldOffset(144)] public Endpoint NextHop;

    /// <summary>Since when the next hop is asked for in vain, and when it is asked for again.</summary>
    [FieldOffset(168)] public long ResolveSince;
    [FieldOffset(176)] public long ResolveAgainAt;
    [FieldOffset(184)] public NicSettings Settings;

    /// <summary>With <see cref="NicBlockFlags.Holds"/>.</summary>
    [FieldOffset(224), Hidden] public TcpEmit Held;
    [FieldOffset(320)] public Tcb Tcb;
    [FieldOffset(1472), Hidden] public NicHeaders Headers;

    public readonly bool Is(NicBlockFlags flags) => (Flags & flags) == flags;

    /// <summary>No segment, timer or call of its program moves it.</summary>
    public readonly bool IsStill => Use >= NicUse.Frozen;
}
