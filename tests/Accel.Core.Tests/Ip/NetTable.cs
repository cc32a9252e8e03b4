using System.Net;
using System.Runtime.InteropServices;
using System.Text;
using Accel.Core.Ip;
using Accel.Core.Local;

namespace Accel.Core.Tests.Ip;

/// <summary>A mirror region in private memory, filled by hand as the kernel would fill it.</summary>
sealed unsafe class NetTable : IDisposable
{
    public const byte ScopeHost = 254, ScopeLink = 253, ScopeGlobal = 0;

    readonly byte* _memory = (byte*)NativeMemory.AllocZeroed((nuint)NetLimits.SizeBytes);
    readonly List<LinkEntry> _links = [];
    readonly List<AddressEntry> _addresses = [];
    readonly List<RuleEntry> _rules = [];
    readonly List<RouteEntry> _routes = [];
    readonly List<NeighbourEntry> _neighbours = [];

    public NetTable()
    {
        Writer = new NetTablesWriter(_memory, 7, 1, 0, 1);
        Link(1, "lo", LinkKind.Loopback, 65536);
        foreach (var family in new[] { Endpoint.V4, Endpoint.V6 })
        {
            Rule(family, 0, RouteTable.Local);
            Rule(family, 32766, RouteTable.Main);
        }
        Rule(Endpoint.V4, 32767, RouteTable.Default);
    }

    public NetTablesWriter Writer { get; }

    public NetTables Tables => Writer.Tables;

    public static Endpoint At(string address, uint scope = 0)
    {
        var endpoint = new Endpoint { Family = Endpoint.V4, ScopeId = scope };
        var bytes = IPAddress.Parse(address).GetAddressBytes();
        if (bytes.Length == 16)
            endpoint.Family = Endpoint.V6;
        bytes.CopyTo(new Span<byte>(endpoint.Address, 16));
        return endpoint;
    }

    public static string Text(in Endpoint endpoint)
    {
        if (endpoint.Family == Endpoint.None)
            return "-";
        fixed (byte* bytes = endpoint.Address)
            return new IPAddress(new ReadOnlySpan<byte>(bytes, endpoint.Family == Endpoint.V4 ? 4 : 16)).ToString()
                + (endpoint.ScopeId != 0 ? $"%{endpoint.ScopeId}" : "");
    }

    public NetTable Link(int index, string name, LinkKind kind = LinkKind.Device, uint mtu = 1500, uint flags = 1,
        uint mtu6 = 0, ushort source6 = 0)
    {
        var link = new LinkEntry
        {
            Index = index, Kind = kind, Mtu = mtu, Mtu6 = mtu6 == 0 ? mtu : mtu6, Flags = flags, Source6 = source6,
        };
        Encoding.ASCII.GetBytes(name).CopyTo(new Span<byte>(link.Name, LinkEntry.NameBytes));
        _links.RemoveAll(l => l.Index == index);
        _links.Add(link);
        return this;
    }

    /// <summary>An address with the routes that the kernel makes for it.</summary>
    public NetTable Address(int link, string prefix, uint flags = 0, byte scope = ScopeGlobal, bool routes = true)
    {
        var (address, bits) = Split(prefix);
        _addresses.Add(new AddressEntry
        {
            InterfaceIndex = link, Family = address.Family, PrefixLength = (byte)bits, Flags = flags, Scope = scope,
            AddressLow = address.AddressLow, AddressHigh = address.AddressHigh, PeerLow = address.AddressLow,
            PeerHigh = address.AddressHigh,
        });
        if (!routes)
            return this;
        var full = address.Family == Endpoint.V4 ? 32 : 128;
        Route($"{Text(address)}/{full}", link, table: RouteTable.Local, type: RouteEntry.Local, scope: ScopeHost,
            source: address.Family == Endpoint.V4 ? Text(address) : null);
        if (bits < full)
            Route(prefix, link, scope: ScopeLink, metric: address.Family == Endpoint.V4 ? 0u : 256,
                source: address.Family == Endpoint.V4 ? Text(address) : null);
        return this;
    }

