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
