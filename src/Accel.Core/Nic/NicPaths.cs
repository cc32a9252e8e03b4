using Accel.Core.Ip;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Nic;

/// <summary>
/// The way out of each connection: link, next hop, hardware address. Looked up when a connection begins and again when
/// the tables have changed; whoever came to us is answered where the frames came from until the tables know better.
/// </summary>
[method: ColdPath]
internal sealed unsafe class NicPaths(NicCore core)
{
    /// <summary>Linux asks three times, a second apart, and then gives up (mcast_solicit, retrans_time_ms).</summary>
    private const long AskEveryNs = TcpContext.NsPerSecond, GiveUpAfterNs = 3 * TcpContext.NsPerSecond;

    /// <summary>A power of two.</summary>
    private const int AskedPlaces = 16;

    private readonly Asked[] _asked = new Asked[AskedPlaces];

    /// <summary>A neighbour that the kernel was asked about, and when.</summary>
    private struct Asked
    {
        public Endpoint NextHop;
        public int InterfaceIndex;
        public long AtNs;
    }

    public int LinkOf(int interfaceIndex)
    {
        for (int i = 0; i < core.Links.Length; i++)
        {
            if (core.Links[i].Info->InterfaceIndex == interfaceIndex)
                return i;
        }
        return -1;
    }

    /// <summary>True if there is an address to send to. Else the connection waits for one.</summary>
    public bool IsReady(int index)
    {
        NicBlock* block = core.Region.BlockAt(index);
        uint version = core.Tables.Version;
        if (block->Is(NicBlockFlags.HasMac) && block->TablesVersion == version)
            return true;
        block->TablesVersion = version;
        Refresh(block);
        if (core.Tables.TryNeighbour(
            block->InterfaceIndex, in block->NextHop, out MacAddress mac, out NeighbourState state))
        {
            // The kernel sees nothing of what goes there: unless it is asked to look, it never finds out.
            if ((state & NeighbourState.Stale) != 0 && block->Conn != 0 && IsToBeAsked(block))
                NicSet.Add(core.Region.Asking, (int)block->Conn - 1);
            if (block->Is(NicBlockFlags.HasMac) && mac != block->Route.Mac)
                core.Count(NicCounter.NeighboursChanged);
            block->Route.Mac = mac;
            block->Flags |= NicBlockFlags.HasMac;
            block->ResolveSince = 0;
        }
        if (block->Is(NicBlockFlags.HasMac))
            return true;
        Wait(block);
        return false;
    }

    private void Refresh(NicBlock* block)
    {
        Endpoint to = block->Route.Remote, from = block->Route.Local;
        to.Port = from.Port = 0;
        if (to.IsLinkLocal)
            to.ScopeId = (uint)block->InterfaceIndex;
        if (!core.Tables.TryRoute(in to, in from, out Route route) || route.Kind != RouteKind.Unicast)
            return;
        int link = LinkOf(route.InterfaceIndex);
        if (link < 0)
            return;
        block->Route.Link = (byte)link;
        block->InterfaceIndex = route.InterfaceIndex;
        block->NextHop = route.NextHop;
    }

    /// <summary>
    /// Not for each connection: the kernel, once asked, waits for five seconds whether something comes from there
    /// (delay_first_probe_time) before it looks, and the entry is a stale one to the tables all the while.
    /// </summary>
    private bool IsToBeAsked(NicBlock* block)
    {
        ulong mixed = block->NextHop.AddressLow ^ block->NextHop.AddressHigh ^ (uint)block->InterfaceIndex;
        mixed ^= mixed >> 32;
        ref Asked asked = ref _asked[(int)((mixed ^ mixed >> 16 ^ mixed >> 24) & (AskedPlaces - 1))];
        if (asked.InterfaceIndex == block->InterfaceIndex && asked.NextHop.SameAddress(in block->NextHop)
            && core.NowNs - asked.AtNs < AskEveryNs)
            return false;
        asked = new Asked { NextHop = block->NextHop, InterfaceIndex = block->InterfaceIndex, AtNs = core.NowNs };
        return true;
    }

    private void Wait(NicBlock* block)
    {
        if (block->Conn == 0)
            return;
        int conn = (int)block->Conn - 1;
        NicSet.Add(core.Region.Waiting, conn);
        if (block->ResolveSince != 0 && core.NowNs < block->ResolveAgainAt)
            return;
        if (block->ResolveSince == 0)
            block->ResolveSince = core.NowNs;
        block->ResolveAgainAt = core.NowNs + AskEveryNs;
        NicSet.Add(core.Region.Asking, conn);
    }

    /// <summary>True if a connection has waited for its next hop for too long.</summary>
    public bool IsHopeless(NicBlock* block) =>
        block->ResolveSince != 0 && core.NowNs - block->ResolveSince >= GiveUpAfterNs;

    /// <summary>Nothing comes back on this way: the kernel looks whether the next hop is still there.</summary>
    public void Doubt(NicBlock* block)
    {
        if (block->Conn != 0 && block->NextHop.Family != Endpoint.None)
            NicSet.Add(core.Region.Asking, (int)block->Conn - 1);
    }

    /// <summary>The tables have changed: who waits for a next hop looks again.</summary>
    public void Recheck()
    {
        uint version = core.Tables.Version;
        if (version == core.Head->TablesVersion)
            return;
        core.Head->TablesVersion = version;
        while (NicSet.TakeWord(core.Region.Waiting, out int first, out ulong bits))
        {
            for (; bits != 0; bits &= bits - 1)
                NicSet.Add(core.Region.Kicked, first + System.Numerics.BitOperations.TrailingZeroCount(bits));
        }
    }

    public bool HasNews => !NicSet.IsEmpty(core.Region.Waiting) && core.Tables.Version != core.Head->TablesVersion;

    /// <summary>The next neighbour to ask the kernel for.</summary>
    public bool TryTakeQuestion(out int interfaceIndex, out Endpoint neighbour)
    {
        while (NicSet.TakeWord(core.Region.Asking, out int first, out ulong bits))
        {
            int conn = first + System.Numerics.BitOperations.TrailingZeroCount(bits);
            for (bits &= bits - 1; bits != 0; bits &= bits - 1)
                NicSet.Add(core.Region.Asking, first + System.Numerics.BitOperations.TrailingZeroCount(bits));
            int index = NicDemux.OfConn(core.Region, conn);
            if (index < 0)
                continue;
            NicBlock* block = core.Region.BlockAt(index);
            interfaceIndex = block->InterfaceIndex;
            neighbour = block->NextHop;
            core.Count(NicCounter.NeighboursAsked);
            return true;
        }
        interfaceIndex = 0;
        neighbour = default;
        return false;
    }
}
