using System.Runtime.InteropServices;
using Accel.Core.Ip;
using Accel.Core.Local;

namespace Accel.Control.Mirror;

/// <summary>struct rtmsg and its attributes (linux/rtnetlink.h).</summary>
internal static class RouteReader
{
    public const int HeaderBytes = 12;
    private const int Target = 1, Source = 2, InputInterface = 3, OutputInterface = 4, Gateway = 5, Priority = 6;
    private const int PreferredSource = 7, Metrics = 8, Multipath = 9, Table = 15, Via = 18, EncapType = 21;
    private const int Encap = 22, IpProtocol = 27, SourcePort = 28, TargetPort = 29;
    private const uint NextHopDead = 1, NextHopLinkDown = 16, Cloned = 0x200;

    /// <summary>RTAX_.</summary>
    private const int Lock = 1, MetricMtu = 2, AdvertisedMss = 8, HopLimit = 10, InitialWindow = 11;
    private const int InitialReceiveWindow = 14;

    public static bool TryRead(in NetlinkMessage message, out RouteEntry route)
    {
        route = default;
        ReadOnlySpan<byte> body = message.Body;
        if (body.Length < HeaderBytes || Families.Of(body[0]) is not (> 0 and var family))
            return false;
        uint flags = MemoryMarshal.Read<uint>(body[8..]);
        // What the kernel has learnt of single destinations, and what it does not look at.
        if ((flags & (Cloned | NextHopDead)) != 0)
            return false;
        route.Family = family;
        route.PrefixLength = body[1];
        route.Table = body[4];
        route.Protocol = body[5];
        route.Scope = body[6];
        route.Type = body[7];
        if (body[3] != 0)
            route.Flags |= RouteEntry.HasService | RouteEntry.Unusual;
        // A source prefix; a link without carrier, which a setting may make the kernel pass over.
        if (body[2] != 0 || (flags & NextHopLinkDown) != 0)
            route.Flags |= RouteEntry.Unusual;
        foreach (NetlinkAttribute attribute in message.After(HeaderBytes))
            Take(attribute, ref route);
        // A next-hop object that was not spelled out.
        if (route is { Type: RouteEntry.Unicast, InterfaceIndex: 0 })
            route.Flags |= RouteEntry.Unusual;
        return true;
    }

    private static void Take(in NetlinkAttribute attribute, ref RouteEntry route)
    {
        switch (attribute.Type)
        {
            case Target:
                (ulong low, ulong high) = attribute.Address;
                route.Prefix = Prefix.Of(route.Family, low, high).First(route.PrefixLength);
                break;
            case OutputInterface:
                route.InterfaceIndex = (int)attribute.U32;
                break;
            case Gateway:
                route.GatewayFamily = route.Family;
                (route.GatewayLow, route.GatewayHigh) = attribute.Address;
                break;
            case Via when attribute.Value.Length > 2:
                route.GatewayFamily = Families.Of(attribute.Value[0]);
                (route.GatewayLow, route.GatewayHigh) = NetlinkAttribute.AddressIn(attribute.Value[2..]);
                if (route.GatewayFamily == Endpoint.None)
                    route.Flags |= RouteEntry.Unusual;
                break;
            case Priority:
                route.Metric = attribute.U32;
                break;
            case PreferredSource:
                route.SourceFamily = route.Family;
                (route.SourceLow, route.SourceHigh) = attribute.Address;
                break;
            case Table:
                route.Table = attribute.U32;
                break;
            case Metrics:
                foreach (NetlinkAttribute metric in attribute.Nested)
                    TakeMetric(metric, ref route);
                break;
            case Source or InputInterface or Multipath or EncapType or Encap or IpProtocol or SourcePort or TargetPort:
                route.Flags |= RouteEntry.Unusual;
                break;
        }
    }

    private static void TakeMetric(in NetlinkAttribute metric, ref RouteEntry route)
    {
        switch (metric.Type)
        {
            case Lock:
                if ((metric.U32 & 1u << MetricMtu) != 0)
                    route.Flags |= RouteEntry.MtuLocked;
                break;
            case MetricMtu:
                route.Mtu = metric.U32;
                break;
            case AdvertisedMss:
                route.AdvertisedMss = metric.U32;
                break;
            case HopLimit:
                route.HopLimit = metric.U32;
                break;
            case InitialWindow:
                route.InitialWindow = metric.U32;
                break;
            case InitialReceiveWindow:
                route.InitialReceiveWindow = metric.U32;
                break;
        }
    }
}
