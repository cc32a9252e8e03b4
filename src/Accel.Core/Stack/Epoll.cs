using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Stack;

/// <summary>A doorbell of a waker in one region.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 8)]
public struct BellLink
{
    /// <summary>Index plus one in the stack's region table; 0 = unused.</summary>
    [FieldOffset(0)] public uint Region;
    [FieldOffset(4)] public uint Bell;
}

/// <summary>
/// Something that sleeps and can be woken from other stacks: an epoll set, or a thread in poll() or recv().
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 640)]
public unsafe struct Waker
{
    public const int MaxBells = 64;

    [FieldOffset(0)] public uint Next;
    [FieldOffset(4)] public uint Used;

    /// <summary>
    /// The datagram socket that wakes arrive on (the same number in every process that inherited it).
    /// </summary>
    [FieldOffset(8)] public int Descriptor;

    /// <summary>Threads asleep on it.</summary>
    [FieldOffset(12)] public int Sleepers;
    [FieldOffset(16), Hidden] public ulong Name;
    [FieldOffset(24)] public uint BellCount;
    [FieldOffset(28)] public int Lock;

    /// <summary>
    /// Slot plus one of the process whose thread it belongs to; 0: an epoll set's, which processes may share.
    /// </summary>
    [FieldOffset(32)] public uint Owner;

    /// <summary>Index plus one of the socket of which a sleeping call of the thread holds a reference.</summary>
    [FieldOffset(36)] public uint Socket;

    /// <summary>Array of <see cref="BellLink"/>.</summary>
    [FieldOffset(64)] public fixed ulong Bells[MaxBells];

    public static BellLink* BellAt(Waker* waker, int i) => (BellLink*)waker->Bells + i;
}

/// <summary>
/// An epoll set with accelerated members. The kernel's members stay in the program's own epoll descriptor.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 4224)]
public unsafe struct EpollSet
{
    public const int MaxHot = 1024;

    [FieldOffset(0)] public uint Next;
    [FieldOffset(4)] public uint Used;
    [FieldOffset(8)] public int Lock;

    /// <summary>Descriptors in all processes.</summary>
    [FieldOffset(12)] public int References;

    /// <summary>Index of the set's waker.</summary>
    [FieldOffset(16)] public uint Waker;

    /// <summary>
    /// The library's own epoll descriptor inside the program's one: holds the waker, the hub and the kernel side of
    /// accelerated
    /// listeners. The program's descriptor reports it with <see cref="Marker"/> as data.
    /// </summary>
    [FieldOffset(20)] public int Inner;
    [FieldOffset(24), Hidden] public ulong Marker;

    /// <summary>All items: index plus one of the first.</summary>
    [FieldOffset(32)] public uint Items;
    [FieldOffset(36)] public uint ItemCount;

    /// <summary>Entries in use of Hot: the items that epoll_wait() looks at itself.</summary>
    [FieldOffset(40)] public uint HotCount;

    /// <summary>epoll_wait() calls since the set was made.</summary>
    [FieldOffset(48)] public ulong Waits;

    /// <summary>1 if our members filled the caller's array: the kernel's come first next time.</summary>
    [FieldOffset(44)] public uint Filled;

    /// <summary>Time stamp counter when the kernel's members were last asked.</summary>
    [FieldOffset(56)] public ulong LastKernelCheck;

    /// <summary>Waits at the last round of cooling.</summary>
    [FieldOffset(80)] public ulong LastCooling;

    /// <summary>The program's descriptor in the process that made the set.</summary>
    [FieldOffset(64)] public int Descriptor;
    [FieldOffset(72)] public uint NestedCount;

    /// <summary>The hub that Inner holds, plus one.</summary>
    [FieldOffset(76)] public int Hub;

    /// <summary>1 if a look for what is lost found the set in no table.</summary>
    [FieldOffset(92)] public uint Suspect;

    /// <summary>1 if the program's set holds the queues of the network interfaces.</summary>
    [FieldOffset(88)] public uint HasLinks;

    /// <summary>Items of other sets that this one is the target of.</summary>
    [FieldOffset(96)] public uint NestedIn;

    [FieldOffset(128)] public fixed uint Hot[MaxHot];
}

/// <summary>Bits of <see cref="EpollItem.Flags"/>.</summary>
[Flags]
public enum EpollItemFlags : uint
{
    None = 0,

    /// <summary>ONESHOT and already reported.</summary>
    Disabled = 1,

    /// <summary>In the set's Hot array.</summary>
    Hot = 2,

    /// <summary>The member is another epoll set, not a socket.</summary>
    Nested = 4,

    /// <summary>Reported, still true (level-triggered): goes behind those that became ready since.</summary>
    Reported = 8,
}

/// <summary>One accelerated member of an epoll set.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 128)]
public struct EpollItem
{
    [FieldOffset(0)] public uint Next;

    /// <summary>Index of the set.</summary>
    [FieldOffset(4)] public uint Set;

    /// <summary>Index of the socket, or of the nested set.</summary>
    [FieldOffset(8)] public uint Target;
    [FieldOffset(12)] public int Descriptor;
    [FieldOffset(16)] public uint Events;
    [FieldOffset(20)] public uint Flags;
    [FieldOffset(24), Hidden] public ulong Data;

    /// <summary>State of the socket when it was last reported: an edge is a difference to it.</summary>
    [FieldOffset(32)] public ulong ReportedTail;
    [FieldOffset(40)] public ulong ReportedState;

    /// <summary>Position in the event order: time stamp of when it became ready, or of the last report.</summary>
    [FieldOffset(48)] public ulong Order;

    /// <summary>epoll_wait() number when it was last found ready.</summary>
    [FieldOffset(56)] public ulong LastReady;

    /// <summary>Doubly linked list of the set's items (index plus one).</summary>
    [FieldOffset(64)] public uint SetNext;
    [FieldOffset(68)] public uint SetPrevious;

    /// <summary>Next item of the same socket (index plus one).</summary>
    [FieldOffset(72)] public uint SocketNext;

    /// <summary>Position in Hot.</summary>
    [FieldOffset(76)] public uint HotIndex;

    /// <summary>
    /// What a connection looked like when the item was last found not ready: as long as it does, nothing need be looked
    /// at again. Region number, 0 = not known; connection index and side; bytes received; flags of both sides.
    /// </summary>
    [FieldOffset(88)] public uint QuietRegion;
    [FieldOffset(92)] public uint QuietSource;
    [FieldOffset(96)] public ulong QuietTail;
    [FieldOffset(104)] public ulong QuietFlags;

    /// <summary>
    /// Bytes and state as they were just before the item was last judged: what a report may take for reported.
    /// </summary>
    [FieldOffset(112)] public ulong SeenTail;
    [FieldOffset(120)] public ulong SeenState;

    /// <summary>Reports of the kernel side (a listener's own queue) that were not passed on yet.</summary>
    [FieldOffset(84)] public uint KernelReady;

    /// <summary>Slot of the process whose descriptor it is.</summary>
    [FieldOffset(80)] public uint Process;
}
