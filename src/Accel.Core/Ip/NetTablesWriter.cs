using System.Collections.Generic;
using System.Numerics;
using Accel.Core.Local;
using Accel.Core.Memory;

namespace Accel.Core.Ip;

/// <summary>
/// The one writer of a mirror region. Each call puts a whole half of it into the copy that nobody reads, and then says
/// that it holds; what is published already is not published again.
/// </summary>
[ColdPath]
public sealed unsafe class NetTablesWriter
{
    private readonly byte* _region;

    /// <param name="region"><see cref="NetLimits.SizeBytes"/> of zeroed memory.</param>
    /// <param name="id">Random identity of the region.</param>
    /// <param name="pid">The writer.</param>
    /// <param name="uid">The writer's user.</param>
    /// <param name="nowNs">CLOCK_REALTIME.</param>
    public NetTablesWriter(byte* region, ulong id, int pid, uint uid, long nowNs)
    {
        _region = region;
        Header->Header = new RegionHeader
        {
            Magic = RegionHeader.ExpectedMagic,
            Version = RegionHeader.CurrentVersion,
            Kind = RegionKind.NetTables,
            LayoutHash = LayoutHash.Value,
            SizeBytes = (ulong)NetLimits.SizeBytes,
            Id = id,
            OwnerPid = pid,
            OwnerUid = uid,
            CreatedNs = nowNs,
        };
    }

    public NetTables Tables => new(_region);

    public NetHeader* Header => (NetHeader*)_region;

    /// <summary>
    /// Publishes links, addresses, rules and routes, each in the order in which the kernel gave them. True if anything
    /// changed. <paramref name="complete"/>: false if the caller knows that something is missing.
    /// </summary>
    public bool PublishRouting(
        ReadOnlySpan<LinkEntry> links, ReadOnlySpan<AddressEntry> addresses, ReadOnlySpan<RuleEntry> rules,
        ReadOnlySpan<RouteEntry> routes, bool complete = true)
    {
        LinkEntry[] sortedLinks = Sorted(links, static (a, b) => a.Index.CompareTo(b.Index));
        AddressEntry[] sortedAddresses = Sorted(addresses, static (a, b) =>
            a.Family != b.Family ? a.Family - b.Family : a.InterfaceIndex.CompareTo(b.InterfaceIndex));
        RuleEntry[] sortedRules = Sorted(rules, static (a, b) => a.Priority.CompareTo(b.Priority));
        RouteEntry[] sortedRoutes = Sorted(routes, ByRun);
        RouteRun[] runs = RunsOf(sortedRoutes);
        complete &= links.Length <= NetLimits.Links && addresses.Length <= NetLimits.Addresses
            && rules.Length <= NetLimits.Rules && runs.Length <= NetLimits.Runs
            && sortedRoutes.Length <= NetLimits.Routes;
        RoutingHead head = new() { Flags = complete ? RoutingHead.Complete : 0 };
        if (complete)
        {
            head.Runs = runs.Length;
            head.Routes = sortedRoutes.Length;
            head.Rules = rules.Length;
        }
        head.Links = Math.Min(links.Length, NetLimits.Links);
        head.Addresses = Math.Min(addresses.Length, NetLimits.Addresses);

        NetSnapshot now = new(_region, Header->RouteSequence), next = new(_region, Header->RouteSequence + 1);
        bool changed = !SameBytes(Header->Routing[(int)(Header->RouteSequence & 1)], head);
        changed |= Put(sortedLinks, head.Links, now.Links, next.Links);
        changed |= Put(sortedAddresses, head.Addresses, now.Addresses, next.Addresses);
        changed |= Put(sortedRules, head.Rules, now.Rules, next.Rules);
        changed |= Put(runs, head.Runs, now.Runs, next.Runs);
        changed |= Put(sortedRoutes, head.Routes, now.Routes, next.Routes);
        if (!changed)
            return false;
        Header->Routing[(int)((Header->RouteSequence + 1) & 1)] = head;
        Interlocked.Increment(ref Header->RouteSequence);
        return true;
    }

