using System.Runtime.CompilerServices;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Wire;

namespace Accel.Core.Ip;

/// <summary>
/// The control plane's mirror of the kernel's links, addresses, rules, routes and neighbours: a region that acceld
/// writes and everybody else maps read-only and reads without a lock. Of each half (routing, neighbours) there are two
/// copies, and a sequence number whose lowest bit says which one holds: the writer fills the other one, then counts. So
/// a reader always finds a whole copy, also after a writer that died at work, and reads again only if two changes came
/// while it read. No call allocates, blocks or enters the kernel.
/// </summary>
public readonly unsafe partial struct NetTables(byte* address)
{
    /// <summary>Reads that meet a change each time give up here: whoever asked is told to ask the kernel.</summary>
    private const int MaxReads = 64;

    public byte* Address => address;

    public bool IsMapped => address != null;

    internal NetHeader* Header => (NetHeader*)address;

    /// <summary>Counts changes of links, addresses, rules and routes.</summary>
    public uint RouteSequence => IsMapped ? Volatile.Read(ref Header->RouteSequence) : 0;

    /// <summary>Counts changes of neighbours.</summary>
    public uint NeighbourSequence => IsMapped ? Volatile.Read(ref Header->NeighbourSequence) : 0;

    /// <summary>
    /// Finds the Ethernet address of a neighbour. False if it is not known, or of no use now: ask the control plane to
    /// resolve it.
    /// </summary>
    public bool TryNeighbour(int interfaceIndex, in Endpoint nextHop, out MacAddress mac) =>
        TryNeighbour(interfaceIndex, nextHop, out mac, out _);

    /// <summary>The same, with the kernel's opinion of it.</summary>
    public bool TryNeighbour(int interfaceIndex, in Endpoint nextHop, out MacAddress mac, out NeighbourState state)
    {
        mac = default;
        state = NeighbourState.None;
        if (!IsMapped)
            return false;
        for (int i = 0; i < MaxReads; i++)
        {
            uint sequence = Volatile.Read(ref Header->NeighbourSequence);
            NeighbourEntry* entry = FindNeighbour(sequence, interfaceIndex, nextHop);
            if (entry != null)
            {
                mac = MacAddress.Read(new ReadOnlySpan<byte>(entry->Mac, MacAddress.Bytes));
                state = entry->State;
            }
            if (HasHeld(ref Header->NeighbourSequence, sequence))
                return (state & NeighbourState.Usable) != 0;
            mac = default;
            state = NeighbourState.None;
        }
        return false;
    }

    private NeighbourEntry* FindNeighbour(uint sequence, int interfaceIndex, in Endpoint nextHop)
    {
        NeighbourEntry* table = Neighbours(sequence);
        uint mask = Neighbours(Header, sequence)->SlotMask & (NetLimits.NeighbourSlots - 1);
        uint slot = NeighbourEntry.Hash(interfaceIndex, nextHop.AddressLow, nextHop.AddressHigh);
        for (uint probes = 0; probes <= mask; probes++, slot++)
        {
            NeighbourEntry* entry = table + (slot & mask);
            if (entry->Family == Endpoint.None)
                return null;
            if (entry->AddressLow == nextHop.AddressLow && entry->AddressHigh == nextHop.AddressHigh
                && entry->InterfaceIndex == interfaceIndex && entry->Family == nextHop.Family)
                return entry;
        }
        return null;
    }

    /// <summary>An address of this namespace, as bind() sees it. A link-local one with the scope of its interface.
    /// </summary>
    public bool IsLocalAddress(in Endpoint endpoint)
    {
        if (!IsMapped)
            return false;
        Endpoint plain = endpoint.Unmapped();
        for (int i = 0; i < MaxReads; i++)
        {
            uint sequence = Volatile.Read(ref Header->RouteSequence);
            bool found = new NetSnapshot(address, sequence).IsLocal(plain);
            if (HasHeld(ref Header->RouteSequence, sequence))
                return found;
        }
        return false;
    }

    /// <summary>
    /// Finds the route to a destination for a socket with the given source address (none: <c>default</c>), which may be
    /// given with its port. True if it is <see cref="RouteKind.Unicast"/> or <see cref="RouteKind.Local"/>; else
    /// <see cref="Route.Kind"/> says why not.
    /// </summary>
    public bool TryRoute(in Endpoint destination, in Endpoint source, out Route route)
    {
        Endpoint to = destination.Unmapped(), from = source.Unmapped();
        for (int i = 0; i < MaxReads && IsMapped; i++)
        {
            uint sequence = Volatile.Read(ref Header->RouteSequence);
            RouteKind kind = new RouteLookup(this, sequence).Find(to, from, out route);
            route.Kind = kind;
            if (HasHeld(ref Header->RouteSequence, sequence))
                return kind is RouteKind.Unicast or RouteKind.Local;
        }
        route = new Route { Kind = RouteKind.Kernel };
        return false;
    }

    /// <summary>Copies what is known of a link. False if there is none of this index.</summary>
    public bool TryLink(int interfaceIndex, out LinkEntry link)
    {
        for (int i = 0; i < MaxReads && IsMapped; i++)
        {
            uint sequence = Volatile.Read(ref Header->RouteSequence);
            LinkEntry* found = new NetSnapshot(address, sequence).Link(interfaceIndex);
            link = found == null ? default : *found;
            if (HasHeld(ref Header->RouteSequence, sequence))
                return found != null;
        }
        link = default;
        return false;
    }

    /// <summary>The copy that was read is whole: the writer begins to overwrite it only after it has counted.</summary>
    private static bool HasHeld(ref uint sequence, uint was)
    {
        Interlocked.MemoryBarrier();
        return Volatile.Read(ref sequence) == was;
    }

    internal NeighbourEntry* Neighbours(uint sequence) =>
        (NeighbourEntry*)(address + NetLimits.NeighboursOffset) + (sequence & 1) * NetLimits.NeighbourSlots;

    internal static NeighbourHead* Neighbours(NetHeader* header, uint sequence) =>
        (NeighbourHead*)Unsafe.AsPointer(ref header->Neighbours[(int)(sequence & 1)]);
}
