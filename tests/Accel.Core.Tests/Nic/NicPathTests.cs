using Accel.Core.Ip;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Wire;

namespace Accel.Core.Tests.Nic;

/// <summary>Next hops that are not known yet, change, or are not there; links without a buffer.</summary>
public class NicPathTests
{
    [Fact]
    public void An_unknown_next_hop_is_asked_for_and_waited_for()
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        net.Client.Tables.KnowsNeighbour = false;
        var c = net.Client.Connect(net.Client.Name(40000), net.Server.Name(80), net.Now);
        Assert.True(net.Client.Engine.HasUnresolved);
        net.Client.Locked(net.Now, e =>
        {
            Assert.True(e.TryTakeUnresolved(out var link, out var neighbour));
            Assert.Equal(2, link);
            Assert.Equal(net.Server.Name(0).AddressLow, neighbour.AddressLow);
            Assert.False(e.TryTakeUnresolved(out _, out _));
        });
        net.Pass(100 * TestNetwork.Ms);
        Assert.Equal(0, net.Client.Count(NicCounter.TxFrames));
        net.Client.Tables.KnowsNeighbour = true;
        net.Client.Tables.Version++;
        Assert.True(net.Client.Engine.HasWorkAt(net.Now));
        net.Settle();
        Assert.Equal(NicPhase.Established, net.Client.Phase(c));
        Assert.True(net.Server.Accept(listener) >= 0);
        // The time that it took to find is not the path's: a first timeout would be three times that.
        Assert.True(net.Client.Engine.TryReadInfo(c, net.Now, out var info));
        Assert.InRange(info.RttUs, 0u, 1000u);
        Assert.InRange(info.RtoUs, 200_000u, 210_000u);
    }

    [Fact]
    public void A_next_hop_that_is_not_there_is_unreachable()
    {
        using var net = new TestNetwork();
        net.Client.Tables.KnowsNeighbour = false;
        var c = net.Client.Connect(net.Client.Name(40000), net.Server.Name(80), net.Now);
        net.Pass(2500 * TestNetwork.Ms);
        Assert.Equal(NicPhase.Connecting, net.Client.Phase(c));
        net.Pass(1500 * TestNetwork.Ms);
        Assert.Equal(NicError.HostUnreachable, net.Client.Error(c));
        net.Client.Close(c);
        Assert.Equal(0, net.Client.ConnsInUse + net.Client.BlocksInUse);
    }

    [Fact]
    public void A_changed_address_is_used_at_once()
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        var (_, s) = net.Connect(listener);
        net.Server.Link.KeepSent = true;
        net.Server.Tables.Mac = MemoryLink.Mac(77);
        net.Server.Tables.Version++;
        net.Server.Write(s, "x"u8);
        net.Server.Turn(net.Now);
        Assert.True(EthernetView.TryParse(net.Server.Link.Sent[^1], out var frame));
        Assert.Equal(MemoryLink.Mac(77), frame.Destination);
        Assert.Equal(1, net.Server.Count(NicCounter.NeighboursChanged));
    }

    /// <summary>Frames are begun with a copy of what the last began with: not when that would be something else.
    /// </summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public unsafe void Whatever_stands_before_tcp_is_what_it_is_now(bool v6)
    {
        using var net = new TestNetwork();
        var (c, _) = net.Connect(net.Server.Listen(80, v6: v6), v6: v6);
        var block = net.Client.Region.BlockAt(0);
        var own = net.Client.Link.Info->Mac;
        block->Settings.Flags |= NicSettingFlags.NoDelay;
        net.Client.Link.KeepSent = true;
        var changes = new Action[]
        {
            () => { }, () => block->Route.Ttl = 9, () => block->Route.Ttl = 0, () => block->Route.Tos = 0x28,
            () => block->Route.Tos = 0x2B, () => block->Route.Mac = MemoryLink.Mac(77), () => own[5]++,
            () => block->Route.FlowLabel = 0x12345, () => block->Route.Vlan = 0x1A005,
            () => block->Route.Vlan = 0x1A006, () => block->Route.Vlan = 0, () => { },
        };
        foreach (var change in changes)
        {
            change();
            net.Client.Write(c, "x"u8);
            net.Client.Turn(net.Now);
            CheckFrame(net.Client.Link.Sent[^1], block, own);
        }
        Assert.Equal(changes.Length, net.Client.Link.Sent.Count);
    }

    static unsafe void CheckFrame(ReadOnlySpan<byte> frame, NicBlock* block, byte* own)
    {
        ref var route = ref block->Route;
        Assert.True(EthernetView.TryParse(frame, out var ethernet));
        Assert.Equal((route.Mac, MacAddress.Read(new(own, 6))), (ethernet.Destination, ethernet.Source));
        var type = ethernet.EtherType;
        var rest = ethernet.Payload;
        if (route.Vlan != 0)
        {
            Assert.Equal(EtherType.Vlan, type);
            Assert.True(VlanView.TryParse(rest, out var vlan));
            Assert.Equal((route.Vlan >> 13 & 7, route.Vlan & 0xFFF), ((uint)vlan.Priority, (uint)vlan.Id));
            type = vlan.EtherType;
            rest = vlan.Payload;
        }
        var ttl = route.Ttl == 0 ? 64 : route.Ttl;
        if (route.Local.Family == Endpoint.V4)
        {
            Assert.Equal(EtherType.Ipv4, type);
            Assert.True(Ipv4View.TryParse(rest, out var ip) && ip.HasRightChecksum && ip.DontFragment);
            Assert.Equal((ttl, route.Tos & 0xFC, (ushort)(route.Identification - 1)),
                (ip.Ttl, ip.Tos, ip.Identification));
            Assert.Equal(((uint)route.Local.AddressLow, (uint)route.Remote.AddressLow), (ip.Source, ip.Destination));
            Assert.True(Checksum.IsRight(Checksum.Add(ip.Payload, ip.PseudoSum)));
            return;
        }
        Assert.Equal(EtherType.Ipv6, type);
        Assert.True(Ipv6View.TryParse(rest, out var ip6));
        Assert.Equal((ttl, route.Tos & 0xFC, route.FlowLabel), (ip6.HopLimit, ip6.TrafficClass, ip6.FlowLabel));
        Assert.Equal(route.Local.AddressHigh, Ipv6Address.Read(ip6.Source).High);
        Assert.Equal(route.Remote.AddressHigh, Ipv6Address.Read(ip6.Destination).High);
        Assert.True(Checksum.IsRight(Checksum.Add(ip6.Payload, ip6.PseudoSum(IpProtocol.Tcp, ip6.PayloadLength))));
    }

    [Fact]
    public void A_stale_next_hop_is_used_and_asked_about()
    {
        using var net = new TestNetwork();
        net.Server.Listen(80);
        net.Client.Tables.State = NeighbourState.Stale;
        var c = net.Client.Connect(net.Client.Name(40000), net.Server.Name(80), net.Now);
        Assert.True(net.Client.Engine.HasUnresolved);
        net.Settle();
        Assert.Equal(NicPhase.Established, net.Client.Phase(c));
    }

    /// <summary>The kernel tells of no change for the five seconds that it then waits.</summary>
    [Fact]
    public void A_stale_next_hop_is_asked_about_once_a_second_however_many_connections_it_has()
    {
        using var net = new TestNetwork();
        net.Client.Tables.State = NeighbourState.Stale;
        bool Asks(ushort port, bool v6 = false)
        {
            net.Client.Connect(net.Client.Name(port, v6), net.Server.Name(80, v6), net.Now);
            var asks = false;
            net.Client.Locked(net.Now, e => asks = e.TryTakeUnresolved(out _, out _));
            return asks;
        }
        Assert.True(Asks(40000));
        Assert.False(Asks(40001));
        Assert.True(Asks(40002, v6: true), "another next hop");
        Assert.False(Asks(40003, v6: true));
        net.Now += 999 * TestNetwork.Ms;
        Assert.False(Asks(40004));
        net.Now += TestNetwork.Ms;
        Assert.True(Asks(40005));
        Assert.False(Asks(40006));
    }

    [Fact]
    public void A_link_without_buffers_delays_and_loses_nothing()
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        var (c, s) = net.Connect(listener);
        var lost = 0;
        net.Client.Link.Buffers = 0;
        net.Client.Write(c, new byte[5000]);
        for (var i = 0; i < 3; i++)
            net.Client.Turn(net.Now);
        Assert.True(net.Client.Count(NicCounter.TxStalled) > 0);
        Assert.True(net.Client.Engine.HasWorkAt(net.Now));
        net.Client.Link.Buffers = 1;
        var got = 0;
        for (var i = 0; i < 50 && got < 5000; i++)
        {
            net.Client.Turn(net.Now);
            net.Server.Turn(net.Now);
            got += net.Server.Read(s).Length;
        }
        Assert.Equal(5000, got);
        Assert.Equal(0, lost);
        Assert.Equal(0, net.Client.Count(NicCounter.TxNoBuffer));
    }

    [Fact]
    public void ICMP_about_what_was_never_sent_changes_nothing()
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        var (c, s) = net.Connect(listener);
        var report = new IcmpEvent
        {
            Transport = Transport.Tcp, Type = 3, Code = 1,
            Local = net.Client.Name(40000), Remote = net.Server.Name(80), Seq = 12345,
        };
        net.Client.Locked(net.Now, e => e.OnIcmp(report, net.Now));
        report.Remote.Port = 81;
        net.Client.Locked(net.Now, e => e.OnIcmp(report, net.Now));
        Assert.Equal(1, net.Client.Count(NicCounter.IcmpTaken));
        Assert.Equal(1, net.Client.Count(NicCounter.IcmpUnknown));
        net.Client.Write(c, "on"u8);
        net.Pass(TestNetwork.Second);
        Assert.Equal("on"u8.ToArray(), net.Server.Read(s));
    }
}
