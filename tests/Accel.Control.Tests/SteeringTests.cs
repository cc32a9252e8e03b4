using System.Net;
using System.Net.Sockets;
using System.Text;
using Accel.Core.Nic;

namespace Accel.Control.Tests;

/// <summary>Which frames come to a stack, and which stay with the kernel.</summary>
public class SteeringTests
{
    static Socket Bound(string space, SocketType type, string address, int port = 0, bool listening = false) =>
        NetworkPair.In(space, () =>
        {
            var ip = IPAddress.Parse(address);
            var socket = new Socket(ip.AddressFamily, type,
                type == SocketType.Dgram ? ProtocolType.Udp : ProtocolType.Tcp);
            socket.Bind(new IPEndPoint(ip, port));
            if (listening)
                socket.Listen();
            socket.ReceiveTimeout = 5000;
            return socket;
        });

    static int Port(Socket socket) => ((IPEndPoint)socket.LocalEndPoint!).Port;

    [Theory]
    [InlineData(NetworkPair.NearAddress, NetworkPair.FarAddress, "auto", "ring")]
    [InlineData(NetworkPair.NearAddress6, NetworkPair.FarAddress6, "ring", "ring")]
    [InlineData(NetworkPair.NearAddress, NetworkPair.FarAddress, "generic", "generic")]
    [InlineData(NetworkPair.NearAddress6, NetworkPair.FarAddress6, "generic", "generic")]
    [InlineData(NetworkPair.NearAddress, NetworkPair.FarAddress, "native", "native")]
    [InlineData(NetworkPair.NearAddress6, NetworkPair.FarAddress6, "native", "native")]
    public void A_datagram_comes_to_the_stack_and_its_answer_to_the_sender(string near, string far, string wish,
        string mode)
    {
        using var pair = new NetworkPair();
        using var daemon = new TestDaemon(pair, "--mode", wish);
        Assert.Contains($"{NetworkPair.NearDevice} {mode} mode", daemon.Ready);
        using var stack = new TestStack(daemon.SocketPath);
        using var server = Bound(pair.Near, SocketType.Dgram, near);
        using var client = Bound(pair.Far, SocketType.Dgram, far);
        Assert.Equal(NicRefusal.None, stack.Steer(server));

        client.SendTo(Encoding.ASCII.GetBytes("hello"), new IPEndPoint(IPAddress.Parse(near), Port(server)));
        var frame = stack.Receive();
        Assert.NotNull(frame);
        Assert.Equal("hello", Encoding.ASCII.GetString(frame.AsSpan()[(Echo.Transport(frame) + 8)..]));
        Assert.False(server.Poll(0, SelectMode.SelectRead), "the kernel got it too");

        Echo.Turn(frame);
        stack.Send(frame);
        var answer = new byte[100];
        Assert.Equal(5, client.Receive(answer));
        Assert.Equal("hello", Encoding.ASCII.GetString(answer, 0, 5));
        Assert.Equal(1, daemon.Count("steered"));
    }

    [Fact]
    public void Other_ports_addresses_and_families_stay_with_the_kernel()
    {
        using var pair = new NetworkPair();
        NetworkPair.Ip("-n", pair.Near, "addr", "add", "10.77.0.9/24", "dev", NetworkPair.NearDevice);
        using var daemon = new TestDaemon(pair);
        using var stack = new TestStack(daemon.SocketPath);
        using var ours = Bound(pair.Near, SocketType.Dgram, NetworkPair.NearAddress, 5000);
        using var otherPort = Bound(pair.Near, SocketType.Dgram, NetworkPair.NearAddress, 5001);
        using var otherAddress = Bound(pair.Near, SocketType.Dgram, "10.77.0.9", 5000);
        using var otherFamily = Bound(pair.Near, SocketType.Dgram, NetworkPair.NearAddress6, 5000);
        using var client = Bound(pair.Far, SocketType.Dgram, NetworkPair.FarAddress);
        using var client6 = Bound(pair.Far, SocketType.Dgram, NetworkPair.FarAddress6);
        Assert.Equal(NicRefusal.None, stack.Steer(ours));
        foreach (var (server, from) in new[] { (otherPort, client), (otherAddress, client), (otherFamily, client6) })
        {
            from.SendTo([1], server.LocalEndPoint!);
            Assert.Equal(1, server.Receive(new byte[10]));
        }
        Assert.Null(stack.Receive(50));

        // A datagram in pieces is the kernel's, whatever its port.
        client.SendTo(new byte[4000], ours.LocalEndPoint!);
        Assert.Equal(4000, ours.Receive(new byte[8000]));
        Assert.True(daemon.Count("fragment") >= 2);

        // What was given back goes to the kernel again.
        client.SendTo([1], ours.LocalEndPoint!);
        Assert.NotNull(stack.Receive());
        stack.Control.Unsteer(Transport.Udp, TestStack.Local(NetworkPair.NearAddress, 5000));
        client.SendTo([1], ours.LocalEndPoint!);
        Assert.Equal(1, ours.Receive(new byte[10]));
    }

