using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Os.Control;

namespace Accel.Control.Steering;

/// <summary>
/// Which local ports belong to which stack, and the two maps that say so to the programs on the interfaces. One stack
/// on a port is one entry, of all addresses or of one; more than that goes into the map of exact addresses. Stacks of
/// root write simple entries themselves: what is found there and not known counts.
/// </summary>
public sealed unsafe class PortTable(SteeringMaps maps)
{
    private readonly Dictionary<int, List<Binding>> _bindings = [];
    private IReadOnlyCollection<Endpoint> _ownAddresses = [];
    private HashSet<AddressKey> _ownKeys = [];

    private readonly record struct Binding(uint Slot, Endpoint Local, bool V4, bool V6, ulong Flags)
    {
        /// <summary>The IPv4 part of an entry that another acceld made: a socket of its own, or an IPv6 socket's.
        /// </summary>
        public bool IsFoundPart { get; init; }

        public bool IsAny => Local.IsAny;

        public bool Overlaps(in Binding other) =>
            IsAny == other.IsAny && ((V4 && other.V4) || (V6 && other.V6))
            && (IsAny || Local.SameAddress(other.Local));
    }

    public AnswerTable Answers { get; } = new(maps);

    /// <summary>Addresses that an entry's fold may stand for.</summary>
    public IReadOnlyCollection<Endpoint> OwnAddresses
    {
        get => _ownAddresses;
        set
        {
            _ownAddresses = value;
            _ownKeys = [.. value.Select(address => AddressKey.Of(address))];
        }
    }

    /// <summary>True if frames to that address are steered at all: a port of all addresses is one of these.</summary>
    public bool IsOwnAddress(in Endpoint local) => _ownKeys.Contains(AddressKey.Of(local));

    /// <summary>What is in the maps that another acceld left.</summary>
    public void TakeOver()
    {
        foreach (ExactKey key in maps.Exact.Keys<ExactKey>())
        {
            if (!maps.Exact.TryGet(key, out ulong bits) || !new PortEntry(bits).HasSlot)
                continue;
            Transport transport = key.IsUdp != 0 ? Transport.Udp : Transport.Tcp;
            Of(PortEntry.IndexOf(transport, key.Local.Port)).Add(Of(new PortEntry(bits), key.Local));
        }
    }

    /// <param name="transport">TCP or UDP.</param>
    /// <param name="local">Port, and address or any.</param>
    /// <param name="slot">The stack's.</param>
    /// <param name="v6Only">An unspecified IPv6 address does not stand for IPv4 too.</param>
    /// <param name="flags"><see cref="PortEntry.Listener"/> and so on.</param>
    public NicRefusal Add(Transport transport, in Endpoint local, uint slot, bool v6Only, ulong flags)
    {
        int index = PortEntry.IndexOf(transport, local.Port);
        Import(index, Read(index), local.Port);
        Endpoint plain = local.Unmapped();
        bool isV6 = plain.Family == Endpoint.V6;
        Binding wanted = new(slot, plain, !isV6 || (plain.IsAny && !v6Only), isV6, flags);
        List<Binding> there = Of(index);
        foreach (Binding one in there)
        {
            // Two stacks with all addresses of a port, one for each family, would need two entries.
            if (one.Slot != slot && (one.Overlaps(wanted) || (one.IsAny && wanted.IsAny)))
                return NicRefusal.PortTaken;
        }
        there.RemoveAll(one => one.Slot == slot && one.Local.Equals(plain));
        there.Add(wanted);
        Write(transport, local.Port);
        return NicRefusal.None;
    }

    /// <summary>A stack's listener has closed: it keeps the port for the connections that it has.</summary>
    public bool Leave(Transport transport, in Endpoint local, uint slot)
    {
        ForgetAnswer(transport, local, slot);
        int index = PortEntry.IndexOf(transport, local.Port);
        Import(index, Read(index), local.Port);
        Endpoint plain = local.Unmapped();
        if (!_bindings.TryGetValue(index, out List<Binding>? there))
            return false;
        int at = there.FindIndex(one => one.Slot == slot && one.Local.SameAddress(plain));
        if (at < 0)
            return false;
        there[at] = there[at] with { Flags = PortEntry.Leaving | PortEntry.Mixed };
        LeaveFoundPart(transport, there, slot, plain);
        Write(transport, local.Port);
        return true;
    }

    public bool Remove(Transport transport, in Endpoint local, uint slot)
    {
        ForgetAnswer(transport, local, slot);
        int index = PortEntry.IndexOf(transport, local.Port);
        Import(index, Read(index), local.Port);
        Endpoint plain = local.Unmapped();
        if (!_bindings.TryGetValue(index, out List<Binding>? there)
            || there.RemoveAll(one => one.Slot == slot && one.Local.SameAddress(plain)) == 0)
            return false;
        LeaveFoundPart(transport, there, slot, plain);
        Write(transport, local.Port);
        return true;
    }

