using System.Runtime.InteropServices;
using Accel.Core.Ip;
using Accel.Core.Local;

namespace Accel.Control.Mirror;

/// <summary>Which of the kernel's tables have to be read again.</summary>
[Flags]
internal enum TableSet
{
    None = 0,
    Links = 1,
    Addresses = 2,
    Rules = 4,
    RoutesV4 = 8,
    RoutesV6 = 16,
    Neighbours = 32,
    Routing = Links | Addresses | Rules | RoutesV4 | RoutesV6,
    All = Routing | Neighbours,
}

/// <summary>
/// What was read of the kernel's tables. Routing tables are read as a whole whenever one of them changes, since the
/// kernel does not tell of every route that goes (those of an interface that is switched off go silently). Neighbours
/// come and go too often for that: their events are applied.
/// </summary>
internal sealed class KernelTables(NetlinkSocket socket)
{
    private readonly List<LinkEntry> _links = [];
    private readonly List<AddressEntry> _addresses = [];
    private readonly List<RuleEntry> _rules = [];
    private readonly List<RouteEntry> _routesV4 = [];
    private readonly List<RouteEntry> _routesV6 = [];
    private readonly Dictionary<(int, byte, ulong, ulong), NeighbourEntry> _neighbours = [];

    public IReadOnlyList<LinkEntry> Links => _links;

    public IReadOnlyList<AddressEntry> Addresses => _addresses;

    public void Read(TableSet tables)
    {
        if (tables.HasFlag(TableSet.Links))
            socket.Dump(NetlinkMessage.GetLink, LinkReader.Request(), _links.Clear, (in NetlinkMessage message) =>
            {
                if (message.Type == NetlinkMessage.NewLink && LinkReader.TryRead(message, out LinkEntry link))
                    _links.Add(link);
            });
        if (tables.HasFlag(TableSet.Addresses))
            ReadBoth(NetlinkMessage.GetAddress, AddressReader.HeaderBytes, _addresses,
                (in NetlinkMessage message) =>
                {
                    if (AddressReader.TryRead(message, out AddressEntry entry))
                        _addresses.Add(entry);
                });
        if (tables.HasFlag(TableSet.Rules))
            ReadBoth(NetlinkMessage.GetRule, RuleReader.HeaderBytes, _rules, (in NetlinkMessage message) =>
            {
                if (RuleReader.TryRead(message, out RuleEntry entry))
                    _rules.Add(entry);
            });
        if (tables.HasFlag(TableSet.RoutesV4))
            ReadRoutes(Endpoint.V4, _routesV4);
        if (tables.HasFlag(TableSet.RoutesV6))
            ReadRoutes(Endpoint.V6, _routesV6);
        if (tables.HasFlag(TableSet.Neighbours))
            ReadNeighbours();
    }

    public void PublishRouting(NetTablesWriter writer)
    {
        List<RouteEntry> routes = [.. _routesV4, .. _routesV6];
        writer.PublishRouting(CollectionsMarshal.AsSpan(_links), CollectionsMarshal.AsSpan(_addresses),
            CollectionsMarshal.AsSpan(_rules), CollectionsMarshal.AsSpan(routes));
    }

    public void PublishNeighbours(NetTablesWriter writer) => writer.PublishNeighbours([.. _neighbours.Values]);

    /// <summary>True if it tells anything new.</summary>
    public bool ApplyNeighbour(in NetlinkMessage message)
    {
        if (!NeighbourReader.TryRead(message, out NeighbourEntry entry))
            return false;
        (int, byte, ulong, ulong) key = Key(entry);
        if (message.Type == NetlinkMessage.DelNeighbour)
            return _neighbours.Remove(key);
        if (_neighbours.TryGetValue(key, out NeighbourEntry was)
            && MemoryMarshal.AsBytes([was]).SequenceEqual(MemoryMarshal.AsBytes([entry])))
            return false;
        _neighbours[key] = entry;
        return true;
    }

    private void ReadRoutes(byte family, List<RouteEntry> routes)
    {
        byte[] body = new byte[RouteReader.HeaderBytes];
        body[0] = Families.ToLinux(family);
        socket.Dump(NetlinkMessage.GetRoute, body, routes.Clear, (in NetlinkMessage message) =>
        {
            if (message.Type == NetlinkMessage.NewRoute && RouteReader.TryRead(message, out RouteEntry route))
                routes.Add(route);
        });
    }

    private void ReadNeighbours()
    {
        List<NeighbourEntry> found = [];
        ReadBoth(NetlinkMessage.GetNeighbour, NeighbourReader.HeaderBytes, found, (in NetlinkMessage message) =>
        {
            if (NeighbourReader.TryRead(message, out NeighbourEntry entry))
                found.Add(entry);
        });
        _neighbours.Clear();
        foreach (NeighbourEntry entry in found)
            _neighbours[Key(entry)] = entry;
    }

    private void ReadBoth<T>(ushort type, int headerBytes, List<T> entries, NetlinkHandler handler)
    {
        entries.Clear();
        foreach (byte family in (ReadOnlySpan<byte>)[Endpoint.V4, Endpoint.V6])
        {
            int before = entries.Count;
            byte[] body = new byte[headerBytes];
            body[0] = Families.ToLinux(family);
            socket.Dump(type, body, () => entries.RemoveRange(before, entries.Count - before), handler);
        }
    }

    private static (int, byte, ulong, ulong) Key(in NeighbourEntry entry) =>
        (entry.InterfaceIndex, entry.Family, entry.AddressLow, entry.AddressHigh);
}
