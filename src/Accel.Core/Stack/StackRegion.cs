using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Accel.Core.Capture;
using Accel.Core.Memory;

namespace Accel.Core.Stack;

/// <summary>A process of a stack.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 128)]
public unsafe struct ProcessSlot
{
    public const uint Unused = 0, Reserved = 1, Live = 2;

    [FieldOffset(0)] public uint State;
    [FieldOffset(4)] public int Pid;
    [FieldOffset(8)] public uint StartTime;

    /// <summary>One more than the highest descriptor in use.</summary>
    [FieldOffset(12)] public int HighestDescriptor;

    /// <summary>Guards changes of the descriptor table.</summary>
    [FieldOffset(16)] public int Lock;

    /// <summary>
    /// Slot plus one of the process that forked this one; 0 in a reserved slot: it has gone, and does not say any more
    /// who the child is, or that there is none.
    /// </summary>
    [FieldOffset(20)] public uint Parent;
    [FieldOffset(24)] public long StartedNs;

    /// <summary>The process has used a socket since it was forked.</summary>
    [FieldOffset(32)] public uint Adopted;

    /// <summary>Pid of a process in this slot that was found dead while the stack's lock was taken.</summary>
    [FieldOffset(36)] public int DeadPid;

    /// <summary>
    /// An operator wants this process's connections on the kernel: 0 none (or it is done), all, or one
    /// descriptor plus one.
    /// </summary>
    [FieldOffset(40)] public int HandoverWanted;

    /// <summary>
    /// Index plus one of the socket that a call is giving to the kernel, and of the one that a call is fetching from
    /// there: of each the call has a reference of its own, which must not go with the process.
    /// </summary>
    [FieldOffset(44)] public uint Giving;
    [FieldOffset(48)] public uint Fetching;

    /// <summary>Threads between a count of references and its note. Not 0 when the process dies: one was.</summary>
    [FieldOffset(52)] public int Changing;

    /// <summary>Its share of <see cref="Nic.LinkInfo.Sleepers"/>.</summary>
    [FieldOffset(56)] public int SleepsForFrames;

    [FieldOffset(64)] public fixed byte Name[64];

    /// <summary>Of <see cref="HandoverWanted"/>.</summary>
    public const int AllDescriptors = -1, HandoverUnderWay = -2;
}

/// <summary>A local region that the stack uses: its own or a neighbour's.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 64)]
public struct RegionSlot
{
    /// <summary>Identity of the region; 0 = unused.</summary>
    [FieldOffset(0)] public ulong Id;

    /// <summary>Process that the region was found in.</summary>
    [FieldOffset(8)] public int Pid;

    /// <summary>Index plus one of this stack in the region's attachment table.</summary>
    [FieldOffset(12)] public uint Attachment;
    [FieldOffset(16)] public ulong StackId;

    /// <summary>Sockets whose connection or listener lies in it.</summary>
    [FieldOffset(24)] public int Users;
}

/// <summary>Head of a stack region: identity, allocators, options.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 4096)]
public struct StackTables
{
    [FieldOffset(0)] public RegionHeader Header;

    /// <summary>Guards process slots, region slots and whatever has no lock of its own.</summary>
    [FieldOffset(128)] public StackLock Lock;
    [FieldOffset(192)] public FreeList Sockets;
    [FieldOffset(256)] public FreeList EpollSets;
    [FieldOffset(320)] public FreeList EpollItems;
    [FieldOffset(384)] public FreeList Wakers;
    [FieldOffset(448)] public uint OwnRegion;

    /// <summary>One more than the highest region slot ever in use.</summary>
    [FieldOffset(452)] public uint RegionsHigh;

    /// <summary>Process slot that was taken last: the search for the next begins behind it.</summary>
    [FieldOffset(456)] public uint LastSlot;
    /// <summary>Id of the region with the state of the network path; 0: the stack has none.</summary>
    [FieldOffset(464)] public ulong NicRegionId;

    /// <summary>What the control plane refused last (NicRefusal).</summary>
    [FieldOffset(472)] public byte NicRefusal;

    /// <summary>
    /// Processes may live that have what this stack's have, and no place in it. 1: a lock says whether; 2: nobody can
    /// say.
    /// </summary>
    [FieldOffset(473)] public byte Lent;

    /// <summary>The thread that keeps the timers of the network path for the family; 0: none does.</summary>
    [FieldOffset(476)] public int Ticker;

    /// <summary>Sockets with a connection on the local path.</summary>
    [FieldOffset(480)] public int LocalSockets;

    /// <summary>
    /// Raised when a process has given a connection to the kernel that others have too, and when an operator asks for
    /// it: whoever has not seen this number looks.
    /// </summary>
    [FieldOffset(484)] public uint Handovers;

