using Accel.Core.Local;
using Accel.Core.Nic;

namespace Accel.Core.Tests.Nic;

/// <summary>Passive opens when there are too many, when there is no room, and when the listener goes.</summary>
public class NicListenTests
{
    [Fact]
    public void A_half_open_connection_has_no_streams()
    {
        using var net = new TestNetwork();
        net.Server.Listen(80);
        var flood = new Flood(1);
        flood.Syn(net, 100);
        Assert.Equal(100, net.Server.BlocksInUse);
        Assert.Equal(0, net.Server.ConnsInUse);
        Assert.Equal(0, net.Server.BuffersInUse);
        // Nobody answers the SYN-ACKs: they are repeated, and then all is forgotten.
        net.Server.Link.Hook = _ => null;
        net.Pass(200 * TestNetwork.Second);
        Assert.Equal(0, net.Server.BlocksInUse);
        Assert.True(net.Server.Count(NicCounter.TxFrames) >= 300);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Under_a_flood_of_SYNs_cookies_let_real_peers_in(bool v6)
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80, backlog: 64, v6: true);
        net.Server.Link.Hook = _ => null;
        var flood = new Flood(2);
        flood.Syn(net, 20_000);
        Assert.InRange(net.Server.BlocksInUse, 64, 80);
        // 64 to a batch: a few of each are answered, the others cost next to nothing.
        Assert.InRange(net.Server.Count(NicCounter.ListenCookiesSent), 2_400, 2_600);
        Assert.InRange(net.Server.Count(NicCounter.ListenSynDropped), 17_300, 17_600);
        net.Server.Link.Hook = f => f;
        var (c, s) = net.Connect(listener, v6: v6);
        Assert.Equal(1, net.Server.Count(NicCounter.ListenCookiesTaken));
        net.Client.Write(c, "hello"u8);
        net.Pass(TestNetwork.Second);
        Assert.Equal("hello"u8.ToArray(), net.Server.Read(s));
    }

    [Fact]
    public void A_flood_of_ACKs_without_cookies_is_reset_and_costs_nothing()
    {
        using var net = new TestNetwork();
        net.Server.Listen(80, backlog: 1);
        net.Server.Link.Hook = _ => null;
        var flood = new Flood(3);
        flood.Syn(net, 100);
        var before = net.Server.BlocksInUse;
        flood.Ack(net, 5000);
        Assert.Equal(before, net.Server.BlocksInUse);
        Assert.Equal(0, net.Server.Count(NicCounter.ListenCookiesTaken));
        Assert.True(net.Server.Count(NicCounter.ResetsHeldBack) > 0);
        Assert.InRange(net.Server.Count(NicCounter.ResetsSent), 1, 1000);
    }

    [Fact]
    public void A_full_accept_queue_holds_the_handshake_up_and_accept_lets_it_go_on()
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80, backlog: 1);
        var clients = new List<int>();
        for (var i = 0; i < 4; i++)
        {
            clients.Add(net.Client.Connect(net.Client.Name((ushort)(40000 + i)), net.Server.Name(80), net.Now));
            net.Settle();
        }
        // Linux lets one more in than the backlog says.
        Assert.Equal(2, net.Server.ConnsInUse);
        Assert.True(net.Server.Count(NicCounter.ListenOverflows) > 0);
        Assert.True(net.Server.Accept(listener) >= 0);
        Assert.True(net.Server.Accept(listener) >= 0);
        Assert.True(net.PassUntil(() => net.Server.ConnsInUse == 4, 30 * TestNetwork.Second));
        Assert.True(net.Server.Accept(listener) >= 0);
        Assert.True(net.Server.Accept(listener) >= 0);
        Assert.All(clients, c => Assert.Equal(NicPhase.Established, net.Client.Phase(c)));
    }

    [Fact]
    public unsafe void Without_rings_the_handshake_waits_for_some()
    {
        // Room for 16 rings: 8 connections.
        using var net = new TestNetwork(serverBytes: 16 << 14);
        var listener = net.Server.Listen(80);
        var pairs = new List<(int Client, int Server)>();
        for (var i = 0; i < 8; i++)
            pairs.Add(net.Connect(listener, from: (ushort)(40000 + i)));
        net.Client.Close(pairs[0].Client);
        net.Settle();
        var late = net.Client.Connect(net.Client.Name(41000), net.Server.Name(80), net.Now);
        net.Settle();
        Assert.True(net.Server.Count(NicCounter.NoBuffers) > 0);
        Assert.Equal(8, net.Server.ConnsInUse);
        net.Server.Close(pairs[0].Server);
        Assert.True(net.PassUntil(() => net.Server.Local.ListenerAt(listener)->Queued == 1, 30 * TestNetwork.Second));
        Assert.True(net.Server.Accept(listener) >= 0);
        Assert.Equal(NicPhase.Established, net.Client.Phase(late));
    }

    [Fact]
    public unsafe void A_listener_that_closes_forgets_who_was_half_way()
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        net.Server.Link.Hook = _ => null;
        new Flood(4).Syn(net, 50);
        Assert.Equal(50, net.Server.BlocksInUse);
        net.Server.Local.ListenerAt(listener)->Generation++;
        net.Server.Locked(net.Now, e => Assert.True(e.Unlisten(listener)));
        Assert.Equal(0, net.Server.BlocksInUse);
        net.Server.Locked(net.Now, e => Assert.False(e.Unlisten(listener)));
        net.Server.Link.Hook = f => f;
        var c = net.Client.Connect(net.Client.Name(40000), net.Server.Name(80), net.Now);
        net.Settle();
        Assert.Equal(NicError.Refused, net.Client.Error(c));
    }

    [Fact]
    public unsafe void The_nearest_listener_is_found()
    {
        using var net = new TestNetwork();
        var any6 = net.Server.Listen(80, v6: true);
        var one = net.Server.Listen(80);
        net.Server.Locked(0, e => e.Listen(one, net.Server.Name(80), default));
        net.Client.Connect(net.Client.Name(40000), net.Server.Name(80), net.Now);
        net.Client.Connect(net.Client.Name(40000, true), net.Server.Name(80, true), net.Now);
        net.Settle();
        Assert.Equal([one, any6], net.Server.ListenersTold.OrderByDescending(l => l));
        net.Server.Local.ListenerAt(one)->Generation++;
        net.Server.Locked(0, e => e.Unlisten(one));
        net.Client.Connect(net.Client.Name(40001), net.Server.Name(80), net.Now);
        net.Settle();
        Assert.Equal(2, net.Server.ListenersTold.Count(l => l == any6));
        net.Server.Local.ListenerAt(any6)->V6Only = 1;
        net.Server.Locked(0, e => e.Listen(any6, new Endpoint { Family = Endpoint.V6, Port = 80 }, default));
        var refused = net.Client.Connect(net.Client.Name(40002), net.Server.Name(80), net.Now);
        net.Settle();
        Assert.Equal(NicError.Refused, net.Client.Error(refused));
    }
}
