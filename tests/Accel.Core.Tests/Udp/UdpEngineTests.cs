using Accel.Core.Ip;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Core.Tests.Nic;
using Accel.Core.Udp;
using Accel.Wire;

namespace Accel.Core.Tests.Udp;

/// <summary>Datagrams between two engines over a cable in memory.</summary>
public sealed unsafe class UdpEngineTests
{
    static byte[] Bytes(Prng random, int count)
    {
        var bytes = new byte[count];
        for (var i = 0; i < count; i++)
            bytes[i] = (byte)random.Next();
        return bytes;
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Datagrams_of_all_sizes_arrive_with_all_that_is_said_of_them(bool v6)
    {
        using var net = new TestNetwork();
        var random = new Prng(1);
        var server = new UdpEnd(net.Server, net.Server.Name(53, v6));
        var client = new UdpEnd(net.Client, net.Client.Name(4000, v6), net.Server.Name(53, v6),
            settings: new UdpSettings { Ttl = 7, Tos = 0x10, Hops = 7, TrafficClass = 0x10 });
        var max = v6 ? 1452 : 1472;
        foreach (var size in new[] { 0, 1, 2, 7, 8, 9, 63, 64, 65, 512, 1001, max - 1, max })
        {
            var payload = Bytes(random, size);
            Assert.True(client.TrySend(net.Server.Name(53, v6), payload));
            net.Settle();
            Assert.True(server.TryReceive(out var record, out var got));
            Assert.Equal(payload, got);
            Assert.Equal(net.Client.Name(4000, v6), record.Source);
            Assert.True(record.Destination.SameAddress(net.Server.Name(0, v6)));
            Assert.Equal(net.Server.Link.Info->InterfaceIndex, (int)record.Destination.ScopeId);
            Assert.Equal(7, record.Ttl);
            Assert.Equal(0x10, record.Tos);
        }
        Assert.Equal(0, server.Waiting);
        Assert.False(client.TrySend(net.Server.Name(53, v6), new byte[max + 1]));
        Assert.Equal(1, net.Client.Count(NicCounter.UdpKernelSize));
        Assert.Equal(0, net.Server.Count(NicCounter.RxBadChecksum));
        Assert.True(net.Server.Told(server.Conn) > 0);
    }

    [Fact]
    public void The_connected_socket_is_found_first_then_that_of_the_address_then_that_of_any()
    {
        using var net = new TestNetwork();
        Endpoint any4 = new() { Family = Endpoint.V4, Port = 53 }, any6 = new() { Family = Endpoint.V6, Port = 53 };
        var name = net.Server.Name(53);
        var dual = new UdpEnd(net.Server, any6);
        var only6 = new UdpEnd(net.Server, any6, v6Only: true);
        var any = new UdpEnd(net.Server, any4);
        var bound = new UdpEnd(net.Server, name);
        var connected = new UdpEnd(net.Server, name, net.Client.Name(4000));
        var other = new UdpEnd(net.Server, name, net.Client.Name(4001));
        int Find(ushort from, bool v6 = false)
        {
            return UdpTable.Find(net.Server.Region.Udp, net.Server.Name(53, v6), net.Client.Name(from, v6));
        }

        Assert.Equal(connected.Conn, Find(4000));
        Assert.Equal(other.Conn, Find(4001));
        Assert.Equal(bound.Conn, Find(4002));
        Assert.Equal(only6.Conn, Find(4000, v6: true));
        connected.Close();
        Assert.Equal(bound.Conn, Find(4000));
        bound.Close();
        Assert.Equal(any.Conn, Find(4000));
        any.Close();
        Assert.Equal(dual.Conn, Find(4000));
        dual.Close();
        Assert.Equal(-1, Find(4000));
        Assert.Equal(-1, UdpTable.Find(net.Server.Region.Udp, net.Server.Name(54), net.Client.Name(4000)));
    }

    [Fact]
    public void Sockets_that_share_a_port_share_its_flows()
    {
        using var net = new TestNetwork();
        UdpSettings shared = new() { Flags = UdpSettingFlags.ReusePort };
        var ends = Enumerable.Range(0, 4).Select(_ => new UdpEnd(net.Server, net.Server.Name(53), settings: shared))
            .ToArray();
        var flows = new Dictionary<int, int>();
        for (ushort port = 1000; port < 2000; port++)
        {
            var found = UdpTable.Find(net.Server.Region.Udp, net.Server.Name(53), net.Client.Name(port));
            Assert.Equal(found, UdpTable.Find(net.Server.Region.Udp, net.Server.Name(53), net.Client.Name(port)));
            flows[found] = flows.GetValueOrDefault(found) + 1;
        }
        Assert.Equal(4, flows.Count);
        Assert.All(flows.Values, n => Assert.InRange(n, 150, 350));
        Assert.Equal(4, ends.Length);
    }

    [Fact]
    public void A_full_ring_drops_and_counts_and_takes_again_when_there_is_room()
    {
        using var net = new TestNetwork();
        var server = new UdpEnd(net.Server, net.Server.Name(53), limit: 10_000);
        var client = new UdpEnd(net.Client, net.Client.Name(4000));
        for (var i = 0; i < 20; i++)
            Assert.True(client.TrySend(net.Server.Name(53), new byte[1000]));
        net.Settle();
        var taken = 0;
        while (server.TryReceive(out _, out _))
            taken++;
        Assert.Equal(9, taken);
        Assert.Equal(11u, server.Binding->Drops);
        Assert.Equal(11, net.Server.Count(NicCounter.UdpFull));
        Assert.True(client.TrySend(net.Server.Name(53), new byte[1000]));
        net.Settle();
        Assert.True(server.TryReceive(out _, out _));
    }

    [Fact]
    public void Ten_thousand_datagrams_keep_their_order_and_bytes_while_the_ring_turns_and_grows()
    {
        using var net = new TestNetwork();
        var random = new Prng(3);
        var server = new UdpEnd(net.Server, net.Server.Name(53), limit: 400_000);
        var client = new UdpEnd(net.Client, net.Client.Name(4000));
        net.Server.Link.PieceBytes = 700;
        Queue<byte[]> expected = new();
        for (var sent = 0; sent < 10_000;)
        {
            for (var n = random.Next() % 60; n > 0 && sent < 10_000; n--, sent++)
            {
                var payload = Bytes(random, (int)(random.Next() % 1473));
                Assert.True(client.TrySend(net.Server.Name(53), payload));
                expected.Enqueue(payload);
            }
            net.Settle();
            for (var n = random.Next() % 60; n > 0 && server.TryReceive(out _, out var got); n--)
                Assert.Equal(expected.Dequeue(), got);
            while (expected.Count > 200 && server.TryReceive(out _, out var got))
                Assert.Equal(expected.Dequeue(), got);
        }
        while (server.TryReceive(out _, out var got))
            Assert.Equal(expected.Dequeue(), got);
        Assert.Empty(expected);
        Assert.Equal(0u, server.Binding->Drops);
    }

    static byte[] Changed(byte[] frame, int at, byte value)
    {
        frame[at] = value;
        return frame;
    }

    [Fact]
    public void A_wrong_checksum_is_refused_and_none_is_allowed_over_IPv4_only()
    {
        using var net = new TestNetwork();
        const int Udp4 = 34, Udp6 = 54;
        foreach (var v6 in new[] { false, true })
        {
            var server = new UdpEnd(net.Server, net.Server.Name(53, v6));
            var client = new UdpEnd(net.Client, net.Client.Name(4000, v6));
            var udp = v6 ? Udp6 : Udp4;
            net.Client.Link.Hook = frame => Changed(frame, udp + 8, (byte)~frame[udp + 8]);
            Assert.True(client.TrySend(net.Server.Name(53, v6), [1, 2, 3]));
            net.Settle();
            Assert.False(server.TryReceive(out _, out _));
            net.Client.Link.Hook = frame => Changed(Changed(frame, udp + 6, 0), udp + 7, 0);
            Assert.True(client.TrySend(net.Server.Name(53, v6), [1, 2, 3]));
            net.Settle();
            Assert.Equal(!v6, server.TryReceive(out _, out _));
        }
        Assert.Equal(3, net.Server.Count(NicCounter.RxBadChecksum));
    }

    [Fact]
    public void A_length_beyond_the_packet_is_refused()
    {
        using var net = new TestNetwork();
        var server = new UdpEnd(net.Server, net.Server.Name(53));
        var client = new UdpEnd(net.Client, net.Client.Name(4000));
        const int Length = 34 + 5;
        net.Client.Link.Hook = frame => Changed(frame, Length, (byte)(frame[Length] + 1));
        Assert.True(client.TrySend(net.Server.Name(53), [1, 2, 3]));
        net.Client.Link.Hook = frame => Changed(frame, Length, 7);
        Assert.True(client.TrySend(net.Server.Name(53), [1, 2, 3]));
        net.Settle();
        Assert.Equal(0, server.Waiting);
        Assert.Equal(2, net.Server.Count(NicCounter.RxMalformed));
    }

    [Fact]
    public void What_cannot_leave_now_is_left_to_the_kernel()
    {
        using var net = new TestNetwork();
        var client = new UdpEnd(net.Client, net.Client.Name(4000));
        net.Client.Tables.KnowsNeighbour = false;
        Assert.False(client.TrySend(net.Server.Name(53), [1]));
        Assert.Equal(1, net.Client.Count(NicCounter.UdpKernelNeighbour));
        net.Client.Tables.KnowsNeighbour = true;
        Assert.False(client.TrySend(net.Server.Name(53), [1]));
        net.Client.Tables.Version++;
        Assert.True(client.TrySend(net.Server.Name(53), [1]));
        // Not heard of lately: the kernel sends one, and so looks for it.
        net.Client.Tables.State = NeighbourState.Stale;
        net.Client.Tables.Version++;
        Assert.False(client.TrySend(net.Server.Name(53), [1]));
        Assert.True(client.TrySend(net.Server.Name(53), [1]));
        net.Client.Link.Buffers = 0;
        net.Client.Turn(net.Now);
        Assert.False(client.TrySend(net.Server.Name(53), [1]));
        Assert.Equal(1, net.Client.Count(NicCounter.UdpKernelBuffer));
        net.Client.Link.Buffers = 100;
        net.Client.Link.Info->Flags = 0;
        Assert.False(client.TrySend(net.Server.Name(53), [1]));
        Assert.Equal(1, net.Client.Count(NicCounter.UdpKernelRoute));
    }

    [Fact]
    public void An_ICMP_error_is_noted_for_the_connected_socket_and_a_smaller_MTU_for_the_way()
    {
        using var net = new TestNetwork();
        var alone = new UdpEnd(net.Client, net.Client.Name(4001));
        var client = new UdpEnd(net.Client, net.Client.Name(4000), net.Server.Name(53));
        void Report(ushort from, byte code, uint mtu)
        {
            IcmpEvent report = new()
            {
                Transport = Transport.Udp, Type = 3, Code = code, Mtu = mtu,
                Local = net.Client.Name(from), Remote = net.Server.Name(53),
            };
            net.Client.Locked(0, engine => engine.Udp.OnIcmp(report, 0));
        }

        Report(4000, 3, 0);
        Report(4001, 3, 0);
        Assert.Equal(1u, client.Binding->Errors);
        Assert.Equal(0u, alone.Binding->Errors);
        Assert.Equal(1, net.Client.Told(client.Conn));
        Assert.True(client.TrySend(net.Server.Name(53), new byte[1000]));
        Report(4000, 4, 900);
        Assert.False(client.TrySend(net.Server.Name(53), new byte[1000]));
        net.Client.Tables.Version++;
        Assert.False(client.TrySend(net.Server.Name(53), new byte[1000]));
        Assert.True(client.TrySend(net.Server.Name(53), new byte[800]));
        Assert.Equal(1u, client.Binding->Errors);
    }

    [Fact]
    public void A_frame_says_what_the_socket_asked_for()
    {
        using var net = new TestNetwork();
        var client = new UdpEnd(net.Client, net.Client.Name(4000),
            settings: new UdpSettings { Flags = UdpSettingFlags.MayFragment, Tos = 0x20 });
        net.Client.Link.KeepSent = true;
        Assert.True(client.TrySend(net.Server.Name(53), [1, 2, 3], ttl: 9));
        Assert.True(client.TrySend(net.Server.Name(53), [], tos: 4));
        net.Settle();
        Assert.True(Ipv4View.TryParse(net.Client.Link.Sent[0].AsSpan(EthernetHeader.Length), out var first));
        Assert.True(Ipv4View.TryParse(net.Client.Link.Sent[1].AsSpan(EthernetHeader.Length), out var second));
        Assert.Equal((9, 0x20, false), (first.Ttl, first.Tos, first.DontFragment));
        Assert.Equal((64, 4), (second.Ttl, second.Tos));
        Assert.NotEqual(first.Identification, second.Identification);
        Assert.True(UdpView.TryParse(second.Payload, out var empty));
        Assert.NotEqual(0, empty.Checksum);
    }

    [Fact]
    public void A_slot_that_was_given_to_another_takes_no_datagrams_of_its_forerunner()
    {
        using var net = new TestNetwork();
        var server = new UdpEnd(net.Server, net.Server.Name(53));
        var client = new UdpEnd(net.Client, net.Client.Name(4000));
        net.Server.Local.FreeConn(server.Conn);
        Assert.Equal(server.Conn, net.Server.Local.TakeConn(0, 0));
        Assert.True(client.TrySend(net.Server.Name(53), [1]));
        net.Settle();
        Assert.Equal(0, server.Waiting);
        Assert.Equal(1, net.Server.Count(NicCounter.UdpNoSocket));
    }

    [Fact]
    public void Bindings_are_found_again_after_the_lock_was_taken_from_the_dead()
    {
        using var net = new TestNetwork();
        var server = new UdpEnd(net.Server, net.Server.Name(53));
        var closed = new UdpEnd(net.Server, net.Server.Name(54));
        closed.Close();
        new Span<uint>(net.Server.Region.Udp.PortHeads, UdpRegion.PortBuckets).Fill(77);
        net.Server.Engine.Enter(200);
        net.Server.DeadTid = 200;
        net.Server.Engine.Enter(100);
        net.Server.Engine.Exit(100, 0);
        Assert.Equal(server.Conn, UdpTable.Find(net.Server.Region.Udp, net.Server.Name(53), net.Client.Name(4000)));
        Assert.Equal(-1, UdpTable.Find(net.Server.Region.Udp, net.Server.Name(54), net.Client.Name(4000)));
    }
}