    /// <summary>Publishes all neighbours, at most one entry for each interface and address.</summary>
    public void PublishNeighbours(ReadOnlySpan<NeighbourEntry> neighbours)
    {
        int count = Math.Min(neighbours.Length, NetLimits.NeighbourSlots / 2);
        uint slots = Math.Max(64, BitOperations.RoundUpToPowerOf2((uint)count * 2));
        uint next = Header->NeighbourSequence + 1;
        NeighbourEntry* table = Tables.Neighbours(next);
        new Span<NeighbourEntry>(table, (int)slots).Clear();
        foreach (NeighbourEntry neighbour in neighbours[..count])
        {
            uint slot = NeighbourEntry.Hash(neighbour.InterfaceIndex, neighbour.AddressLow, neighbour.AddressHigh);
            while (table[slot & (slots - 1)].Family != Endpoint.None)
                slot++;
            table[slot & (slots - 1)] = neighbour;
        }
        *NetTables.Neighbours(Header, next) = new NeighbourHead
        {
            SlotMask = slots - 1,
            Count = count,
            LeftOut = neighbours.Length - count,
        };
        Interlocked.Increment(ref Header->NeighbourSequence);
    }

    private static RouteRun[] RunsOf(RouteEntry[] routes)
    {
        List<RouteRun> runs = [];
        for (int i = 0; i < routes.Length;)
        {
            RouteEntry first = routes[i];
            int start = i;
            while (i < routes.Length && routes[i].Family == first.Family && routes[i].Table == first.Table
                && routes[i].PrefixLength == first.PrefixLength)
                i++;
            runs.Add(new RouteRun
            {
                Family = first.Family, Table = first.Table, PrefixLength = first.PrefixLength, Start = start,
                Count = i - start,
            });
        }
        return [.. runs];
    }

    private static int ByRun(RouteEntry a, RouteEntry b)
    {
        if (a.Family != b.Family)
            return a.Family - b.Family;
        if (a.Table != b.Table)
            return a.Table.CompareTo(b.Table);
        if (a.PrefixLength != b.PrefixLength)
            return b.PrefixLength - a.PrefixLength;
        int order = a.Prefix.Order(b.Prefix);
        if (order != 0)
            return order;
        // IPv4 tries routes for a type of service first, whatever their metric.
        int service = (b.Flags & RouteEntry.HasService) - (a.Flags & RouteEntry.HasService);
        return service != 0 ? service : a.Metric.CompareTo(b.Metric);
    }

    /// <summary>Equals stay in their order, which Array.Sort does not promise.</summary>
    private static T[] Sorted<T>(ReadOnlySpan<T> entries, Comparison<T> order)
    {
        T[] all = entries.ToArray();
        int[] places = new int[all.Length];
        for (int i = 0; i < places.Length; i++)
            places[i] = i;
        Array.Sort(places, (a, b) => order(all[a], all[b]) is not 0 and int result ? result : a - b);
        T[] sorted = new T[all.Length];
        for (int i = 0; i < places.Length; i++)
            sorted[i] = all[places[i]];
        return sorted;
    }

    private static bool Put<T>(T[] entries, int count, T* now, T* next) where T : unmanaged
    {
        ReadOnlySpan<T> wanted = entries.AsSpan(0, count);
        wanted.CopyTo(new Span<T>(next, count));
        long bytes = (long)count * sizeof(T);
        return !new ReadOnlySpan<byte>(now, (int)bytes).SequenceEqual(new ReadOnlySpan<byte>(next, (int)bytes));
    }

    private static bool SameBytes(in RoutingHead a, in RoutingHead b) =>
        a.Flags == b.Flags && a.Links == b.Links && a.Addresses == b.Addresses && a.Rules == b.Rules
        && a.Runs == b.Runs && a.Routes == b.Routes;
}