    private void ForgetAnswer(Transport transport, in Endpoint local, uint slot)
    {
        if (transport == Transport.Tcp)
            Answers.Remove(local, slot);
    }

    /// <summary>
    /// The IPv6 socket for all addresses of a port that was found has closed, and may have been the one for IPv4 too.
    /// Connections that there are go on in any case, and new ones and datagrams are the kernel's, whose sockets know.
    /// </summary>
    private static void LeaveFoundPart(Transport transport, List<Binding> there, uint slot, in Endpoint closed)
    {
        int at = closed.Family == Endpoint.V6 && closed.IsAny
            ? there.FindIndex(one => one.Slot == slot && one.IsFoundPart) : -1;
        if (at < 0)
            return;
        if (transport == Transport.Udp)
            there.RemoveAt(at);
        else
            there[at] = there[at] with { Flags = PortEntry.Leaving | PortEntry.Mixed };
    }

    /// <summary>
    /// The kernel has connections of its own on a stack's port from now on. False if the port is not the stack's.
    /// </summary>
    public bool Mix(Transport transport, in Endpoint local, uint slot)
    {
        int index = PortEntry.IndexOf(transport, local.Port);
        Import(index, Read(index), local.Port);
        Endpoint plain = local.Unmapped();
        if (!_bindings.TryGetValue(index, out List<Binding>? there))
            return false;
        bool found = false;
        for (int i = 0; i < there.Count; i++)
        {
            Binding one = there[i];
            if (one.Slot != slot || !(one.IsAny ? plain.Family == Endpoint.V4 ? one.V4 : one.V6
                : one.Local.SameAddress(plain)))
                continue;
            there[i] = one with { Flags = one.Flags | PortEntry.Mixed };
            found = true;
        }
        if (found)
            Write(transport, local.Port);
        return found;
    }

    /// <summary>The ports of a stack go back to the kernel. Returns how many.</summary>
    public int RemoveSlot(uint slot)
    {
        Answers.RemoveSlot(slot);
        int removed = 0;
        for (int index = 0; index < 2 * PortEntry.PortsPerTransport; index++)
        {
            PortEntry entry = Read(index);
            if (entry.Bits == 0)
                continue;
            if (_bindings.TryGetValue(index, out List<Binding>? there) && there.RemoveAll(one => one.Slot == slot) > 0)
            {
                removed++;
                Write(TransportOf(index), (ushort)index);
            }
            else if (entry.HasSlot && entry.Slot == slot
                && Interlocked.CompareExchange(ref maps.Ports[index], 0, entry.Bits) == entry.Bits)
                removed++;
        }
        return removed;
    }

    /// <summary>Slots that have a port.</summary>
    public HashSet<uint> SlotsInUse()
    {
        HashSet<uint> slots = [];
        for (int index = 0; index < 2 * PortEntry.PortsPerTransport; index++)
        {
            PortEntry entry = Read(index);
            if (entry.HasSlot)
                slots.Add(entry.Slot);
        }
        foreach (List<Binding> list in _bindings.Values)
            foreach (Binding one in list)
                slots.Add(one.Slot);
        return slots;
    }

    /// <summary>Every port with its stacks, for people to read.</summary>
    public IEnumerable<(Transport Transport, ushort Port, PortEntry Entry)> Entries()
    {
        List<(Transport, ushort, PortEntry)> found = [];
        for (int index = 0; index < 2 * PortEntry.PortsPerTransport; index++)
        {
            PortEntry entry = Read(index);
            if (entry.Bits != 0)
                found.Add((TransportOf(index), (ushort)index, entry));
        }
        return found;
    }

    public bool HasListeners => _bindings.Any(b => TransportOf(b.Key) == Transport.Tcp
        && b.Value.Exists(one => (one.Flags & PortEntry.Listener) != 0));

    /// <summary>Listening TCP ports: the kernel may have connections on them, or not (any more).</summary>
    public void MarkMixed(Func<ushort, bool> hasKernelConnections)
    {
        foreach ((int index, List<Binding> list) in _bindings)
        {
            if (TransportOf(index) != Transport.Tcp || !list.Exists(b => (b.Flags & PortEntry.Listener) != 0))
                continue;
            bool mixed = hasKernelConnections((ushort)index);
            bool changed = false;
            for (int i = 0; i < list.Count; i++)
            {
                ulong flags = mixed ? list[i].Flags | PortEntry.Mixed : list[i].Flags & ~PortEntry.Mixed;
                changed |= flags != list[i].Flags;
                list[i] = list[i] with { Flags = flags };
            }
            if (changed)
                Write(Transport.Tcp, (ushort)index);
        }
    }

