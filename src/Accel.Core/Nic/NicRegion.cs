using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Tcp;
using Accel.Core.Udp;

namespace Accel.Core.Nic;

/// <summary>Head of a region of the network path: identity, lock, times, allocators, settings, counters.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 4096)]
public struct NicTables
{
    [FieldOffset(0)] public RegionHeader Header;

    /// <summary>The engine's lock: everything in the region, links included, is used under it.</summary>
    [FieldOffset(128)] public StackLock Lock;

    /// <summary>When the links were last looked at, when there was something to do, when something is due.</summary>
    [FieldOffset(192)] public long LastPollNs;
    [FieldOffset(200)] public long LastActivityNs;
    [FieldOffset(208)] public long NextDeadlineNs;

    /// <summary>Raised whenever the lock is taken: who finds it taken can tell one holder from the next.</summary>
    [FieldOffset(216)] public uint Entries;

    /// <summary>Index plus one of the block that is being worked on: if the holder dies, it is beyond repair.</summary>
    [FieldOffset(220)] public uint InHand;

    /// <summary>The tables' version that connections without a next hop have seen.</summary>
    [FieldOffset(224)] public uint TablesVersion;

    /// <summary>Key of the hash table, so that strangers cannot fill one bucket.</summary>
    [FieldOffset(232), Hidden] public ulong HashKey;

    /// <summary>Until when the thread that keeps the timers sleeps; 0: it does not. It is woken by the name.</summary>
    [FieldOffset(240)] public long AlarmNs;
    [FieldOffset(248)] public ulong AlarmName;

    [FieldOffset(256)] public FreeList Blocks;
    [FieldOffset(320)] public FreeList Records;
    [FieldOffset(384)] public TcpSettings Settings;

    /// <summary>RSTs to strangers that may still be sent, and since when they are counted.</summary>
    [FieldOffset(640)] public long ResetTokens;
    [FieldOffset(648)] public long ResetTokensNs;

    /// <summary>The most that a connection is offered now, 0: no limit; and when that changed last.</summary>
    [FieldOffset(656)] public uint OfferMost;
    [FieldOffset(664)] public long OfferMostNs;

    /// <summary>A thread that sleeps wakes up at this time for the timers; which.</summary>
    [FieldOffset(672)] public long KeptNs;
    [FieldOffset(680)] public int Keeper;

    [FieldOffset(1024)] public NicCounters Counters;
    [FieldOffset(2048)] public TcpCounters Tcp;
}

/// <summary>
/// A mapped region of the network path: typed access to its parts by index. All that outlives a call is here; all
/// processes of the stack's family share it, and no neighbour maps it.
/// </summary>
public readonly unsafe struct NicRegion(byte* address)
{
    public const int MaxLinks = 16;
    public const int MaxBlocks = 65536;
    public const int MaxRecords = 262144;
    public const int Buckets = 65536;
    public const int PortBuckets = 1024;

    private const long WheelAt = 4096;
    private const long LinksAt = 8192;
    private const long SetsAt = 16384;
    private const int Sets = 4;

    private static long ConnBlocksAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => SetsAt + Sets * sizeof(NicSet);
    }

    private static long BucketsAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => ConnBlocksAt + LocalRegion.MaxConns * sizeof(uint);
    }

    private static long PortsAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => BucketsAt + Buckets * sizeof(uint);
    }

    private static long ListeningAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => PortsAt + PortBuckets * sizeof(uint);
    }

    private static long MarksAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => ListeningAt + LocalRegion.MaxListeners * sizeof(NicListening);
    }

    /// <summary>Where the blocks begin. A busy client takes a fresh one for each connection until TIME-WAIT gives them
    /// back.</summary>
    public static long BlocksAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => MarksAt + MaxRecords / 8;
    }

    private static long RecordsAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => BlocksAt + (long)MaxBlocks * sizeof(NicBlock);
    }

    /// <summary>Bytes of a region (sparse).</summary>
    public static long SizeBytes => UdpAt + UdpRegion.SizeBytes;

    private static long UdpAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => (RecordsAt + (long)MaxRecords * sizeof(SegmentRecord) + 4095) & ~4095L;
    }

    public byte* Address => address;

    public bool IsMapped => address != null;

    public NicTables* Tables => (NicTables*)address;

    public TimerWheel* Wheel => (TimerWheel*)(address + WheelAt);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public LinkInfo* LinkAt(int index) => (LinkInfo*)(address + LinksAt) + index;

    /// <summary>Connections whose program did something.</summary>
    public NicSet* Kicked => (NicSet*)(address + SetsAt);

    /// <summary>Connections with an emission for which their link had no buffer.</summary>
    public NicSet* Stalled => (NicSet*)(address + SetsAt) + 1;

    /// <summary>Connections whose next hop is not known.</summary>
    public NicSet* Waiting => (NicSet*)(address + SetsAt) + 2;

    /// <summary>Of those, or of others that doubt theirs: the ones that the kernel is to be asked about.</summary>
    public NicSet* Asking => (NicSet*)(address + SetsAt) + 3;

    /// <summary>Per connection of the local region: index plus one of its block.</summary>
    public uint* ConnBlocks => (uint*)(address + ConnBlocksAt);

    /// <summary>Per hash of the names: index plus one of the first block.</summary>
    public uint* BucketHeads => (uint*)(address + BucketsAt);

    /// <summary>Per hash of the port: index plus one of the first listener.</summary>
    public uint* PortHeads => (uint*)(address + PortsAt);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public NicListening* ListenerAt(int index) => (NicListening*)(address + ListeningAt) + index;

    /// <summary>A bit per record, for a recovery.</summary>
    public ulong* Marks => (ulong*)(address + MarksAt);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public NicBlock* BlockAt(int index) => (NicBlock*)(address + BlocksAt) + index;

    /// <summary>Bytes of all blocks.</summary>
    public static long BlockBytes => (long)MaxBlocks * sizeof(NicBlock);

    /// <summary>Blocks that were ever used: those behind are zero.</summary>
    public int BlocksHigh => (int)Math.Min(Tables->Blocks.Bumped, MaxBlocks);

    /// <summary>Address of block 0's timer, for the wheel.</summary>
    public byte* Timers => (byte*)&BlockAt(0)->Timer;

    public SegmentRecord* Records => (SegmentRecord*)(address + RecordsAt);

    public SegmentPool Pool => new(Records, &Tables->Records);

    /// <summary>Bindings and ways of UDP.</summary>
    public UdpRegion Udp => new(address + UdpAt);

    /// <summary>Writes the tables of a fresh, zeroed region.</summary>
    public void Format(ulong id, ulong stackId, int pid, uint uid, long wallNs)
    {
        NicTables* t = Tables;
        t->NextDeadlineNs = long.MaxValue;
        t->Blocks.Capacity = MaxBlocks;
        t->Records.Capacity = MaxRecords;
        t->Header.Version = RegionHeader.CurrentVersion;
        t->Header.Kind = RegionKind.Nic;
        t->Header.LayoutHash = LayoutHash.Value;
        t->Header.SizeBytes = (ulong)SizeBytes;
        t->Header.Id = id;
        t->Header.StackId = stackId;
        t->Header.OwnerPid = pid;
        t->Header.OwnerUid = uid;
        t->Header.CreatedNs = wallNs;
        t->Header.Slots = MaxBlocks;
        Volatile.Write(ref t->Header.Magic, RegionHeader.ExpectedMagic);
    }
}
