using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Local;

/// <summary>The tables of a local region: allocators of what follows.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 1024)]
public struct LocalTables
{
    [FieldOffset(0)] public RegionHeader Header;
    [FieldOffset(128)] public FreeList Conns;
    [FieldOffset(192)] public FreeList Listeners;
    [FieldOffset(256)] public FreeList Doorbells;
    [FieldOffset(320)] public BufferArena Buffers;

    /// <summary>Raised whenever a process enters or leaves.</summary>
    [FieldOffset(448)] public uint MemberChanges;

    /// <summary>One more than the highest attachment ever in use.</summary>
    [FieldOffset(452)] public uint AttachmentsHigh;
}

/// <summary>
/// A mapped local region: typed access to its parts by index, with every index from outside checked. Layout:
/// tables, attachments, listeners, connections, doorbells, buffers; all sparse until used.
/// </summary>
public readonly unsafe struct LocalRegion(byte* address)
{
    public const int MaxConns = 32768;
    public const int MaxListeners = 1024;
    public const int MaxDoorbells = 4096;
    public const int MaxAttachments = 1024;
    private const long LeastForBuffers = 4 << 20;
    public const int ListenerSource = 2 * MaxConns;

    private const long AttachmentsAt = 4096;
    private static long ListenersAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => AttachmentsAt + (long)MaxAttachments * sizeof(Attachment);
    }

    private static long ConnsAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => ListenersAt + (long)MaxListeners * sizeof(Listener);
    }

    private static long DoorbellsAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => ConnsAt + (long)MaxConns * sizeof(Conn);
    }

    private static long BuffersAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => (DoorbellsAt + (long)MaxDoorbells * sizeof(Doorbell) + 4095) & ~4095L;
    }


    /// <summary>The most bytes of its buffers that are ever touched.</summary>
    public ulong BufferBytes
    {
        get
        {
            BufferArena* buffers = &Tables->Buffers;
            ulong end = Math.Min(buffers->EndByte, Tables->Header.SizeBytes);
            return end > (ulong)BuffersAt ? end - (ulong)BuffersAt : 0;
        }
    }

    /// <summary>Bytes of a region before its buffers.</summary>
    public static long FixedBytes => BuffersAt;

    public byte* Address => address;

    public bool IsMapped => address != null;

    public LocalTables* Tables => (LocalTables*)address;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Conn* ConnAt(int index) => (Conn*)(address + ConnsAt) + index;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Listener* ListenerAt(int index) => (Listener*)(address + ListenersAt) + index;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Doorbell* DoorbellAt(int index) => (Doorbell*)(address + DoorbellsAt) + index;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Attachment* AttachmentAt(int index) => (Attachment*)(address + AttachmentsAt) + index;

    /// <summary>Writes the tables of a fresh, zeroed region.</summary>
    public void Format(ulong id, ulong stackId, long sizeBytes, int pid, uint uid, long nowNs)
    {
        LocalTables* t = Tables;
        t->Conns.Capacity = MaxConns;
        t->Listeners.Capacity = MaxListeners;
        t->Doorbells.Capacity = MaxDoorbells;
        t->Buffers.FirstByte = (ulong)BuffersAt;
        t->Buffers.BumpByte = (ulong)BuffersAt;
        t->Buffers.EndByte = (ulong)sizeBytes;
        t->Header.Version = RegionHeader.CurrentVersion;
        t->Header.Kind = RegionKind.Local;
        t->Header.LayoutHash = LayoutHash.Value;
        t->Header.SizeBytes = (ulong)sizeBytes;
        t->Header.Id = id;
        t->Header.StackId = stackId;
        t->Header.OwnerPid = pid;
        t->Header.OwnerUid = uid;
        t->Header.CreatedNs = nowNs;
        t->Header.Slots = MaxConns;
        Volatile.Write(ref t->Header.Magic, RegionHeader.ExpectedMagic);
    }

    /// <summary>
    /// No more of the region than that is ever touched for rings. Beyond it they do not grow, and then new connections
    /// are the kernel's.
    /// </summary>
    public void LimitBuffers(long bytes)
    {
        ulong most = (ulong)Math.Max(bytes, LeastForBuffers);
        BufferArena* buffers = &Tables->Buffers;
        if (most < buffers->EndByte - buffers->FirstByte)
            buffers->EndByte = buffers->FirstByte + most;
    }

    /// <summary>
    /// From now on no word of the buffers leads out of the mapping, whatever its owner wrote there. For who has a
    /// mapping of its own: the page is nobody else's once it was written to.
    /// </summary>
    public void Confine(long bytes)
    {
        BufferArena* buffers = &Tables->Buffers;
        buffers->FirstByte = Math.Max(buffers->FirstByte, (ulong)FixedBytes);
        buffers->EndByte = Math.Min(buffers->EndByte, (ulong)bytes);
    }

    /// <summary>
    /// Takes a connection slot for a client, with a first ring for each direction. The owner is entered at once:
    /// whoever buries a client that was killed in the middle finds what it had. Returns the slot's index or -1.
    /// </summary>
    public int TakeConn(uint attachmentPlusOne, int processSlot)
    {
        int index = FreeList.Take(&Tables->Conns, (byte*)ConnAt(0), sizeof(Conn));
        if (index < 0)
            return -1;
        Conn* conn = ConnAt(index);
        uint generation = conn->Generation + 1;
        Zeros.Fill(conn);
        conn->Generation = generation;
        conn->Closer0 = conn->Closer1 = conn->Freeing = ConnClaim.Nobody(generation);
        conn->Side0.Holders[processSlot >> 6 & 3] = 1ul << (processSlot & 63);
        conn->Listener = MaxListeners;
        conn->Side0.Stack = attachmentPlusOne;
        Volatile.Write(ref conn->State, (uint)ConnState.Fresh);
        if (PipeOps.Open(this, &conn->Pipe0) && PipeOps.Open(this, &conn->Pipe1))
            return index;
        FreeConn(index);
        return -1;
    }

    /// <summary>
    /// One end is closed for good. True if the other was before and nobody gives the connection back yet: then the
    /// caller does.
    /// </summary>
    public bool CloseSide(int index, int side, uint who = ConnClaim.Engine)
    {
        Conn* conn = ConnAt(index);
        uint generation = conn->Generation;
        Interlocked.Or(ref conn->ClosedMask, 1u << side);
        return TryFree(index, generation, who);
    }

    /// <summary>True if both ends of a connection are closed and the caller is the one who gives it back.</summary>
    public bool TryFree(int index, uint generation, uint who) => Volatile.Read(ref ConnAt(index)->ClosedMask) == 3
        && ConnClaim.TryTake(&ConnAt(index)->Freeing, generation, who);

    /// <summary>Gives a connection and its rings back. Only for whoever closed its second side.</summary>
    public void FreeConn(int index)
    {
        Conn* conn = ConnAt(index);
        PipeOps.Close(this, &conn->Pipe0);
        PipeOps.Close(this, &conn->Pipe1);
        conn->Side0.Stack = 0;
        conn->Side1.Stack = 0;
        Volatile.Write(ref conn->State, (uint)ConnState.Free);
        FreeList.Give(&Tables->Conns, (byte*)ConnAt(0), sizeof(Conn), index);
    }

    public int TakeListener()
    {
        int index = FreeList.Take(&Tables->Listeners, (byte*)ListenerAt(0), sizeof(Listener));
        if (index < 0)
            return -1;
        Listener* listener = ListenerAt(index);
        uint generation = listener->Generation;
        NativeMemory.Clear(listener, (nuint)sizeof(Listener));
        listener->Generation = generation;
        return index;
    }

    public void GiveListener(int index) =>
        FreeList.Give(&Tables->Listeners, (byte*)ListenerAt(0), sizeof(Listener), index);

    public int TakeDoorbell(uint attachment, ulong wakeName)
    {
        int index = FreeList.Take(&Tables->Doorbells, (byte*)DoorbellAt(0), sizeof(Doorbell));
        if (index < 0)
            return -1;
        Doorbell* bell = DoorbellAt(index);
        NativeMemory.Clear(bell, (nuint)sizeof(Doorbell));
        bell->Stack = attachment;
        bell->WakeName = wakeName;
        Volatile.Write(ref bell->Used, 1);
        return index;
    }

    /// <summary>
    /// Gives a doorbell back. No-op if somebody has: its owner and whoever buries the owner may both try.
    /// </summary>
    public void GiveDoorbell(int index)
    {
        Doorbell* bell = DoorbellAt(index);
        if (Interlocked.Exchange(ref bell->Used, 0) == 0)
            return;
        Volatile.Write(ref bell->Sleeping, 0);
        FreeList.Give(&Tables->Doorbells, (byte*)DoorbellAt(0), sizeof(Doorbell), index);
    }

    /// <summary>Finds or makes the entry of a stack. Returns index plus one, 0 if the table is full.</summary>
    public uint Attach(ulong stackId, uint uid)
    {
        for (int i = 0; i < (int)Tables->AttachmentsHigh; i++)
        {
            if (Volatile.Read(ref AttachmentAt(i)->StackId) == stackId)
                return (uint)i + 1;
        }
        for (int i = 0; i < MaxAttachments; i++)
        {
            Attachment* a = AttachmentAt(i);
            if (Volatile.Read(ref a->StackId) != 0 || Interlocked.CompareExchange(ref a->StackId, stackId, 0) != 0)
                continue;
            a->Uid = uid;
            NativeMemory.Clear(a->Members, Attachment.MaxMembers * (nuint)sizeof(Member));
            uint high = Tables->AttachmentsHigh;
            while (high <= (uint)i
                && Interlocked.CompareExchange(ref Tables->AttachmentsHigh, (uint)i + 1, high) != high)
                high = Tables->AttachmentsHigh;
            return (uint)i + 1;
        }
        return 0;
    }

    /// <summary>
    /// Frees the entry of a stack whose last process has gone, with its doorbells. No-op while one is left.
    /// </summary>
    public void DetachIfEmpty(uint attachmentPlusOne)
    {
        if (attachmentPlusOne - 1 >= MaxAttachments || attachmentPlusOne == 1)
            return;
        Attachment* a = AttachmentAt((int)attachmentPlusOne - 1);
        for (int m = 0; m < Attachment.MaxMembers; m++)
        {
            if (Volatile.Read(ref Attachment.MemberAt(a, m)->Pid) != 0)
                return;
        }
        if (Interlocked.Exchange(ref a->Uid, uint.MaxValue) == uint.MaxValue)
            return;
        int bells = (int)Math.Min(Tables->Doorbells.Bumped, MaxDoorbells);
        for (int b = 0; b < bells; b++)
        {
            Doorbell* bell = DoorbellAt(b);
            if (bell->Stack == attachmentPlusOne)
                GiveDoorbell(b);
        }
        Volatile.Write(ref a->StackId, 0);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Side* SideOf(Conn* conn, int side) => side == 0 ? &conn->Side0 : &conn->Side1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Pipe* PipeOf(Conn* conn, int side) => side == 0 ? &conn->Pipe0 : &conn->Pipe1;
}