    [Fact]
    public void Two_stacks_have_a_port_at_two_addresses_and_not_at_the_same()
    {
        using var pair = new NetworkPair();
        NetworkPair.Ip("-n", pair.Near, "addr", "add", "10.77.0.9/24", "dev", NetworkPair.NearDevice);
        using var daemon = new TestDaemon(pair);
        using var first = new TestStack(daemon.SocketPath);
        using var second = new TestStack(daemon.SocketPath);
        using var one = Bound(pair.Near, SocketType.Dgram, NetworkPair.NearAddress, 5000);
        using var other = Bound(pair.Near, SocketType.Dgram, "10.77.0.9", 5000);
        using var client = Bound(pair.Far, SocketType.Dgram, NetworkPair.FarAddress);
        Assert.Equal(NicRefusal.None, first.Steer(one));
        Assert.Equal(NicRefusal.PortTaken, second.Steer(one));
        Assert.Equal(NicRefusal.None, second.Steer(other));

        client.SendTo([1], one.LocalEndPoint!);
        Assert.NotNull(first.Receive());
        client.SendTo([1], other.LocalEndPoint!);
        Assert.NotNull(second.Receive());
        Assert.Null(first.Receive(20));

        // The stack that is gone leaves the other its part.
        first.Die();
        Until(() => daemon.Log.Contains("buried", StringComparison.Ordinal));
        client.SendTo([1], other.LocalEndPoint!);
        Assert.NotNull(second.Receive());
        client.SendTo([1], one.LocalEndPoint!);
        Assert.Equal(1, one.Receive(new byte[10]));
    }

    [Fact]
    public void A_listeners_new_connections_come_and_the_kernels_old_ones_stay()
    {
        using var pair = new NetworkPair();
        using var daemon = new TestDaemon(pair);
        using var stack = new TestStack(daemon.SocketPath);
        using var listener = Bound(pair.Near, SocketType.Stream, NetworkPair.NearAddress, 0, listening: true);
        using var old = Bound(pair.Far, SocketType.Stream, NetworkPair.FarAddress);
        old.Connect(listener.LocalEndPoint!);
        using var accepted = listener.Accept();

        Assert.Equal(NicRefusal.None, stack.Steer(listener, listener: true));
        using var fresh = Bound(pair.Far, SocketType.Stream, NetworkPair.FarAddress);
        fresh.Blocking = false;
        Assert.Throws<SocketException>(() => fresh.Connect(listener.LocalEndPoint!));
        var syn = stack.Receive();
        Assert.NotNull(syn);
        Assert.Equal(2, syn[Echo.Transport(syn) + 13] & 0x3F);

        // Again after acceld has asked the kernel what connections there are.
        for (var round = 0; round < 2; round++)
        {
            accepted.ReceiveTimeout = 2000;
            old.Send([7]);
            Assert.Equal(1, accepted.Receive(new byte[10]));
            Thread.Sleep(300);
        }
        Assert.True(daemon.Status.GetProperty("ports")[0].GetProperty("mixed").GetBoolean());
        Assert.True(daemon.Count("kernel_connection") > 0);
    }