    private PortEntry Read(int index) => new(Volatile.Read(ref maps.Ports[index]));

    private static Transport TransportOf(int index) =>
        index >= PortEntry.PortsPerTransport ? Transport.Udp : Transport.Tcp;

    private List<Binding> Of(int index)
    {
        if (!_bindings.TryGetValue(index, out List<Binding>? list))
            _bindings[index] = list = [];
        return list;
    }

    private static Binding Of(PortEntry entry, in Endpoint local)
    {
        bool any = local.IsAny;
        return new Binding(entry.Slot, local, any ? !entry.Has(PortEntry.NotV4) : local.Family == Endpoint.V4,
            any ? !entry.Has(PortEntry.NotV6) : local.Family == Endpoint.V6,
            entry.Bits & (PortEntry.Listener | PortEntry.Mixed | PortEntry.Leaving));
    }

    /// <summary>Gets to know an entry that a stack wrote by itself, or that was there before this acceld.</summary>
    private void Import(int index, PortEntry entry, ushort port)
    {
        if (!entry.HasSlot)
            return;
        Endpoint local = new() { Family = entry.Has(PortEntry.NotV6) ? Endpoint.V4 : Endpoint.V6, Port = port };
        uint fold = (uint)(entry.Bits >> PortEntry.TagShift);
        if (entry.Has(PortEntry.Tagged) && local.Family == Endpoint.V4)
            local.AddressLow = fold;
        else if (entry.Has(PortEntry.Tagged))
        {
            foreach (Endpoint own in OwnAddresses)
            {
                if (own.Family == Endpoint.V6 && PortEntry.Fold(own) == fold)
                    local = own with { Port = port };
            }
        }
        List<Binding> there = Of(index);
        Binding found = Of(entry, local);
        if (there.Exists(one => one.Slot == found.Slot && (one.Local.SameAddress(local)
            || (one.IsAny && found.IsAny))))
            return;
        if (found is { IsAny: true, V4: true, V6: true })
        {
            there.Add(found with { Local = local with { Family = Endpoint.V4 }, V6 = false, IsFoundPart = true });
            found = found with { V4 = false };
        }
        there.Add(found);
    }

    /// <summary>
    /// Makes both maps say what the bindings of a port are. A stack that writes an entry for itself meanwhile counts.
    /// </summary>
    private void Write(Transport transport, ushort port)
    {
        int index = PortEntry.IndexOf(transport, port);
        PortEntry before = Read(index);
        while (true)
        {
            HashSet<ExactKey> wanted = [];
            ulong bits = Combine(transport, Of(index), wanted);
            ulong found = Interlocked.CompareExchange(ref maps.Ports[index], bits, before.Bits);
            if (found != before.Bits)
            {
                before = new PortEntry(found);
                Import(index, before, port);
                continue;
            }
            if (Of(index).Count == 0)
                _bindings.Remove(index);
            if (before.Has(PortEntry.Exact))
                RemoveExact(transport, port, wanted);
            return;
        }
    }

    /// <summary>The entry for a port's bindings; those that it cannot hold are put into the other map.</summary>
    private ulong Combine(Transport transport, List<Binding> there, HashSet<ExactKey> exact)
    {
        ulong bits = 0;
        bool v4 = false, v6 = false;
        foreach (Binding one in there.FindAll(b => b.IsAny))
        {
            bits |= (one.Slot + 1) | one.Flags;
            v4 |= one.V4;
            v6 |= one.V6;
        }
        List<Binding> single = there.FindAll(b => !b.IsAny);
        if ((bits & PortEntry.Listener) != 0)
            bits &= ~PortEntry.Leaving;
        if (bits != 0)
            bits |= (v4 ? 0 : PortEntry.NotV4) | (v6 ? 0 : PortEntry.NotV6);
        if (single.Count == 0)
            return bits;
        if (bits == 0 && single.Count == 1)
            return PortEntry.For(single[0].Slot, single[0].Local, single[0].Flags).Bits;
        foreach (Binding one in single)
        {
            ExactKey key = ExactKey.Of(transport == Transport.Udp, one.Local);
            exact.Add(key);
            maps.Exact.Set(key, (one.Slot + 1) | one.Flags);
        }
        return bits | PortEntry.Exact;
    }

    private void RemoveExact(Transport transport, ushort port, HashSet<ExactKey> but)
    {
        foreach (ExactKey key in maps.Exact.Keys<ExactKey>())
        {
            if (key.Local.Port == port && (key.IsUdp != 0) == (transport == Transport.Udp) && !but.Contains(key))
                maps.Exact.Remove(key);
        }
    }
}
