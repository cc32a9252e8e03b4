using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Memory;

namespace Accel.Core.Stack;

/// <summary>Life of a socket as the program sees it.</summary>
public enum SocketState : uint
{
    Free = 0,

    /// <summary>Neither connected nor listening.</summary>
    Unconnected = 1,
    Listening = 2,

    /// <summary>connect() is under way: the listener's accept queue is full.</summary>
    Connecting = 3,
    Connected = 4,

    /// <summary>On the kernel path for good.</summary>
    Kernel = 5,

    /// <summary>A UDP socket, whatever it is bound or connected to.</summary>
    Datagram = 6,
}

/// <summary>Bits of <see cref="Socket.Flags"/>.</summary>
[Flags]
public enum SocketFlags : uint
{
    None = 0,
    NonBlocking = 1,

    /// <summary>
    /// connect() has returned EINPROGRESS and its success has not been reported by a second connect() yet.
    /// </summary>
    ConnectUnreported = 2,

    /// <summary>
    /// Has its own kernel socket, which answers options that we do not keep (an accepted one has a placeholder).
    /// </summary>
    OwnsKernelSocket = 4,

    /// <summary>More than one descriptor of one process refers to it.</summary>
    Duplicated = 8,
    SendBufferSet = 16,
    ReceiveBufferSet = 32,
    Asynchronous = 64,

    /// <summary>
    /// The socket that connect() or a listener left reset: EPIPE for writers, end-of-file for readers.
    /// </summary>
    Dead = 128,

    /// <summary>O_APPEND, which means nothing on a socket but is given back.</summary>
    Append = 256,

    /// <summary>
    /// An option was set that TCP over a network interface heeds and that the kernel's socket keeps.
    /// </summary>
    NicTuned = 512,

    /// <summary>UDP, also after it went to the kernel.</summary>
    Datagram = 1024,

    /// <summary>shutdown() of a UDP socket.</summary>
    ReceiveShut = 2048,
    SendShut = 4096,

    /// <summary>An option was set that only the kernel follows when it sends.</summary>
    KernelSends = 8192,

    /// <summary>Counted in <see cref="StackTables.LocalSockets"/>.</summary>
    OnLocalPath = 16384,
    /// <summary>The kernel holds the beginning of a datagram, sent with MSG_MORE: the rest has to follow it.</summary>
    Corked = 32768,

    /// <summary>The error queue has something: see <see cref="Socket.ZeroCopySends"/>.</summary>
    HasNotices = 65536,
}

/// <summary>
/// A socket: what POSIX knows of it. The bytes in flight and the peer's view are in the <see cref="Conn"/>.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 512)]
public unsafe struct Socket
{
    public const int MaxOptions = 48;

    // Line 0: every call.
    /// <summary>Link in the free list.</summary>
    [FieldOffset(0)] public uint Next;
    [FieldOffset(4)] public uint State;
    [FieldOffset(8)] public uint Flags;

    /// <summary>
    /// Index plus one of the region that holds the connection or listener, in the stack's region table.
    /// </summary>
    [FieldOffset(12)] public uint Region;

    /// <summary>Index of the connection (Connected) or listener (Listening).</summary>
    [FieldOffset(16)] public uint Index;

    /// <summary>Which side of the connection this is.</summary>
    [FieldOffset(20)] public uint Side;
    [FieldOffset(24)] public int SendLock;
    [FieldOffset(28)] public int ReceiveLock;

    /// <summary>Descriptors in all processes, plus calls that sleep on the socket.</summary>
    [FieldOffset(32)] public int References;

    /// <summary>Index plus one of the first epoll item that watches it.</summary>
    [FieldOffset(36)] public uint Items;

    /// <summary>SO_ERROR.</summary>
    [FieldOffset(40)] public int Error;

    /// <summary>Times that room came back after the ring had been full: an edge for EPOLLOUT.</summary>
    [FieldOffset(44)] public uint SpaceEvents;
    [FieldOffset(48)] public uint Generation;
    [FieldOffset(52)] public byte Family;
    [FieldOffset(53)] public byte Reason;

    /// <summary>Descriptor that the socket was made with, in the process that made it.</summary>
    [FieldOffset(56)] public int FirstDescriptor;
    [FieldOffset(60)] public uint LowWater;

    // Line 1.
    [FieldOffset(64)] public long ReceiveTimeoutNs;
    [FieldOffset(72)] public long SendTimeoutNs;
    [FieldOffset(80)] public int LingerOn;
    [FieldOffset(84)] public int LingerSeconds;
    [FieldOffset(88)] public long CreatedNs;
    [FieldOffset(96)] public int ListLock;

    /// <summary>Generation of the connection's slot when it became this socket's.</summary>
    [FieldOffset(100)] public uint ConnGeneration;
    [FieldOffset(104)] public ulong OptionsSet;

    /// <summary>
    /// Receives since the last send: a one-way stream is looked at less often, so that the sender gets ahead.
    /// </summary>
    [FieldOffset(120)] public uint OneWay;

    /// <summary>Index plus one of the listening socket that accepted it.</summary>
    [FieldOffset(124)] public uint Parent;

    /// <summary>Stream position up to which urgent data was taken.</summary>
    [FieldOffset(112)] public ulong UrgentTaken;

    [FieldOffset(128)] public Endpoint Local;
    [FieldOffset(152)] public Endpoint Remote;

    /// <summary>Values of options that are kept here, by row of the option table.</summary>
    [FieldOffset(192)] public fixed int Options[MaxOptions];

    /// <summary>The kernel's cookie of the file by which it was last sent to another process; 0: never.</summary>
    [FieldOffset(384), Hidden] public ulong PassedCookie;

    /// <summary>Messages on their way that it is in. Each holds a reference.</summary>
    [FieldOffset(392)] public int InFlight;

    /// <summary>
    /// Given to the kernel while it was connected: the process that did it, and a descriptor of its own there, for
    /// those of the family that still have the old one.
    /// </summary>
    [FieldOffset(396)] public int HandoverPid;
    [FieldOffset(400)] public int HandoverDescriptor;

    /// <summary>The kernel's cookie of the file that it was exchanged for then.</summary>
    [FieldOffset(408), Hidden] public ulong HandoverCookie;

    /// <summary>Sends with MSG_ZEROCOPY, and up to which the program has been told of them.</summary>
    [FieldOffset(416)] public uint ZeroCopySends;
    [FieldOffset(420)] public uint ZeroCopyTold;

    public readonly bool Is(SocketFlags flag) => (Flags & (uint)flag) != 0;
}