    [Fact]
    public void A_listener_without_connections_of_the_kernel_costs_no_lookup()
    {
        using var pair = new NetworkPair();
        using var daemon = new TestDaemon(pair);
        using var stack = new TestStack(daemon.SocketPath);
        using var listener = Bound(pair.Near, SocketType.Stream, "::", 0, listening: true);
        Assert.Equal(NicRefusal.None, stack.Steer(listener, listener: true));
        Until(() => !daemon.Status.GetProperty("ports")[0].GetProperty("mixed").GetBoolean());
    }

    [Fact]
    public void When_a_listener_has_closed_its_connections_go_on_and_another_program_gets_the_new_ones()
    {
        using var pair = new NetworkPair();
        using var daemon = new TestDaemon(pair);
        using var stack = new TestStack(daemon.SocketPath);
        using var listener = Bound(pair.Near, SocketType.Stream, NetworkPair.NearAddress, 0, listening: true);
        var name = (IPEndPoint)listener.LocalEndPoint!;
        Assert.Equal(NicRefusal.None, stack.Steer(listener, listener: true));
        stack.Control.Leave(TestStack.Local(NetworkPair.NearAddress, name.Port));

        // The kernel's listener stands for the program that has followed this one.
        using var fresh = Bound(pair.Far, SocketType.Stream, NetworkPair.FarAddress);
        fresh.Connect(name);
        using var accepted = listener.Accept();
        accepted.ReceiveTimeout = 2000;
        fresh.Send([7]);
        Assert.Equal(1, accepted.Receive(new byte[10]));
        Assert.Null(stack.Receive(50));

        // It listens again: new connections come as before.
        Assert.Equal(NicRefusal.None, stack.Steer(listener, listener: true));
        using var later = Bound(pair.Far, SocketType.Stream, NetworkPair.FarAddress);
        later.Blocking = false;
        Assert.Throws<SocketException>(() => later.Connect(name));
        Assert.NotNull(stack.Receive());
    }

    [Fact]
    public void A_port_is_given_to_nobody_who_does_not_hold_it()
    {
        using var pair = new NetworkPair();
        using var daemon = new TestDaemon(pair);
        using var stack = new TestStack(daemon.SocketPath);
        using var udp = Bound(pair.Near, SocketType.Dgram, NetworkPair.NearAddress, 5000);
        using var tcp = Bound(pair.Near, SocketType.Stream, NetworkPair.NearAddress, 5000);
        using var elsewhere = Bound(pair.Far, SocketType.Stream, NetworkPair.FarAddress, 5000, listening: true);
        var local = TestStack.Local(NetworkPair.NearAddress, 5000);
        var taken = (Endpoint: local, Handle: (int)tcp.Handle);
        // Bound, but not listening; another protocol; another port; another namespace; no socket at all.
        Assert.Equal(NicRefusal.NotYourPort, stack.Control.Steer(Transport.Tcp, local, taken.Handle, true));
        Assert.Equal(NicRefusal.NotYourPort, stack.Control.Steer(Transport.Tcp, local, (int)udp.Handle, true));
        Assert.Equal(NicRefusal.NotYourPort, stack.Control.Steer(Transport.Tcp,
            TestStack.Local(NetworkPair.NearAddress, 5001), taken.Handle, true));
        Assert.Equal(NicRefusal.NotYourPort, stack.Control.Steer(Transport.Tcp, local, (int)elsewhere.Handle, true));
        using var file = File.OpenHandle("/dev/null");
        Assert.Equal(NicRefusal.NotYourPort, stack.Control.Steer(Transport.Tcp, local,
            (int)file.DangerousGetHandle(), true));
        tcp.Listen();
        Assert.Equal(NicRefusal.None, stack.Control.Steer(Transport.Tcp, local, taken.Handle, true));
    }

    /// <summary>Waits for what must happen; much longer than acceld itself gives a stack to come back.</summary>
    internal static void Until(Func<bool> condition)
    {
        for (var i = 0; i < 3000; i++)
        {
            if (condition())
                return;
            Thread.Sleep(20);
        }
        Assert.Fail("did not happen within a minute");
    }
}
