using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Nic;

/// <summary>Head of a region of the network path: identity, lock, times, allocators.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 4096)]
public struct NicTables
{
    [FieldOffset(0)] public RegionHeader Header;

    /// <summary>The engine's lock: everything in the region, links included, is used under it.</summary>
    [FieldOffset(128)] public StackLock Lock;

    /// <summary>When the links were last looked at, when there was last anything to do, when something is due.</summary>
    [FieldOffset(192)] public long LastPollNs;
    [FieldOffset(200)] public long LastActivityNs;
    [FieldOffset(208)] public long NextDeadlineNs;

    [FieldOffset(256)] public NicCounters Counters;
}

/// <summary>
/// A mapped region of the network path: typed access to its parts by index. All that outlives a call is here; all
/// processes of the stack's family share it, and no neighbour maps it.
/// </summary>
public readonly unsafe struct NicRegion(byte* address)
{
    public const int MaxLinks = 16;

    private const long LinksAt = 4096;

    /// <summary>Bytes of a region (sparse).</summary>
    public static long SizeBytes => LinksAt + MaxLinks * sizeof(LinkInfo);

    public byte* Address => address;

    public bool IsMapped => address != null;

    public NicTables* Tables => (NicTables*)address;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public LinkInfo* LinkAt(int index) => (LinkInfo*)(address + LinksAt) + index;

    /// <summary>Writes the tables of a fresh, zeroed region.</summary>
    public void Format(ulong id, ulong stackId, int pid, uint uid, long wallNs)
    {
        NicTables* t = Tables;
        t->NextDeadlineNs = long.MaxValue;
        t->Header.Version = RegionHeader.CurrentVersion;
        t->Header.Kind = RegionKind.Nic;
        t->Header.LayoutHash = LayoutHash.Value;
        t->Header.SizeBytes = (ulong)SizeBytes;
        t->Header.Id = id;
        t->Header.StackId = stackId;
        t->Header.OwnerPid = pid;
        t->Header.OwnerUid = uid;
        t->Header.CreatedNs = wallNs;
        Volatile.Write(ref t->Header.Magic, RegionHeader.ExpectedMagic);
    }
}
