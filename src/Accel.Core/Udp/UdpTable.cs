using Accel.Core.Local;

namespace Accel.Core.Udp;

/// <summary>
/// Finds the socket that a datagram is for, and keeps the chains in which it is found. Under the engine's lock.
/// </summary>
public static unsafe class UdpTable
{
    public static void Link(UdpRegion region, int index)
    {
        UdpBinding* binding = region.BindingAt(index);
        uint* head = region.PortHeads + binding->Local.Port % UdpRegion.PortBuckets;
        // The newest first: among equals it is the one that Linux finds.
        binding->Next = *head;
        binding->Open = 1;
        *head = (uint)index + 1;
    }

    public static void Unlink(UdpRegion region, int index)
    {
        UdpBinding* binding = region.BindingAt(index);
        uint* at = region.PortHeads + binding->Local.Port % UdpRegion.PortBuckets;
        for (int steps = 0; *at - 1 < LocalRegion.MaxConns && steps < LocalRegion.MaxConns; steps++)
        {
            if (*at == (uint)index + 1)
            {
                *at = binding->Next;
                break;
            }
            at = &region.BindingAt((int)*at - 1)->Next;
        }
        binding->Next = 0;
        binding->Open = 0;
    }

    /// <summary>
    /// The socket for a datagram from <paramref name="remote"/> to <paramref name="local"/>, or -1: connected ones
    /// first, then those of the address, then those of any (compute_score() of Linux). Among equals that share the
    /// port the names decide, so that a flow stays with one.
    /// </summary>
    public static int Find(UdpRegion region, in Endpoint local, in Endpoint remote)
    {
        uint at = region.PortHeads[local.Port % UdpRegion.PortBuckets];
        int best = -1, bestRank = 0;
        uint equals = 0, hash = 0;
        for (int steps = 0; at - 1 < LocalRegion.MaxConns && steps < LocalRegion.MaxConns; steps++)
        {
            int index = (int)at - 1;
            UdpBinding* binding = region.BindingAt(index);
            at = binding->Next;
            int rank = Rank(binding, local, remote);
            if (rank == 0 || rank < bestRank)
                continue;
            if (rank > bestRank)
            {
                best = index;
                bestRank = rank;
                equals = 1;
            }
            else if (binding->Settings.Has(UdpSettingFlags.ReusePort))
            {
                if (hash == 0)
                    hash = HashOf(remote) | 1u << 31;
                if (hash % ++equals == 0)
                    best = index;
            }
        }
        return best;
    }

    private static int Rank(UdpBinding* binding, in Endpoint local, in Endpoint remote)
    {
        const int OfFamily = 1, OfAddress = 4, OfPeer = 8;
        if (binding->Open == 0 || binding->Local.Port != local.Port)
            return 0;
        int rank = 1;
        if (binding->Local.Family == local.Family)
            rank += OfFamily;
        else if (!binding->Local.IsAny || binding->Local.Family != Endpoint.V6 || binding->V6Only != 0)
            return 0;
        if (!binding->Local.IsAny)
        {
            if (!binding->Local.SameAddress(local))
                return 0;
            rank += OfAddress;
        }
        if (binding->Remote.Family == Endpoint.None)
            return rank;
        return binding->Remote.Port == remote.Port && binding->Remote.SameAddress(remote) ? rank + OfPeer : 0;
    }

    private static uint HashOf(in Endpoint remote)
    {
        ulong h = (remote.AddressLow ^ remote.AddressHigh ^ remote.Port) * 0x9E3779B97F4A7C15;
        return (uint)(h >> 32);
    }

    /// <summary>True if a socket is left whose datagrams are steered here by this name.</summary>
    public static bool IsUsed(UdpRegion region, in Endpoint local)
    {
        uint at = region.PortHeads[local.Port % UdpRegion.PortBuckets];
        for (int steps = 0; at - 1 < LocalRegion.MaxConns && steps < LocalRegion.MaxConns; steps++)
        {
            UdpBinding* binding = region.BindingAt((int)at - 1);
            if (binding->Open != 0 && binding->Steered.Port == local.Port && binding->Steered.SameAddress(local))
                return true;
            at = binding->Next;
        }
        return false;
    }
}
