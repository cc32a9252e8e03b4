using Accel.Core.Ip;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Wire;

namespace Accel.Core.Udp;

/// <summary>
/// The ways to the destinations that datagrams were sent to lately, for all sockets of the stack. A small table without
/// chains: who collides looks up again.
/// </summary>
public sealed unsafe class UdpWays(UdpRegion region, ILink[] links, INetTables tables)
{
    /// <summary>RFC 1191 6.3; Linux's mtu_expires.</summary>
    private const long PathMtuNs = 600_000_000_000;

    private INetTables _tables = tables;

    public void SetTables(INetTables changed)
    {
        _tables = changed;
        for (int i = 0; i < UdpRegion.MaxWays; i++)
            region.WayAt(i)->State = UdpWayState.Unknown;
    }

    /// <summary>The way to an address for a socket with a source address, or without (<c>default</c>).</summary>
    public UdpWay* Find(in Endpoint destination, in Endpoint wanted)
    {
        UdpWay* way = region.WayAt(SlotOf(destination, wanted));
        uint version = _tables.Version;
        if (way->State != UdpWayState.Unknown && way->Version == version && Is(way, destination, wanted))
            return way;
        LookUp(way, destination, wanted, version);
        return way;
    }

    private static int SlotOf(in Endpoint destination, in Endpoint wanted)
    {
        ulong h = destination.AddressLow ^ (destination.AddressHigh * 31) ^ (wanted.AddressLow * 7)
            ^ wanted.AddressHigh;
        return (int)((h * 0x9E3779B97F4A7C15) >> 40) & (UdpRegion.MaxWays - 1);
    }

    private static bool Is(UdpWay* way, in Endpoint destination, in Endpoint wanted) =>
        way->Destination.AddressLow == destination.AddressLow && way->Destination.AddressHigh == destination.AddressHigh
        && way->Destination.Family == destination.Family && way->Destination.ScopeId == destination.ScopeId
        && way->Wanted.SameAddress(wanted);

    private void LookUp(UdpWay* way, in Endpoint destination, in Endpoint wanted, uint version)
    {
        bool known = way->State != UdpWayState.Unknown && Is(way, destination, wanted);
        UdpWay fresh = new() { Destination = destination, Wanted = wanted, Version = version };
        fresh.Destination.Port = fresh.Wanted.Port = 0;
        if (known)
        {
            fresh.PathMtu = way->PathMtu;
            fresh.PathMtuUntilNs = way->PathMtuUntilNs;
        }
        fresh.State = UdpWayState.Kernel;
        if (_tables.TryRoute(fresh.Destination, fresh.Wanted, out Route route) && route.Kind == RouteKind.Unicast
            && TryLink(route.InterfaceIndex, out fresh.Link))
        {
            fresh.InterfaceIndex = route.InterfaceIndex;
            fresh.Source = wanted.Family != Endpoint.None ? fresh.Wanted : route.Source;
            fresh.Mtu = Math.Min(route.Mtu == 0 ? uint.MaxValue : route.Mtu, links[fresh.Link].Info->Mtu);
            fresh.HopLimit = route.HopLimit;
            bool isKnown = _tables.TryNeighbour(
                route.InterfaceIndex, route.NextHop, out fresh.Mac, out NeighbourState state);
            fresh.State = fresh.Source.Family != destination.Family ? UdpWayState.Kernel
                : isKnown ? UdpWayState.Ours : UdpWayState.NoNeighbour;
            fresh.Doubt = (byte)(state == NeighbourState.Stale ? 1 : 0);
        }
        *way = fresh;
    }

    private bool TryLink(int interfaceIndex, out byte link)
    {
        for (int i = 0; i < links.Length; i++)
        {
            link = (byte)i;
            if (links[i].Info->InterfaceIndex == interfaceIndex)
                return (links[i].Info->Flags & (uint)LinkFlags.Up) != 0;
        }
        link = 0;
        return false;
    }

    public static uint MtuOf(UdpWay* way, long nowNs) =>
        way->PathMtu != 0 && nowNs < way->PathMtuUntilNs ? Math.Min(way->Mtu, way->PathMtu) : way->Mtu;

    /// <summary>Something on the way has a smaller MTU: larger datagrams are for the kernel, which knows it too.
    /// </summary>
    public void OnSmallerMtu(in Endpoint destination, uint mtu, long nowNs)
    {
        for (int i = 0; i < UdpRegion.MaxWays; i++)
        {
            UdpWay* way = region.WayAt(i);
            if (way->State == UdpWayState.Unknown || !way->Destination.SameAddress(destination))
                continue;
            way->PathMtu = mtu;
            way->PathMtuUntilNs = nowNs + PathMtuNs;
        }
    }
}
