using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Accel.Core.Local;
using Accel.Core.Nic;

namespace Accel.Control.Tests;

/// <summary>What stacks do at the moment at which acceld is killed and started again.</summary>
public class RestartTests
{
    static Socket Listening(NetworkPair pair, string address, int port = 0) => NetworkPair.In(pair.Near, () =>
    {
        var ip = IPAddress.Parse(address);
        var socket = new Socket(ip.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        if (ip.AddressFamily == AddressFamily.InterNetworkV6)
            socket.DualMode = false;
        socket.Bind(new IPEndPoint(ip, port));
        socket.Listen();
        return socket;
    });

    static int PortOf(Socket socket) => ((IPEndPoint)socket.LocalEndPoint!).Port;

    static void Leave(TestStack stack, Socket socket) => stack.Control.Leave(NameOf(socket));

    static Endpoint NameOf(Socket socket) =>
        TestStack.Local(((IPEndPoint)socket.LocalEndPoint!).Address.ToString(), PortOf(socket));

    static void Rejoin(TestStack stack) => SteeringTests.Until(() =>
    {
        stack.Control.Tend(stack);
        return stack.Control.IsConnected && stack.Control.OwedCount == 0;
    });

    static string PortText(TestDaemon daemon, int port)
    {
        foreach (JsonElement one in daemon.Status.GetProperty("ports").EnumerateArray())
        {
            if (one.GetProperty("port").GetInt32() == port)
                return one.GetProperty("listener").GetBoolean() ? "listener"
                    : one.GetProperty("leaving").GetBoolean() ? "leaving" : "steered";
        }
        return "kernel";
    }

    [Fact]
    public void Ports_that_are_given_back_in_one_go_are_the_kernels_when_the_call_is_over_or_under_the_next_acceld()
    {
        const int many = 100;
        using var pair = new NetworkPair();
        using var first = new TestDaemon(pair);
        using var stack = new TestStack(first.SocketPath);
        Socket[] listeners = [.. Enumerable.Range(0, 2 * many).Select(_ => Listening(pair, "0.0.0.0"))];
        Endpoint[] names = [.. listeners.Select(NameOf)];
        foreach (var socket in listeners)
            Assert.Equal(NicRefusal.None, stack.Steer(socket, listener: true));
        stack.Control.Unsteer(Transport.Tcp, names.AsSpan(0, many));
        Assert.Equal(0, stack.Control.OwedCount);
        Assert.Equal(many, first.Status.GetProperty("ports").GetArrayLength());
        Assert.Equal("kernel", PortText(first, names[0].Port));
        Assert.Equal("listener", PortText(first, names[many].Port));

        first.Kill();
        stack.Control.Unsteer(Transport.Tcp, names.AsSpan(many));
        Assert.Equal(many, stack.Control.OwedCount);
        using var second = new TestDaemon(pair);
        Rejoin(stack);
        Assert.Equal(0, second.Status.GetProperty("ports").GetArrayLength());
        foreach (var socket in listeners)
            socket.Dispose();
    }

    [Fact]
    public void What_was_given_up_while_no_acceld_was_there_is_the_kernels_under_the_next_one()
    {
        using var pair = new NetworkPair();
        using var first = new TestDaemon(pair);
        using var stack = new TestStack(first.SocketPath);
        using var kept = Listening(pair, "0.0.0.0");
        using var left = Listening(pair, "0.0.0.0");
        using var removed = Listening(pair, "0.0.0.0");
        using var anew = Listening(pair, "0.0.0.0");
        foreach (var socket in (Socket[])[kept, left, removed, anew])
            Assert.Equal(NicRefusal.None, stack.Steer(socket, listener: true));
        first.Kill();
        Leave(stack, left);
        Leave(stack, removed);
        stack.Control.Unsteer(Transport.Tcp, NameOf(removed));
        Leave(stack, anew);
        Assert.Equal(3, stack.Control.OwedCount);

        using var second = new TestDaemon(pair);
        // A program that listens again has it before what is owed was said, or after: never the other way round.
        SteeringTests.Until(() => stack.Steer(anew, listener: true) == NicRefusal.None);
        Rejoin(stack);
        Assert.Equal("listener", PortText(second, PortOf(kept)));
        Assert.Equal("leaving", PortText(second, PortOf(left)));
        Assert.Equal("kernel", PortText(second, PortOf(removed)));
        Assert.Equal("listener", PortText(second, PortOf(anew)));
    }

    [Fact]
    public void A_listener_that_acceld_took_and_died_before_it_said_so_is_not_left_with_a_stack_that_knows_nothing()
    {
        using var pair = new NetworkPair();
        using var first = new TestDaemon(pair);
        using var stack = new TestStack(first.SocketPath);
        using var listener = Listening(pair, "0.0.0.0");
        // The entry is there, as if acceld had died between making it and saying so.
        Assert.Equal(NicRefusal.None, stack.Steer(listener, listener: true));
        first.Pause();
        Assert.Equal(NicRefusal.Failed, stack.Steer(listener, listener: true));
        first.Kill();
        using var second = new TestDaemon(pair);
        Rejoin(stack);
        Assert.NotEqual("listener", PortText(second, PortOf(listener)));
        using var client = NetworkPair.In(pair.Far, () =>
            new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp));
        client.Connect(new IPEndPoint(IPAddress.Parse(NetworkPair.NearAddress), PortOf(listener)));
    }

    [Fact]
    public void Listeners_close_under_an_acceld_that_found_their_port_steered()
    {
        using var pair = new NetworkPair();
        using var first = new TestDaemon(pair);
        using var stack = new TestStack(first.SocketPath);
        using var v4 = Listening(pair, "0.0.0.0");
        using var v6 = Listening(pair, "::", PortOf(v4));
        using var single = Listening(pair, NetworkPair.NearAddress);
        foreach (var socket in (Socket[])[v4, v6, single])
            Assert.Equal(NicRefusal.None, stack.Steer(socket, listener: true));
        first.Kill();
        using var second = new TestDaemon(pair);
        Rejoin(stack);
        Leave(stack, single);
        Assert.Equal("leaving", PortText(second, PortOf(single)));
        Leave(stack, v4);
        Assert.Equal("listener", PortText(second, PortOf(v4)));
        stack.Control.Unsteer(Transport.Tcp, NameOf(v4));
        Leave(stack, v6);
        Assert.Equal("leaving", PortText(second, PortOf(v4)));
        stack.Control.Unsteer(Transport.Tcp, NameOf(v6));
        Assert.Equal("kernel", PortText(second, PortOf(v4)));
    }

    [Fact]
    public void An_IPv6_listener_that_closes_does_not_take_IPv4_connections_along()
    {
        using var pair = new NetworkPair();
        using var first = new TestDaemon(pair);
        using var stack = new TestStack(first.SocketPath);
        using var v4 = Listening(pair, "0.0.0.0");
        using var v6 = Listening(pair, "::", PortOf(v4));
        Assert.Equal(NicRefusal.None, stack.Steer(v4, listener: true));
        Assert.Equal(NicRefusal.None, stack.Steer(v6, listener: true));
        first.Kill();
        using var second = new TestDaemon(pair);
        Rejoin(stack);
        Leave(stack, v6);
        stack.Control.Unsteer(Transport.Tcp, NameOf(v6));
        // Whether IPv4 was that socket's too is not known any more: what is open goes on, new ones are the kernel's.
        Assert.Equal("leaving", PortText(second, PortOf(v4)));
    }
}