    /// <summary>Why the last hand-over of a live connection did not come about (HandoverRefusal).</summary>
    [FieldOffset(488)] public byte HandoverRefusal;

    /// <summary>The paths whose packets somebody captures (CapturePaths); 0: nobody listens.</summary>
    [FieldOffset(492)] public uint Capturing;
    /// <summary>Thread that counts all references anew, alone; 0: nobody does.</summary>
    [FieldOffset(496)] public int Auditor;

    /// <summary>1: that is to be done, not before <see cref="NextAuditNs"/>.</summary>
    [FieldOffset(500)] public uint AuditDue;
    [FieldOffset(504)] public long NextAuditNs;

    /// <summary>1: a process ended in fork(), and its child has not been seen yet.</summary>
    [FieldOffset(460)] public uint Orphans;
    [FieldOffset(512)] public OptionValues Options;

    /// <summary>
    /// When all slots are taken: not before this it is looked again which of their processes have gone.
    /// </summary>
    [FieldOffset(1024)] public long NextSlotLookNs;
}

/// <summary>A mapped stack region: typed access to its parts by index.</summary>
public readonly unsafe struct StackRegion(byte* address)
{
    public const int MaxProcesses = 256;
    public const int MaxRegions = 1024;
    public const int MaxSockets = 65536;
    public const int MaxEpollSets = 2048;
    public const int MaxEpollItems = 131072;
    public const int MaxWakers = 4096;
    public const int MaxDescriptors = 65536;

    private const long CountersAt = 4096;
    private static long ProcessesAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => CountersAt + CounterShard.Shards * sizeof(CounterShard);
    }

    private static long RegionsAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => ProcessesAt + (long)MaxProcesses * sizeof(ProcessSlot);
    }

    private static long SocketsAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => RegionsAt + (long)MaxRegions * sizeof(RegionSlot);
    }

    private static long EpollSetsAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => SocketsAt + (long)MaxSockets * sizeof(Socket);
    }

    private static long EpollItemsAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => EpollSetsAt + (long)MaxEpollSets * sizeof(EpollSet);
    }

    private static long WakersAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => EpollItemsAt + (long)MaxEpollItems * sizeof(EpollItem);
    }

    private static long DescriptorsAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => (WakersAt + (long)MaxWakers * sizeof(Waker) + 4095) & ~4095L;
    }


    /// <summary>Bytes between the descriptor tables of two process slots.</summary>
    public const long DescriptorStride = MaxDescriptors * sizeof(uint);

    /// <summary>Bytes of all tables: what lies behind them is no state.</summary>
    public static long TableBytes =>
        (EventsAt + sizeof(EventLog) + EventLog.Length * sizeof(StackEvent) + 4095) & ~4095L;

    /// <summary>Bytes of a stack region (sparse).</summary>
    public static long SizeBytes => TableBytes + CaptureRing.SizeBytes;

    /// <summary>Where the log of events begins: a reader of nothing else need not have the rest.</summary>
    public static long EventsAt => DescriptorsAt + MaxProcesses * DescriptorStride;

    public byte* Address => address;

    public bool IsMapped => address != null;

    public StackTables* Tables => (StackTables*)address;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public CounterShard* ShardAt(int index) => (CounterShard*)(address + CountersAt) + index;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ProcessSlot* ProcessAt(int index) => (ProcessSlot*)(address + ProcessesAt) + index;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public RegionSlot* RegionAt(int index) => (RegionSlot*)(address + RegionsAt) + index;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Socket* SocketAt(int index) => (Socket*)(address + SocketsAt) + index;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public EpollSet* EpollSetAt(int index) => (EpollSet*)(address + EpollSetsAt) + index;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public EpollItem* EpollItemAt(int index) => (EpollItem*)(address + EpollItemsAt) + index;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Waker* WakerAt(int index) => (Waker*)(address + WakersAt) + index;

    /// <summary>
    /// The descriptor table of a process slot: one word per descriptor (see <see cref="DescriptorEntry"/>).
    /// </summary>
    public uint* DescriptorsOf(int slot) => (uint*)(address + DescriptorsAt + slot * DescriptorStride);

    /// <summary>
    /// Bytes from where the descriptor tables begin back to the pid of the first process slot: a fork child notes its
    /// own there before it runs any managed code.
    /// </summary>
    public uint PidsBefore => (uint)((byte*)DescriptorsOf(0) - (byte*)&ProcessAt(0)->Pid);

    public EventLog* Events => (EventLog*)(address + EventsAt);

    /// <summary>Where packets are copied to while somebody listens.</summary>
    public CaptureRing Capture => new(address + TableBytes);

    /// <summary>Writes the tables of a fresh, zeroed region.</summary>
    public void Format(ulong id, int pid, uint uid, long nowNs)
    {
        StackTables* t = Tables;
        t->Sockets.Capacity = MaxSockets;
        t->EpollSets.Capacity = MaxEpollSets;
        t->EpollItems.Capacity = MaxEpollItems;
        t->Wakers.Capacity = MaxWakers;
        t->Header.Version = RegionHeader.CurrentVersion;
        t->Header.Kind = RegionKind.Stack;
        t->Header.LayoutHash = LayoutHash.Value;
        t->Header.SizeBytes = (ulong)SizeBytes;
        t->Header.Id = id;
        t->Header.StackId = id;
        t->Header.OwnerPid = pid;
        t->Header.OwnerUid = uid;
        t->Header.CreatedNs = nowNs;
        t->Header.Slots = MaxSockets;
        Volatile.Write(ref t->Header.Magic, RegionHeader.ExpectedMagic);
    }

    public int TakeSocket()
    {
        int index = FreeList.Take(&Tables->Sockets, (byte*)SocketAt(0), sizeof(Socket));
        if (index < 0)
            return -1;
        Socket* socket = SocketAt(index);
        uint generation = socket->Generation + 1;
        Zeros.Fill(socket);
        socket->Generation = generation;
        return index;
    }

    public void GiveSocket(int index)
    {
        SocketAt(index)->State = (uint)SocketState.Free;
        FreeList.Give(&Tables->Sockets, (byte*)SocketAt(0), sizeof(Socket), index);
    }

    public int TakeEpollSet()
    {
        int index = FreeList.Take(&Tables->EpollSets, (byte*)EpollSetAt(0), sizeof(EpollSet));
        if (index >= 0)
            NativeMemory.Clear(EpollSetAt(index), (nuint)sizeof(EpollSet));
        return index;
    }

    public void GiveEpollSet(int index) =>
        FreeList.Give(&Tables->EpollSets, (byte*)EpollSetAt(0), sizeof(EpollSet), index);

    public int TakeEpollItem()
    {
        int index = FreeList.Take(&Tables->EpollItems, (byte*)EpollItemAt(0), sizeof(EpollItem));
        if (index >= 0)
            NativeMemory.Clear(EpollItemAt(index), (nuint)sizeof(EpollItem));
        return index;
    }

    public void GiveEpollItem(int index) =>
        FreeList.Give(&Tables->EpollItems, (byte*)EpollItemAt(0), sizeof(EpollItem), index);

    public int TakeWaker()
    {
        int index = FreeList.Take(&Tables->Wakers, (byte*)WakerAt(0), sizeof(Waker));
        if (index >= 0)
            NativeMemory.Clear(WakerAt(index), (nuint)sizeof(Waker));
        return index;
    }

    public void GiveWaker(int index)
    {
        WakerAt(index)->Used = 0;
        FreeList.Give(&Tables->Wakers, (byte*)WakerAt(0), sizeof(Waker), index);
    }
}

