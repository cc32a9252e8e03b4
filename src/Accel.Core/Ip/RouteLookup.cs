using Accel.Core.Local;

namespace Accel.Core.Ip;

/// <summary>
/// Asks one copy of the routing tables as the kernel asks its own. Where the kernel's answer depends on more than the
/// tables say, the answer is <see cref="RouteKind.Kernel"/>.
/// </summary>
internal readonly unsafe struct RouteLookup
{
    private readonly NetTables _all;
    private readonly NetSnapshot _tables;

    public RouteLookup(NetTables all, uint sequence)
    {
        _all = all;
        _tables = new NetSnapshot(all.Address, sequence);
    }

    /// <param name="to">Not v4-mapped.</param>
    /// <param name="from">Not v4-mapped; no family or the unspecified address: not chosen yet.</param>
    public RouteKind Find(in Endpoint to, in Endpoint from, out Route route)
    {
        route = default;
        bool isBound = from.Family != Endpoint.None && !from.IsAny;
        if (!_tables.IsComplete || !IsPlain(to) || (isBound && from.Family != to.Family))
            return RouteKind.Kernel;
        Prefix source = isBound ? Prefix.Of(from) : default;
        RouteKind kind = Ask(to, isBound, source, out RouteEntry* entry, out bool askedSource);
        if (entry == null)
            return kind;
        if (kind == RouteKind.Unicast)
            kind = Describe(to, *entry, ref route);
        route.InterfaceIndex = entry->InterfaceIndex;
        if (isBound)
            route.Source = new Endpoint
            {
                Family = from.Family, ScopeId = from.ScopeId, AddressLow = from.AddressLow,
                AddressHigh = from.AddressHigh,
            };
        else if (!TryChoose(to, *entry, kind, out route.Source))
            return RouteKind.Kernel;
        if (!askedSource || isBound)
            return kind;
        // connect() asks again with the source that it chose; a datagram is sent as the first answer says.
        RouteKind again = Ask(to, true, Prefix.Of(route.Source), out RouteEntry* second, out _);
        return again == kind && second == entry ? kind : RouteKind.Kernel;
    }

    /// <summary>A unicast address, and if it is a link-local one, on a given link.</summary>
    private static bool IsPlain(in Endpoint to)
    {
        if (to.IsAny)
            return false;
        if (to.Family == Endpoint.V4)
            return (byte)to.AddressLow is > 0 and < 224;
        return to.Family == Endpoint.V6 && !Ipv6Scope.IsMulticast(Prefix.Of(to))
            && (to.ScopeId != 0 || !to.IsLinkLocal);
    }

    /// <summary>Goes by the rules until a table has a route.</summary>
    private RouteKind Ask(
        in Endpoint to, bool isBound, in Prefix source, out RouteEntry* entry, out bool askedSource)
    {
        entry = null;
        askedSource = false;
        Prefix key = Prefix.Of(to);
        for (int i = 0; i < _tables.RuleCount; i++)
        {
            RuleEntry* rule = _tables.Rules + i;
            if (rule->Family != to.Family)
                continue;
            askedSource |= rule->FromLength != 0;
            bool applies = key.StartsLike(rule->To, rule->ToLength)
                && (rule->FromLength == 0 || (isBound && source.StartsLike(rule->From, rule->FromLength)));
            if (applies == ((rule->Flags & RuleEntry.Inverted) != 0))
                continue;
            if ((rule->Flags & RuleEntry.Unusual) != 0)
                return RouteKind.Kernel;
            RouteKind kind = AskTable(to, rule->Table, out entry);
            if (kind != RouteKind.None && (entry == null || entry->PrefixLength >= rule->ShortestPrefix))
                return kind;
        }
        entry = null;
        return RouteKind.None;
    }

    private RouteKind AskTable(in Endpoint to, uint table, out RouteEntry* entry)
    {
        entry = null;
        int run = -1;
        while (_tables.NextShorter(to, table, ref run, out int first, out int count))
        {
            RouteEntry* routes = _tables.Routes + first;
            RouteEntry* found = to.Family == Endpoint.V4 ? PickV4(routes, count, out bool clear)
                : PickV6(to, routes, count, out clear);
            if (!clear)
                return RouteKind.Kernel;
            if (found == null)
                continue;
            if (found->Type == RouteEntry.Throw)
                return RouteKind.None;
            if (found->Type is not (RouteEntry.Unicast or RouteEntry.Local) || HidesMain(to, table, *found))
                return RouteKind.Kernel;
            if (to.Family == Endpoint.V6 && IsUnreachable(*found)
                && (count > 1 || _tables.NextShorter(to, table, ref run, out _, out _)))
                return RouteKind.Kernel;
            entry = found;
            return found->Type == RouteEntry.Local ? RouteKind.Local : RouteKind.Unicast;
        }
        return RouteKind.None;
    }

    /// <summary>The first one. Among several default routes of one metric the kernel goes by its neighbours.</summary>
    private static RouteEntry* PickV4(RouteEntry* routes, int count, out bool clear)
    {
        clear = (routes->Flags & RouteEntry.Unusual) == 0
            && !(routes->PrefixLength == 0 && count > 1 && routes[1].Metric == routes->Metric);
        return routes;
    }

    /// <summary>
    /// The first one on the link, if a link is given. Among several of one metric the kernel goes by its neighbours.
    /// </summary>
    private static RouteEntry* PickV6(in Endpoint to, RouteEntry* routes, int count, out bool clear)
    {
        RouteEntry* found = null;
        clear = true;
        bool onLink = to.IsLinkLocal;
        for (int i = 0; i < count && clear; i++)
        {
            RouteEntry* route = routes + i;
            if (onLink && route->InterfaceIndex != (int)to.ScopeId)
                continue;
            if (found == null)
            {
                found = route;
                clear = (route->Flags & RouteEntry.Unusual) == 0;
            }
            else if (route->Metric != found->Metric)
                break;
            else
                clear = route->Type == RouteEntry.Local && found->Type == RouteEntry.Local;
        }
        return found;
    }

    /// <summary>
    /// Until a namespace gets rules of its own, IPv4's local and main table are one for the kernel, so that a longer
    /// prefix of main wins over a shorter local one. Whether it ever had some, nobody tells.
    /// </summary>
    private bool HidesMain(in Endpoint to, uint table, in RouteEntry found) =>
        to.Family == Endpoint.V4 && table == RouteTable.Local && found.PrefixLength < 32
        && _tables.Longest(to, RouteTable.Main, out int first, out _)
        && _tables.Routes[first].PrefixLength > found.PrefixLength;

    /// <summary>RFC 4191 3.2: IPv6 prefers another route to one over a router that does not answer.</summary>
    private bool IsUnreachable(in RouteEntry route)
    {
        if (route.GatewayFamily != Endpoint.V6)
            return false;
        Endpoint router = Gateway(route);
        return !_all.TryNeighbour(route.InterfaceIndex, router, out _, out NeighbourState state)
            && state != NeighbourState.None;
    }

    private RouteKind Describe(in Endpoint to, in RouteEntry entry, ref Route route)
    {
        LinkEntry* link = _tables.Link(entry.InterfaceIndex);
        if (link == null || !link->IsUp || link->Kind is LinkKind.Loopback or LinkKind.Vrf)
            return RouteKind.Kernel;
        uint mtu = to.Family == Endpoint.V4 ? link->Mtu : link->Mtu6;
        if (mtu == 0)
            return RouteKind.Kernel;
        route.Mtu = entry.Mtu == 0 ? mtu : Math.Min(mtu, entry.Mtu);
        route.MtuLocked = (entry.Flags & RouteEntry.MtuLocked) != 0;
        route.AdvertisedMss = entry.AdvertisedMss;
        route.InitialWindow = entry.InitialWindow;
        route.InitialReceiveWindow = entry.InitialReceiveWindow;
        route.HopLimit = (byte)Math.Min(entry.HopLimit, 255);
        if (entry.GatewayFamily != Endpoint.None)
            route.NextHop = Gateway(entry);
        else
            route.NextHop = new Endpoint
            {
                Family = to.Family, AddressLow = to.AddressLow, AddressHigh = to.AddressHigh,
                ScopeId = to.IsLinkLocal ? (uint)entry.InterfaceIndex : 0,
            };
        return RouteKind.Unicast;
    }

    private static Endpoint Gateway(in RouteEntry entry)
    {
        Endpoint gateway = new()
        {
            Family = entry.GatewayFamily, AddressLow = entry.GatewayLow, AddressHigh = entry.GatewayHigh,
        };
        if (gateway.IsLinkLocal)
            gateway.ScopeId = (uint)entry.InterfaceIndex;
        return gateway;
    }

    private bool TryChoose(in Endpoint to, in RouteEntry entry, RouteKind kind, out Endpoint source)
    {
        if (entry.SourceFamily != Endpoint.None)
        {
            source = new Endpoint
            {
                Family = entry.SourceFamily, AddressLow = entry.SourceLow, AddressHigh = entry.SourceHigh,
            };
            if (source.IsLinkLocal)
                source.ScopeId = (uint)entry.InterfaceIndex;
            return true;
        }
        if (to.Family == Endpoint.V6)
            return new SourceChoice(_tables).TryV6(to, entry.InterfaceIndex, out source);
        if (kind != RouteKind.Local)
            return new SourceChoice(_tables).TryV4(entry, out source);
        source = new Endpoint { Family = Endpoint.V4, AddressLow = to.AddressLow };
        return true;
    }
}
