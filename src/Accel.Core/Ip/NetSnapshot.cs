using Accel.Core.Local;

namespace Accel.Core.Ip;

/// <summary>
/// One copy of the routing tables, as of a sequence number. While it is overwritten, what is read here may be nonsense,
/// but never lies outside of the tables, and every walk ends.
/// </summary>
internal readonly unsafe struct NetSnapshot
{
    private readonly byte* _region;
    private readonly uint _copy;
    private readonly RoutingHead _head;

    public NetSnapshot(byte* region, uint sequence)
    {
        _region = region;
        _copy = sequence & 1;
        _head = ((NetHeader*)region)->Routing[(int)_copy];
    }

    public bool IsComplete => (_head.Flags & RoutingHead.Complete) != 0;

    public LinkEntry* Links => (LinkEntry*)(_region + NetLimits.LinksOffset) + _copy * NetLimits.Links;

    public int LinkCount => Bounded(_head.Links, NetLimits.Links);

    public AddressEntry* Addresses =>
        (AddressEntry*)(_region + NetLimits.AddressesOffset) + _copy * NetLimits.Addresses;

    public int AddressCount => Bounded(_head.Addresses, NetLimits.Addresses);

    public RuleEntry* Rules => (RuleEntry*)(_region + NetLimits.RulesOffset) + _copy * NetLimits.Rules;

    public int RuleCount => Bounded(_head.Rules, NetLimits.Rules);

    public RouteRun* Runs => (RouteRun*)(_region + NetLimits.RunsOffset) + _copy * NetLimits.Runs;

    public int RunCount => Bounded(_head.Runs, NetLimits.Runs);

    public RouteEntry* Routes => (RouteEntry*)(_region + NetLimits.RoutesOffset) + _copy * NetLimits.Routes;

    public int RouteCount => Bounded(_head.Routes, NetLimits.Routes);

    /// <summary>The link of an index, or null. Links are sorted by it.</summary>
    public LinkEntry* Link(int index)
    {
        int low = 0, high = LinkCount;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (Links[middle].Index < index)
                low = middle + 1;
            else
                high = middle;
        }
        return low < LinkCount && Links[low].Index == index ? Links + low : null;
    }

    /// <summary>Where the addresses of a family and interface begin: they are sorted so.</summary>
    public int FirstAddress(byte family, int interfaceIndex)
    {
        int low = 0, high = AddressCount;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            AddressEntry* entry = Addresses + middle;
            if (entry->Family < family || (entry->Family == family && entry->InterfaceIndex < interfaceIndex))
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }

    public bool IsLocal(in Endpoint endpoint)
    {
        if (endpoint.Family == Endpoint.V4)
            return Longest(endpoint, RouteTable.Local, out int first, out _) && Routes[first].Type == RouteEntry.Local;
        bool isLinkLocal = endpoint.IsLinkLocal;
        for (int i = FirstAddress(Endpoint.V6, 0); i < AddressCount && Addresses[i].Family == Endpoint.V6; i++)
        {
            AddressEntry* entry = Addresses + i;
            if (entry->AddressLow == endpoint.AddressLow && entry->AddressHigh == endpoint.AddressHigh
                && (entry->Flags & AddressEntry.Tentative) == 0
                && (!isLinkLocal || endpoint.ScopeId == 0 || endpoint.ScopeId == (uint)entry->InterfaceIndex))
                return true;
        }
        return false;
    }

    /// <summary>The routes of the longest prefix of a table that an address has.</summary>
    public bool Longest(in Endpoint address, uint table, out int first, out int count)
    {
        int run = -1;
        return NextShorter(address, table, ref run, out first, out count);
    }

    /// <summary>
    /// The routes of the next shorter prefix that an address has, after the run <paramref name="run"/>; -1 to begin.
    /// </summary>
    public bool NextShorter(in Endpoint address, uint table, ref int run, out int first, out int count)
    {
        Prefix key = Prefix.Of(address);
        for (run = run < 0 ? FirstRun(address.Family, table) : run + 1; run < RunCount; run++)
        {
            RouteRun* candidate = Runs + run;
            if (candidate->Family != address.Family || candidate->Table != table)
                break;
            if (Find(*candidate, key.First(candidate->PrefixLength), out first, out count))
                return true;
        }
        first = count = 0;
        return false;
    }

    private int FirstRun(byte family, uint table)
    {
        int low = 0, high = RunCount;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            RouteRun* run = Runs + middle;
            if (run->Family < family || (run->Family == family && run->Table < table))
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }

    private bool Find(in RouteRun run, in Prefix prefix, out int first, out int count)
    {
        int low = Bounded(run.Start, RouteCount);
        int end = low + Bounded(run.Count, RouteCount - low), high = end;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (Routes[middle].Prefix.Order(prefix) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        first = low;
        while (high < end && Routes[high].Prefix.Order(prefix) == 0)
            high++;
        count = high - first;
        return count > 0;
    }

    private static int Bounded(int count, int limit) => (uint)count <= (uint)limit ? count : 0;
}