/// <summary>
/// A word of a descriptor table: what a descriptor is to the stack. The C side of the shim reads it too.
/// </summary>
public static class DescriptorEntry
{
    public const uint Nothing = 0;
    public const uint KindSocket = 1, KindEpoll = 2, KindInternal = 15;

    /// <summary>Tracked, but calls go to the kernel.</summary>
    public const uint OnKernel = 1u << 31;

    /// <summary>
    /// What an internal descriptor is, in place of an index: a waker's socket, a set's inner epoll descriptor, a local
    /// region by its number. A number alone does not say it, since processes of a family choose the same numbers for
    /// different files. One with a tag is open after exec() too, if the new image goes on with the stack; one without
    /// (0) is not.
    /// </summary>
    public const int WakerTag = 1, SetTag = 0x10000, RegionTag = 0x20000;

    /// <summary>The same of descriptors that a process has one of, or that need no number.</summary>
    public const int StackTag = 0x30000, MeetingTag = 0x30001, PortTag = 0x30002, NicTag = 0x30003;

    /// <summary>What the control plane sent: the conversation, its tables, the ports.</summary>
    public const int ControlTag = 0x30004, MirrorTag = 0x30005, SteeringTag = 0x30006;

    /// <summary>A link's packet socket and ring, and of each of its queues the socket and the memory.</summary>
    public const int PacketTag = 0x40000, RingTag = 0x50000, QueueTag = 0x100000, MemoryTag = 0x200000;

    /// <summary>Tag of something of a queue.</summary>
    public static int OfQueue(int tag, int link, int queue) => tag + (link << 10) + queue;

    public static uint Of(uint kind, int index) => kind << 24 | (uint)index;

    public static uint Kind(uint entry) => (entry >> 24) & 0x7F;

    public static int Index(uint entry) => (int)(entry & 0xFFFFFF);
}
