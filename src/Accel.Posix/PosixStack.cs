using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Accel.Core.Capture;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// One process's view of its stack: the mapped regions, the descriptor table, the kernel. It owns no state that another
/// process
/// would miss: what outlives a call lies in the regions.
/// </summary>
public sealed unsafe class PosixStack
{
    private const ulong CalibrationNs = 20_000;
    private const int NsScale = 24;

    /// <summary>Bytes of rings: where memory is short, 2 MiB at once are too many.</summary>
    private const ulong WorthHugePages = 64 << 20;

    private readonly nint* _maps;
    private long _nextMapNs;
    private readonly ulong _nsPerTickScaled;

    [ColdPath]
    public PosixStack(StackRegion region, IKernel kernel, AccelProcess* process, bool hasBarrier)
    {
        S = region;
        Kernel = kernel;
        Process = process;
        HasBarrier = hasBarrier;
        _maps = (nint*)NativeMemory.AllocZeroed(StackRegion.MaxRegions, (nuint)sizeof(nint));
        Peers = new PeerTable(this);
        Tap = new CaptureTap(region, kernel, process->Pid);
        SpinNs = Option(Core.Stack.Option.SpinMicros) is var us && us < 0 ? -1 : us * 1000;
        TicksPerKernelCheck = Calibrate(kernel);
        _nsPerTickScaled = (CalibrationNs << NsScale) / Math.Max(TicksPerKernelCheck, 1);
        Strict = Option(Core.Stack.Option.Strict) != 0 ? new Strictness() : null;
        Diagnostics = Option(Core.Stack.Option.Diagnostics) != 0;
    }

    /// <summary>
    /// 20 us in units of the time stamp counter: how often a busy epoll set asks the kernel for its part.
    /// </summary>
    public ulong TicksPerKernelCheck { get; }

    public StackRegion S { get; }

    public IKernel Kernel { get; }

    public AccelProcess* Process { get; }

    /// <summary>Where packets are copied to while somebody captures them.</summary>
    public CaptureTap Tap { get; }

    /// <summary>Somebody captures the local path. Asked on every send and receive.</summary>
    public bool IsCaptured => (S.Tables->Capturing & (uint)CapturePaths.Local) != 0;

    /// <summary>Mappings that are out of use, but may still be looked at by a thread that found them before.</summary>
    public RetiredMaps Retired { get; } = new();

    /// <summary>What the process held before an exec() for which it left the stack.</summary>
    public LeftDescriptors Left { get; } = new();

    /// <summary>The processes that this one depends on.</summary>
    public PeerTable Peers { get; }

    /// <summary>A barrier before sleep orders everybody's sends; without it every send must fence.</summary>
    public bool HasBarrier { get; }

    /// <summary>Nanoseconds to spin; -1: adaptive.</summary>
    public long SpinNs { get; }

    /// <summary>What a fallback to the kernel means for the program; null: nothing.</summary>
    public Strictness? Strict { get; }

    /// <summary>What happens to connections is logged.</summary>
    public bool Diagnostics { get; }

    /// <summary>
    /// The library's epoll descriptor that reports deaths of processes and strangers at meeting points; -1 before it is
    /// needed.
    /// </summary>
    public int Hub { get; set; } = -1;

    /// <summary>The network interfaces of the stack as this process drives them; null if it has none.</summary>
    public NicPath? Nic { get; set; }

    /// <summary>When to look for the control plane again, if it was not there.</summary>
    public long NicRetryNs { get; set; }

    /// <summary>This image came by exec() and has not taken over yet what the one before it left.</summary>
    public bool IsSuccessor { get; set; }

    /// <summary>How to reach the control plane; null in tests that have none.</summary>
    public INicControl? NicControl { get; set; }

    /// <summary>
    /// Unconnected kernel sockets that accepted connections are duplicates of, by family (0: IPv4, 1: IPv6).
    /// </summary>
    public int Placeholder4 { get; set; } = -1;

    public int Placeholder6 { get; set; } = -1;

    /// <summary>What this process has seen of <see cref="StackTables.Handovers"/>.</summary>
    public uint HandoversSeen { get; set; }

    /// <summary>The other end of some connection went to the kernel, and ours is to follow.</summary>
    public bool ArrivalsDue { get; set; }

    /// <summary>The process has a ring of io_uring: what it accepts goes to the kernel at once.</summary>
    public bool UsesRings { get; set; }

    /// <summary>Connections that were given to the kernel, for others of the family to fetch.</summary>
    public Parked Parked { get; } = new();

    /// <summary>Forks of children that the stack has no place for.</summary>
    public PlainFork PlainFork { get; } = new();

    /// <summary>Where the library's own thread waits when this image ends.</summary>
    public ProgressGate ProgressGate { get; } = new();

    /// <summary>
    /// The library's own thread comes, if it was not there, to look after what is parked.
    /// </summary>
    public void StartKeeper()
    {
        if (Process->StartProgress != null)
            ((delegate* unmanaged<long>)Process->StartProgress)();
    }

