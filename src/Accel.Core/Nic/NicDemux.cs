using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Memory;

namespace Accel.Core.Nic;

/// <summary>
/// Finds the block or the listener that a segment is for (RFC 9293 3.10.7), and keeps the tables in which they are
/// found. Under the engine's lock.
/// </summary>
internal static unsafe class NicDemux
{
    public static uint HashOf(NicRegion region, in Endpoint local, in Endpoint remote)
    {
        const ulong K1 = 0x9E3779B97F4A7C15, K2 = 0xC2B2AE3D27D4EB4F;
        ulong h = region.Tables->HashKey;
        h = (h ^ remote.AddressLow) * K1;
        h ^= h >> 32;
        h = (h ^ local.AddressLow) * K2;
        h ^= h >> 29;
        if (local.Family == Endpoint.V6)
        {
            h = (h ^ remote.AddressHigh) * K1;
            h ^= h >> 32;
            h = (h ^ local.AddressHigh) * K2;
            h ^= h >> 29;
        }
        h = (h ^ ((ulong)remote.Port << 16 | local.Port)) * K1;
        return (uint)(h >> 32) ^ (uint)h;
    }

    /// <summary>The block of that name, or -1.</summary>
    public static int Find(NicRegion region, in Endpoint local, in Endpoint remote, uint hash)
    {
        uint at = region.BucketHeads[hash % NicRegion.Buckets];
        for (int steps = 0; at - 1 < NicRegion.MaxBlocks && steps < NicRegion.MaxBlocks; steps++)
        {
            NicBlock* block = region.BlockAt((int)at - 1);
            if (block->Hash == hash && Same(in block->Route.Remote, in remote)
                && Same(in block->Route.Local, in local))
                return (int)at - 1;
            at = block->HashNext;
        }
        return -1;
    }

    private static bool Same(in Endpoint a, in Endpoint b) =>
        a.AddressLow == b.AddressLow && a.AddressHigh == b.AddressHigh && a.Port == b.Port && a.Family == b.Family;

    /// <summary>A cleared block with its names, findable; -1 if the table is full.</summary>
    public static int Take(NicRegion region, in NicRoute route, NicUse use)
    {
        int index = FreeList.Take(&region.Tables->Blocks, (byte*)region.BlockAt(0), sizeof(NicBlock));
        if (index < 0)
            return -1;
        NicBlock* block = region.BlockAt(index);
        NativeMemory.Clear(block, (nuint)sizeof(NicBlock));
        block->Route = route;
        block->Hash = HashOf(region, in route.Local, in route.Remote);
        block->Use = use;
        Link(region, index);
        return index;
    }

    public static void Link(NicRegion region, int index)
    {
        NicBlock* block = region.BlockAt(index);
        uint* head = &region.BucketHeads[block->Hash % NicRegion.Buckets];
        block->HashNext = *head;
        *head = (uint)index + 1;
        block->Flags |= NicBlockFlags.Linked;
    }

    public static void Unlink(NicRegion region, int index)
    {
        NicBlock* block = region.BlockAt(index);
        uint* at = &region.BucketHeads[block->Hash % NicRegion.Buckets];
        for (int steps = 0; *at - 1 < NicRegion.MaxBlocks && steps < NicRegion.MaxBlocks; steps++)
        {
            if (*at == (uint)index + 1)
            {
                *at = block->HashNext;
                break;
            }
            at = &region.BlockAt((int)*at - 1)->HashNext;
        }
        block->HashNext = 0;
        block->Flags &= ~NicBlockFlags.Linked;
    }

    /// <summary>The block of a connection, or -1.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int OfConn(NicRegion region, int conn)
    {
        if ((uint)conn >= LocalRegion.MaxConns)
            return -1;
        uint block = region.ConnBlocks[conn];
        return block - 1 < NicRegion.MaxBlocks && region.BlockAt((int)block - 1)->Conn == (uint)conn + 1
            ? (int)block - 1 : -1;
    }

    /// <summary>
    /// The listener that a SYN for an address is for, or -1: one of that very address before a wildcard, one of its
    /// family before one that takes both; among equals (SO_REUSEPORT) the hash decides.
    /// </summary>
    public static int FindListener(NicRegion region, in Endpoint local, uint hash)
    {
        uint at = region.PortHeads[local.Port % NicRegion.PortBuckets];
        int best = -1, bestRank = 0;
        uint equals = 0;
        for (int steps = 0; at - 1 < LocalRegion.MaxListeners && steps < LocalRegion.MaxListeners; steps++)
        {
            int index = (int)at - 1;
            NicListening* listener = region.ListenerAt(index);
            at = listener->Next;
            int rank = Rank(listener, in local);
            if (rank == 0 || rank < bestRank)
                continue;
            equals = rank > bestRank ? 1 : equals + 1;
            if (rank > bestRank || hash % equals == 0)
                best = index;
            bestRank = rank;
        }
        return best;
    }

    private static int Rank(NicListening* listener, in Endpoint local)
    {
        if (listener->Open == 0 || listener->Local.Port != local.Port)
            return 0;
        if (!listener->Local.IsAny)
            return listener->Local.SameAddress(local) ? 3 : 0;
        if (listener->Local.Family == local.Family)
            return 2;
        return listener->Local.Family == Endpoint.V6 && listener->V6Only == 0 ? 1 : 0;
    }

    public static void LinkListener(NicRegion region, int index)
    {
        NicListening* listener = region.ListenerAt(index);
        uint* head = &region.PortHeads[listener->Local.Port % NicRegion.PortBuckets];
        listener->Next = *head;
        *head = (uint)index + 1;
    }

    public static void UnlinkListener(NicRegion region, int index)
    {
        NicListening* listener = region.ListenerAt(index);
        uint* at = &region.PortHeads[listener->Local.Port % NicRegion.PortBuckets];
        for (int steps = 0; *at - 1 < LocalRegion.MaxListeners && steps < LocalRegion.MaxListeners; steps++)
        {
            if (*at == (uint)index + 1)
            {
                *at = listener->Next;
                break;
            }
            at = &region.ListenerAt((int)*at - 1)->Next;
        }
        listener->Next = 0;
    }
}
