using Accel.Core.Local;

namespace Accel.Core.Ip;

/// <summary>The source address that the kernel chooses when a socket has none.</summary>
internal readonly unsafe struct SourceChoice(NetSnapshot tables)
{
    private const byte ScopeLink = 253;

    /// <summary>
    /// IPv4: an address of the outgoing interface in whose prefix the gateway lies, else its first one, whose scope
    /// reaches as far as the route's. False if there is none, or if it is not clear which.
    /// </summary>
    public bool TryV4(in RouteEntry route, out Endpoint source)
    {
        source = new Endpoint { Family = Endpoint.V4 };
        bool hasGateway = route.GatewayFamily == Endpoint.V4;
        bool found = false;
        for (int i = tables.FirstAddress(Endpoint.V4, route.InterfaceIndex); i < tables.AddressCount; i++)
        {
            AddressEntry* entry = tables.Addresses + i;
            if (entry->Family != Endpoint.V4 || entry->InterfaceIndex != route.InterfaceIndex)
                break;
            if ((entry->Flags & AddressEntry.Secondary) != 0 || entry->Scope > route.Scope)
                continue;
            bool matches = !hasGateway || Prefix.Of(Endpoint.V4, entry->PeerLow, 0)
                .StartsLike(Prefix.Of(Endpoint.V4, route.GatewayLow, 0), entry->PrefixLength);
            if (matches || !found)
                source.AddressLow = entry->AddressLow;
            found = true;
            if (matches)
                return true;
        }
        return found || TryBorrow(route.Scope, ref source);
    }

    /// <summary>An interface without addresses borrows one: of the loopback interface, else of whoever has one.
    /// </summary>
    private bool TryBorrow(byte scope, ref Endpoint source)
    {
        int lender = 0;
        for (int i = tables.FirstAddress(Endpoint.V4, 0); i < tables.AddressCount; i++)
        {
            AddressEntry* entry = tables.Addresses + i;
            if (entry->Family != Endpoint.V4)
                break;
            if ((entry->Flags & AddressEntry.Secondary) != 0 || entry->Scope == ScopeLink || entry->Scope > scope)
                continue;
            if (lender == 0)
            {
                lender = entry->InterfaceIndex;
                source.AddressLow = entry->AddressLow;
                if (IsLoopback(lender))
                    return true;
            }
            // The kernel goes by the order in which interfaces came, which nobody tells.
            else if (lender != entry->InterfaceIndex)
                return false;
        }
        return lender != 0;
    }

    /// <summary>IPv6: RFC 6724 5 as Linux has it. False if there is none, or if it is not clear which.</summary>
    public bool TryV6(in Endpoint destination, int interfaceIndex, out Endpoint source)
    {
        source = new Endpoint { Family = Endpoint.V6 };
        LinkEntry* link = tables.Link(interfaceIndex);
        if (link == null)
            return false;
        Target target = new(destination, interfaceIndex, link->Source6);
        bool ownOnly = target.Scope <= Ipv6Scope.Link || (link->Source6 & LinkEntry.OwnAddressesOnly) != 0;
        Score best = default;
        bool found = false, ambiguous = false;
        for (int i = tables.FirstAddress(Endpoint.V6, ownOnly ? interfaceIndex : 0); i < tables.AddressCount; i++)
        {
            AddressEntry* entry = tables.Addresses + i;
            if (entry->Family != Endpoint.V6 || (ownOnly && entry->InterfaceIndex != interfaceIndex))
                break;
            if (!IsCandidate(*entry))
                continue;
            Score score = new(target, *entry);
            int order = found ? score.Order(best) : 1;
            // Among equals the kernel takes the first interface: loopback, or else in an order which nobody tells.
            ambiguous = order == 0
                ? ambiguous || (entry->InterfaceIndex != best.InterfaceIndex && !IsLoopback(best.InterfaceIndex))
                : order < 0 && ambiguous;
            if (order <= 0)
                continue;
            found = true;
            best = score;
            source.AddressLow = entry->AddressLow;
            source.AddressHigh = entry->AddressHigh;
        }
        if (source.IsLinkLocal)
            source.ScopeId = (uint)interfaceIndex;
        return found && !ambiguous;
    }

    private bool IsLoopback(int interfaceIndex)
    {
        LinkEntry* link = tables.Link(interfaceIndex);
        return link != null && link->Kind == LinkKind.Loopback;
    }

    private static bool IsCandidate(in AddressEntry entry) =>
        (entry.Flags & AddressEntry.Tentative) == 0 || (entry.Flags & AddressEntry.Optimistic) != 0;

    /// <summary>What the candidates are compared for.</summary>
    private readonly struct Target
    {
        public readonly Prefix Address;
        public readonly int Scope, Label, InterfaceIndex;
        public readonly bool PrefersTemporary, UsesOptimistic;

        public Target(in Endpoint destination, int interfaceIndex, ushort settings)
        {
            Address = Prefix.Of(destination);
            Scope = Ipv6Scope.Of(Address);
            Label = Ipv6Scope.Label(Address);
            InterfaceIndex = interfaceIndex;
            PrefersTemporary = (settings & LinkEntry.PrefersTemporary) != 0;
            UsesOptimistic = (settings & LinkEntry.UsesOptimistic) != 0;
        }
    }

    /// <summary>A candidate by the rules of RFC 6724 5: the larger one is better.</summary>
    private readonly struct Score
    {
        public readonly int InterfaceIndex;
        private readonly int _scope;
        private readonly int _rules;
        private readonly int _bits;
        private readonly bool _certain;

        public Score(in Target target, in AddressEntry entry)
        {
            Prefix address = Prefix.Of(Endpoint.V6, entry.AddressLow, entry.AddressHigh);
            InterfaceIndex = entry.InterfaceIndex;
            bool isSame = address.Order(target.Address) == 0;
            // Rule 2: the smallest scope that reaches; if none does, the largest.
            int scope = Ipv6Scope.Of(address);
            _scope = (isSame ? 1024 : 0) + (scope >= target.Scope ? -scope : scope - 128);
            uint avoided = AddressEntry.Deprecated | (target.UsesOptimistic ? 0 : AddressEntry.Optimistic);
            // Rules 3 to 7, and Linux's one about ORCHIDs.
            _rules = Bit(Ipv6Scope.IsLoopback(address) || (entry.Flags & avoided) == 0, 5)
                | Bit((entry.Flags & AddressEntry.HomeAddress) != 0, 4)
                | Bit(entry.InterfaceIndex == target.InterfaceIndex, 3)
                | Bit(Ipv6Scope.Label(address) == target.Label, 2)
                | Bit((entry.Flags & AddressEntry.Temporary) != 0 == target.PrefersTemporary, 1)
                | Bit(Ipv6Scope.IsOrchid(address) == Ipv6Scope.IsOrchid(target.Address), 0);
            // Rule 8.
            _bits = Math.Min(address.SameBits(target.Address), entry.PrefixLength);
            _certain = (entry.Flags & AddressEntry.Optimistic) == 0;
        }

        public int Order(in Score other)
        {
            if (_scope != other._scope)
                return _scope - other._scope;
            if (_rules != other._rules)
                return _rules - other._rules;
            if (_bits != other._bits)
                return _bits - other._bits;
            return (_certain ? 1 : 0) - (other._certain ? 1 : 0);
        }

        private static int Bit(bool set, int place) => set ? 1 << place : 0;
    }
}