    private static ulong Calibrate(IKernel kernel)
    {
        long start = kernel.NowNs();
        ulong ticks = kernel.Ticks();
        long elapsed;
        do
            elapsed = kernel.NowNs() - start;
        while (elapsed < (long)CalibrationNs);
        return (kernel.Ticks() - ticks) * CalibrationNs / (ulong)elapsed;
    }

    public long Option(Option option) => S.Tables->Options.Values[(int)option];

    public int Slot => (int)Process->Slot;

    /// <summary>What a descriptor is to this stack: see <see cref="DescriptorEntry"/>.</summary>
    public uint Entry(int fd) => (uint)fd < Process->FdLimit ? Volatile.Read(ref Process->FdMap[fd]) : 0;

    /// <summary>Writes a descriptor's entry.</summary>
    public void SetEntry(int fd, uint entry)
    {
        if ((uint)fd >= Process->FdLimit)
            return;
        ref int highest = ref S.ProcessAt(Slot)->HighestDescriptor;
        // Before the entry: whoever buries the process looks no higher.
        for (int high; entry != 0 && fd >= (high = Volatile.Read(ref highest));)
            Interlocked.CompareExchange(ref highest, fd + 1, high);
        Volatile.Write(ref Process->FdMap[fd], entry);
    }

    /// <summary>Protects one of the library's own descriptors from the program.</summary>
    public int Own(int fd, int tag = 0)
    {
        if (fd >= 0)
        {
            SetEntry(fd, DescriptorEntry.Of(DescriptorEntry.KindInternal, tag));
            if (Process->InternalMin == 0 || (uint)fd < Process->InternalMin)
                Process->InternalMin = (uint)fd;
        }
        return fd;
    }

    /// <summary>
    /// Closes one of the library's own descriptors. The number may come from shared memory: what is not ours stays.
    /// </summary>
    public void Disown(int fd)
    {
        if (DescriptorEntry.Kind(Entry(fd)) != DescriptorEntry.KindInternal)
            return;
        SetEntry(fd, 0);
        Kernel.Close(fd);
    }

    /// <summary>One of the library's own descriptors by what it is; -1 if this process has none.</summary>
    [ColdPath]
    public int FindTagged(int tag)
    {
        uint wanted = DescriptorEntry.Of(DescriptorEntry.KindInternal, tag);
        int high = S.ProcessAt(Slot)->HighestDescriptor;
        for (int fd = (int)Process->InternalMin; fd < high; fd++)
        {
            if (Process->FdMap[fd] == wanted)
                return fd;
        }
        return -1;
    }

    /// <summary>The same, if the number means in this process what it meant in the one that wrote it down.</summary>
    public void Disown(int fd, int tag)
    {
        if (IsTagged(fd, tag))
            Disown(fd);
    }

    public bool IsTagged(int fd, int tag) => Entry(fd) == DescriptorEntry.Of(DescriptorEntry.KindInternal, tag);

    /// <summary>The socket of an accelerated descriptor, or null.</summary>
    public Socket* Find(int fd, out int index)
    {
        uint entry = Entry(fd);
        index = DescriptorEntry.Index(entry);
        if (entry >> 24 != DescriptorEntry.KindSocket || index >= StackRegion.MaxSockets)
            return null;
        Socket* socket = S.SocketAt(index);
        uint region = socket->Region;
        if (region != 0 && !Region(region).IsMapped)
            MapLate(region);
        if (socket->State != (uint)SocketState.Kernel)
            return socket;
        // Another process of the family gave it to the kernel.
        Followers.Follow(this, fd, entry, socket);
        return null;
    }

    /// <summary>
    /// A local region by its number in the stack's table (plus one); unmapped if this process has no mapping.
    /// </summary>
    public LocalRegion Region(uint plusOne) =>
        plusOne - 1 < StackRegion.MaxRegions ? new LocalRegion((byte*)_maps[plusOne - 1]) : default;

    public void SetRegion(uint plusOne, byte* address)
    {
        _maps[plusOne - 1] = (nint)address;
        if (address != null && Region(plusOne) is { BufferBytes: >= WorthHugePages } region)
            Kernel.WantHugePages(address, (ulong)LocalRegion.FixedBytes, region.BufferBytes);
        Peers.LookAgain(plusOne);
    }

    /// <summary>Adds one to a counter.</summary>
    public void Count(AccelThread* t, Counter counter) => Count(t->Tid, counter);

    public void Count(int shard, Counter counter) =>
        Interlocked.Increment(ref S.ShardAt(shard & 7)->Values[(int)counter]);

    /// <summary>Adds to a counter.</summary>
    public void Add(AccelThread* t, Counter counter, ulong amount) =>
        Interlocked.Add(ref S.ShardAt(t->Tid & 7)->Values[(int)counter], (long)amount);

