using System.Runtime.InteropServices;
using Accel.Core.Ip;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;

namespace Accel.Core.Udp;

/// <summary>
/// UDP of the network path: which sockets there are, what comes for them, what they send. A socket is a connection slot
/// of the own local region whose side 0 is the program's; its second pipe holds <see cref="UdpRecord"/>s. All calls
/// under the engine's lock, unless they say otherwise.
/// </summary>
public sealed unsafe class UdpEngine
{
    private const byte Icmp4Unreachable = 3, Icmp4FragmentationNeeded = 4, Icmp6TooBig = 2;

    private readonly UdpRegion _udp;
    private readonly LocalRegion _local;
    private readonly INicHost _host;
    private readonly UdpWays _ways;

    [ColdPath]
    public UdpEngine(NicRegion region, LocalRegion local, INicHost host, ILink[] links, INetTables tables)
    {
        _udp = region.Udp;
        _local = local;
        _host = host;
        _ways = new UdpWays(_udp, links, tables);
        Input = new UdpInput(region, local, host, links);
        Output = new UdpOutput(region, local, links, _ways);
    }

    public UdpInput Input { get; }

    public UdpOutput Output { get; }

    /// <summary>A socket's binding. Its settings and counts may be looked at without a lock.</summary>
    public UdpBinding* BindingAt(int conn) => _udp.BindingAt(conn);

    public void SetTables(INetTables tables) => _ways.SetTables(tables);

    /// <summary>
    /// Datagrams for a name go to a connection slot from now on. Once more with the same slot: another name, or another
    /// peer. Addresses are plain ones; a peer of family none: not connected.
    /// </summary>
    public void Bind(int conn, in Endpoint local, in Endpoint remote, bool v6Only, in UdpSettings settings)
    {
        UdpBinding* binding = _udp.BindingAt(conn);
        uint generation = _local.ConnAt(conn)->Generation;
        if (binding->Open != 0)
            UdpTable.Unlink(_udp, conn);
        if (binding->Generation != generation)
        {
            NativeMemory.Clear(binding, (nuint)sizeof(UdpBinding));
            binding->Generation = generation;
            binding->Identification = (ushort)_host.Random();
            binding->Steered = local;
        }
        binding->Local = local;
        binding->Remote = remote;
        binding->V6Only = v6Only ? 1u : 0u;
        binding->Settings = settings;
        UdpTable.Link(_udp, conn);
    }

    /// <summary>No datagram comes any more. True if no other socket needs the frames that are steered by this name.
    /// </summary>
    public bool Unbind(int conn, out Endpoint steered)
    {
        UdpBinding* binding = _udp.BindingAt(conn);
        steered = binding->Steered;
        if (binding->Open == 0)
            return false;
        UdpTable.Unlink(_udp, conn);
        return !UdpTable.IsUsed(_udp, steered);
    }

    /// <summary>The lock was taken over from the dead: chains may be half changed, and are made anew.</summary>
    internal void Recover()
    {
        new Span<uint>(_udp.PortHeads, UdpRegion.PortBuckets).Clear();
        int high = (int)Math.Min(_local.Tables->Conns.Bumped, LocalRegion.MaxConns);
        for (int i = 0; i < high; i++)
        {
            UdpBinding* binding = _udp.BindingAt(i);
            if (binding->Open != 0 && binding->Generation == _local.ConnAt(i)->Generation)
                UdpTable.Link(_udp, i);
        }
    }

    /// <summary>
    /// An ICMP error for a datagram of ours. The kernel's socket hears of it too, and has the errno: here is only noted
    /// that it should be asked (RFC 1122 4.1.3.3).
    /// </summary>
    public void OnIcmp(in IcmpEvent report, long nowNs)
    {
        bool tooBig = report.Local.Family == Endpoint.V4
            ? report is { Type: Icmp4Unreachable, Code: Icmp4FragmentationNeeded } : report.Type == Icmp6TooBig;
        if (tooBig && report.Mtu != 0)
        {
            _ways.OnSmallerMtu(report.Remote, report.Mtu, nowNs);
            return;
        }
        int conn = UdpTable.Find(_udp, report.Local, report.Remote);
        if (conn < 0 || _udp.BindingAt(conn)->Remote.Family == Endpoint.None)
            return;
        Interlocked.Increment(ref _udp.BindingAt(conn)->Errors);
        _host.Notify(_local, conn, 0);
    }
}