    public NetTable Rule(byte family, uint priority, uint table, string? from = null, string? to = null,
        byte flags = 0, byte shortest = 0)
    {
        var (source, sourceBits) = from == null ? default : Split(from);
        var (target, targetBits) = to == null ? default : Split(to);
        _rules.Add(new RuleEntry
        {
            Family = family, Priority = priority, Table = table, Flags = flags, From = Prefix.Of(source),
            FromLength = (byte)sourceBits, To = Prefix.Of(target), ToLength = (byte)targetBits,
            ShortestPrefix = shortest,
        });
        return this;
    }

    public NetTable Route(string prefix, int link, string? via = null, uint metric = 0, uint table = RouteTable.Main,
        byte type = RouteEntry.Unicast, byte scope = ScopeGlobal, string? source = null, byte flags = 0, uint mtu = 0)
    {
        var (address, bits) = Split(prefix);
        var gateway = via == null ? default : At(via);
        var chosen = source == null ? default : At(source);
        _routes.Add(new RouteEntry
        {
            Family = address.Family, Prefix = Prefix.Of(address).First(bits), PrefixLength = (byte)bits,
            InterfaceIndex = link, Metric = metric, Table = table, Type = type, Scope = scope, Flags = flags,
            Mtu = mtu, GatewayFamily = gateway.Family, GatewayLow = gateway.AddressLow,
            GatewayHigh = gateway.AddressHigh, SourceFamily = chosen.Family, SourceLow = chosen.AddressLow,
            SourceHigh = chosen.AddressHigh,
        });
        return this;
    }

    public NetTable Neighbour(int link, string address, NeighbourState state, byte mac)
    {
        var at = At(address);
        var entry = new NeighbourEntry
        {
            InterfaceIndex = link, Family = at.Family, AddressLow = at.AddressLow, AddressHigh = at.AddressHigh,
            State = state,
        };
        new byte[] { 2, 0, 0, 0, 0, mac }.CopyTo(new Span<byte>(entry.Mac, 6));
        _neighbours.RemoveAll(n => n.InterfaceIndex == link && n.AddressLow == at.AddressLow
            && n.AddressHigh == at.AddressHigh);
        _neighbours.Add(entry);
        return this;
    }

    public NetTable Forget(Predicate<RouteEntry> routes)
    {
        _routes.RemoveAll(routes);
        return this;
    }

    public NetTable Publish(bool complete = true)
    {
        Publishes(complete);
        return this;
    }

    public bool Publishes(bool complete = true)
    {
        Writer.PublishNeighbours(CollectionsMarshal.AsSpan(_neighbours));
        return Writer.PublishRouting(CollectionsMarshal.AsSpan(_links), CollectionsMarshal.AsSpan(_addresses),
            CollectionsMarshal.AsSpan(_rules), CollectionsMarshal.AsSpan(_routes), complete);
    }

    /// <summary>"unicast IF via NEXTHOP src SOURCE" or the like.</summary>
    public string Ask(string destination, string? source = null, uint scope = 0)
    {
        var from = source == null ? default : At(source);
        var found = Tables.TryRoute(At(destination, scope), from, out var route);
        Assert.Equal(found, route.Kind is RouteKind.Unicast or RouteKind.Local);
        return route.Kind switch
        {
            RouteKind.Unicast => $"{route.InterfaceIndex} via {Text(route.NextHop)} src {Text(route.Source)}",
            RouteKind.Local => $"local src {Text(route.Source)}",
            _ => route.Kind.ToString(),
        };
    }

    public void Dispose() => NativeMemory.Free(_memory);

    static (Endpoint Address, int Bits) Split(string prefix)
    {
        var parts = prefix.Split('/');
        return (At(parts[0]), int.Parse(parts[1]));
    }
}