    /// <summary>
    /// Adds one to a counter of the data path: not atomic, since threads have different shards as a rule.
    /// </summary>
    public void CountHot(AccelThread* t, Counter counter) => S.ShardAt(t->Tid & 7)->Values[(int)counter]++;

    /// <summary>Adds a time, given in ticks, to a counter of nanoseconds.</summary>
    public void CountTime(AccelThread* t, Counter counter, ulong ticks) =>
        S.ShardAt(t->Tid & 7)->Values[(int)counter] += (long)(ticks * _nsPerTickScaled >> NsScale);

    /// <summary>
    /// For what is asked without a thread of the shim's: a lock that nobody's number is written to is none.
    /// </summary>
    public AccelThread Stranger() => new() { Tid = Kernel.CurrentTid() };

    public void Lock(ref int word, AccelThread* t)
    {
        if (!SharedLock.TryEnter(ref word, t->Tid))
            Contend(ref word, t);
    }

    private void Contend(ref int word, AccelThread* t)
    {
        Count(t, Counter.LockWaits);
        if (!SharedLock.Enter(ref word, t->Tid, Kernel))
            Count(t, Counter.LocksRecovered);
    }

    public static void Unlock(ref int word) => SharedLock.Exit(ref word);

    /// <summary>Takes the lock of the whole stack.</summary>
    public void LockStack(AccelThread* t)
    {
        if (StackLock.TryEnter(&S.Tables->Lock, t->Tid))
            return;
        Count(t, Counter.LockWaits);
        if (!StackLock.Enter(&S.Tables->Lock, t->Tid, Kernel))
            Count(t, Counter.LocksRecovered);
    }

    /// <summary>Leaves it, and does first what others left to its holder.</summary>
    public void UnlockStack(AccelThread* t)
    {
        int slot;
        while ((slot = StackLock.Exit(&S.Tables->Lock, t->Tid, Kernel)) >= 0)
        {
            Processes.BuryDeferred(this, t, slot);
            StackLock.Done(&S.Tables->Lock, slot);
        }
    }

    /// <summary>Sets a socket on the kernel path, where it stays.</summary>
    public void LeaveToKernel(AccelThread* t, Socket* socket, PathReason reason)
    {
        socket->Reason = (byte)reason;
        socket->State = (uint)SocketState.Kernel;
        Count(t, Counter.SocketsKernel);
        Posix.Diagnostics.OnKernel(this, socket);
    }

    /// <summary>
    /// Under one of the socket's locks: true if a call may go on with it. A thread that closed the last descriptor
    /// meanwhile has taken the entry away before it took the locks; a call that sleeps holds a reference and may go on
    /// without an entry.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsStillConnected(AccelThread* t, int fd, int index, Socket* socket, out Wire wire)
    {
        if ((t->Wait.State[0] != 0 || Entry(fd) == DescriptorEntry.Of(DescriptorEntry.KindSocket, index))
            && socket->State == (uint)SocketState.Connected && Sides(socket, out wire))
            return wire.Conn->Generation == socket->ConnGeneration;
        wire = default;
        return false;
    }

    /// <summary>
    /// Another process of the family has connected a socket of both, or listens with it, in a region that came after
    /// this process: it is mapped when first met.
    /// </summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private LocalRegion MapLate(uint number)
    {
        const long RetryNs = 100_000_000;
        long now = number == 0 ? 0 : Kernel.NowNs();
        if (number == 0 || now < _nextMapNs)
            return default;
        AccelThread stranger = Stranger();
        if (Regions.EnsureMapped(this, &stranger, number))
            return Region(number);
        _nextMapNs = now + RetryNs;
        return default;
    }

    /// <summary>Both sides of a connected socket. False if the shared state makes no sense.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Sides(Socket* socket, out Wire wire)
    {
        LocalRegion region = Region(socket->Region);
        if (!region.IsMapped)
            region = MapLate(socket->Region);
        uint index = socket->Index;
        if (!region.IsMapped || index >= LocalRegion.MaxConns)
        {
            wire = default;
            return false;
        }
        wire = new Wire(region, region.ConnAt((int)index), (int)index, (int)socket->Side & 1);
        return true;
    }
}

/// <summary>A connection as one of its ends sees it.</summary>
public readonly unsafe struct Wire(LocalRegion region, Conn* conn, int index, int side)
{
    public LocalRegion Region => region;

    public Conn* Conn => conn;

    public int Index => index;

    public int SideIndex => side;

    public Side* Me => LocalRegion.SideOf(conn, side);

    public Side* Peer => LocalRegion.SideOf(conn, 1 - side);

    /// <summary>What this end sends.</summary>
    public Pipe* Out => LocalRegion.PipeOf(conn, side);

    /// <summary>What this end receives.</summary>
    public Pipe* In => LocalRegion.PipeOf(conn, 1 - side);

    /// <summary>Number of this end among a doorbell's sources.</summary>
    public int Source => 2 * index + side;

    public int PeerSource => 2 * index + 1 - side;
}
