using System.Net;
using System.Net.Sockets;
using Accel.Control.Bpf;
using Accel.Control.Native;
using Accel.Core.Nic;
using Accel.Os.Links;

namespace Accel.Control.Tests;

/// <summary>Stacks that come and go, and an acceld that does.</summary>
public class LifeTests
{
    static Socket Datagrams(string space, string address, int port = 0) => NetworkPair.In(space, () =>
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        socket.Bind(new IPEndPoint(IPAddress.Parse(address), port));
        socket.ReceiveTimeout = 5000;
        return socket;
    });

    static void Until(Func<bool> condition) => SteeringTests.Until(condition);

    [Fact]
    public void What_a_dead_stack_had_comes_back()
    {
        using var pair = new NetworkPair();
        using var daemon = new TestDaemon(pair, "--frames", "512", "--mode", "generic");
        using var survivor = new TestStack(daemon.SocketPath);
        using var server = Datagrams(pair.Near, NetworkPair.NearAddress);
        using var client = Datagrams(pair.Far, NetworkPair.FarAddress);
        var free = daemon.Frames("free");
        var filling = daemon.Frames("in_fill_ring");
        // Frames in its receive ring, in hand for sending, and in its send ring; several times what there is.
        for (var round = 0; round < 8; round++)
        {
            var stack = new TestStack(daemon.SocketPath);
            Assert.Equal(NicRefusal.None, stack.Steer(server));
            client.SendTo(new byte[100], server.LocalEndPoint!);
            Assert.NotNull(stack.Receive());
            for (var i = 0; i < 40; i++)
                client.SendTo(new byte[100], server.LocalEndPoint!);
            for (var i = 0; i < 30; i++)
                Assert.True(stack.Link.TryTakeBuffer(out _));
            for (var i = 0; i < 20; i++)
            {
                Assert.True(stack.Link.TryTakeBuffer(out var buffer));
                buffer.Length = 60;
                stack.Link.Send(buffer);
            }
            Assert.True(daemon.Frames("free") + daemon.Frames("in_fill_ring") <= free + filling - 90);
            stack.Die();
            var expected = round + 1;
            Until(() => daemon.Status.GetProperty("stacks_buried").GetInt32() == expected);
            Assert.Equal(free + filling, daemon.Frames("free") + daemon.Frames("in_fill_ring"));
            Assert.Empty(daemon.Status.GetProperty("ports").EnumerateArray());
        }
        // The kernel answers for the port again.
        client.SendTo([1], server.LocalEndPoint!);
        Assert.Equal(1, server.Receive(new byte[10]));
    }

    [Fact]
    public void Frames_are_not_lost_by_many_rounds_of_sending_and_receiving()
    {
        using var pair = new NetworkPair();
        using var daemon = new TestDaemon(pair, "--frames", "256");
        using var stack = new TestStack(daemon.SocketPath);
        using var server = Datagrams(pair.Near, NetworkPair.NearAddress);
        using var client = Datagrams(pair.Far, NetworkPair.FarAddress);
        stack.Steer(server);
        var total = daemon.Frames("free") + daemon.Frames("in_fill_ring");
        for (var i = 0; i < 2000; i++)
        {
            client.SendTo([1, 2, 3], server.LocalEndPoint!);
            var frame = stack.Receive();
            Assert.NotNull(frame);
            Echo.Turn(frame);
            stack.Send(frame);
            Assert.Equal(3, client.Receive(new byte[10]));
        }
        // Completions that nobody has taken yet are not free: at most as many as one takes at a time.
        Assert.InRange(daemon.Frames("free") + daemon.Frames("in_fill_ring"), total - 40, total);
    }

    [Fact]
    public void The_lock_of_a_queue_is_taken_over_from_a_dead_holder()
    {
        using var pair = new NetworkPair();
        using var daemon = new TestDaemon(pair);
        using var stack = new TestStack(daemon.SocketPath);
        SetLock(stack, DeadProcess());
        Assert.True(stack.Link.TryTakeBuffer(out var buffer));
        stack.Link.Return(buffer);
        Assert.Equal(1, daemon.Frames("lock_takeovers"));
    }

    [Fact]
    public void A_stack_that_keeps_the_lock_of_a_queue_does_not_stop_acceld()
    {
        using var pair = new NetworkPair();
        using var daemon = new TestDaemon(pair);
        using var holder = new TestStack(daemon.SocketPath);
        var other = new TestStack(daemon.SocketPath);
        SetLock(holder, Environment.ProcessId);
        other.Die();
        Until(() => daemon.Log.Contains("is gone", StringComparison.Ordinal));
        using var third = new TestStack(daemon.SocketPath);
        SetLock(holder, 0);
        Until(() => daemon.Log.Contains("buried", StringComparison.Ordinal));
    }

    static unsafe void SetLock(TestStack stack, int tid) =>
        stack.Link.Queues[0].Umem.Header->Lock = tid;

    static int DeadProcess()
    {
        using var process = System.Diagnostics.Process.Start("true");
        process.WaitForExit();
        return process.Id;
    }

    [Fact]
    public void An_acceld_that_is_killed_changes_nothing_and_the_next_one_goes_on()
    {
        using var pair = new NetworkPair();
        using var first = new TestDaemon(pair, "--frames", "1024");
        using var stack = new TestStack(first.SocketPath);
        using var server = Datagrams(pair.Near, NetworkPair.NearAddress);
        using var client = Datagrams(pair.Far, NetworkPair.FarAddress);
        stack.Steer(server);
        EchoOnce(stack, client, server);
        first.Kill();
        EchoOnce(stack, client, server);
        stack.Control.Tend(stack);
        Assert.False(stack.Control.IsConnected);

        // What the new one makes by itself is larger; what it takes over stays as it is.
        using var second = new TestDaemon(pair, "--frames", "16384");
        Assert.Contains("as before", second.Ready);
        EchoOnce(stack, client, server);
        Until(() =>
        {
            stack.Control.Tend(stack);
            return stack.Control.IsConnected;
        });
        Until(() => second.Log.Contains("is back", StringComparison.Ordinal));
        EchoOnce(stack, client, server);

        // The new one makes sockets on the same queue, steers, and buries the old stack when it goes.
        using var newcomer = new TestStack(second.SocketPath);
        using var other = Datagrams(pair.Near, NetworkPair.NearAddress);
        Assert.Equal(NicRefusal.None, newcomer.Steer(other));
        Assert.Equal(NicRefusal.PortTaken, newcomer.Steer(server));
        EchoOnce(newcomer, client, other);
        for (var i = 0; i < 30; i++)
            client.SendTo([1], server.LocalEndPoint!);
        stack.Die();
        Until(() => second.Log.Contains("buried", StringComparison.Ordinal));
        client.SendTo([1], server.LocalEndPoint!);
        Assert.Equal(1, server.Receive(new byte[10]));
        Assert.Equal(1024, second.Frames("free") + second.Frames("in_fill_ring"));
        EchoOnce(newcomer, client, other);
    }

    [Fact]
    public void Who_died_together_with_acceld_is_cleaned_up_by_the_next_one()
    {
        using var pair = new NetworkPair();
        using var first = new TestDaemon(pair);
        var stack = new TestStack(first.SocketPath);
        using var server = Datagrams(pair.Near, NetworkPair.NearAddress);
        using var client = Datagrams(pair.Far, NetworkPair.FarAddress);
        stack.Steer(server);
        first.Kill();
        stack.Die();
        // Nobody is there, but the interface is not deaf: the kernel gets it.
        client.SendTo([1], server.LocalEndPoint!);
        Assert.Equal(1, server.Receive(new byte[10]));
        using var second = new TestDaemon(pair);
        Assert.NotEmpty(second.Status.GetProperty("ports").EnumerateArray());
        Until(() => second.Log.Contains("did not come back", StringComparison.Ordinal));
        Assert.Empty(second.Status.GetProperty("ports").EnumerateArray());
    }

    [Theory]
    [InlineData("generic")]
    [InlineData("ring")]
    public void Acceld_that_is_stopped_leaves_nothing_behind(string mode)
    {
        using var pair = new NetworkPair();
        using var daemon = new TestDaemon(pair, "--mode", mode);
        using var stack = new TestStack(daemon.SocketPath);
        using var server = Datagrams(pair.Near, NetworkPair.NearAddress);
        using var client = Datagrams(pair.Far, NetworkPair.FarAddress);
        stack.Steer(server);
        Assert.Equal(0, daemon.Stop());
        stack.Control.Tend(stack);
        Assert.False(IsUp(stack));
        Assert.Equal(-1, NetworkPair.In(pair.Near, () => Attachment.Find(
            Links.NetInterface.List().Single(d => d.Name == NetworkPair.NearDevice).Index, out _, out _)));
        Assert.False(File.Exists(daemon.SocketPath));
        Assert.False(File.Exists(daemon.SocketPath + ".lock"));
        client.SendTo([1], server.LocalEndPoint!);
        Assert.Equal(1, server.Receive(new byte[10]));
    }

    [Fact]
    public void A_stack_that_the_next_acceld_does_not_know_gives_its_links_up()
    {
        using var pair = new NetworkPair();
        using var first = new TestDaemon(pair, "--mode", "generic");
        using var stack = new TestStack(first.SocketPath);
        first.Kill();
        NetworkPair.Ip("-n", pair.Near, "link", "set", NetworkPair.NearDevice, "xdpgeneric", "off");
        using var second = new TestDaemon(pair, "--mode", "generic");
        Assert.True(IsUp(stack));
        Until(() =>
        {
            stack.Control.Tend(stack);
            return !IsUp(stack);
        });
        Assert.False(stack.Control.IsConnected);
        Assert.Equal(NicRefusal.NoDaemon, stack.Control.Steer(Transport.Udp,
            TestStack.Local(NetworkPair.NearAddress, 1), -1, true));
    }

    static unsafe bool IsUp(TestStack stack) => ((LinkFlags)stack.Link.Info->Flags & LinkFlags.Up) != 0;

    [Fact]
    public void An_interface_that_goes_and_comes_again_is_served_again()
    {
        using var pair = new NetworkPair();
        using var daemon = new TestDaemon(pair);
        using var stack = new TestStack(daemon.SocketPath);
        NetworkPair.Ip("-n", pair.Near, "link", "del", NetworkPair.NearDevice);
        Until(() =>
        {
            stack.Control.Tend(stack);
            return !IsUp(stack);
        });
        pair.Connect(1500, 1);
        Until(() => daemon.Status.GetProperty("interfaces").GetArrayLength() == 1);
        using var server = Datagrams(pair.Near, NetworkPair.NearAddress);
        using var client = Datagrams(pair.Far, NetworkPair.FarAddress);
        using var fresh = new TestStack(daemon.SocketPath);
        fresh.Steer(server);
        Until(() =>
        {
            client.SendTo([1], server.LocalEndPoint!);
            return fresh.Receive(50) != null;
        });
    }

    [Fact]
    public void Who_asked_for_a_neighbour_is_told_when_it_is_found()
    {
        using var pair = new NetworkPair();
        using var daemon = new TestDaemon(pair);
        using var asker = new TestStack(daemon.SocketPath);
        using var other = new TestStack(daemon.SocketPath);
        Assert.False(HasWord(asker, 0));
        asker.Control.Resolve(InterfaceOf(asker), TestStack.Local(NetworkPair.FarAddress, 0));
        Assert.True(HasWord(asker, 5000));
        Assert.False(HasWord(other, 0));
    }

    static unsafe int InterfaceOf(TestStack stack) => stack.Link.Info->InterfaceIndex;

    static bool HasWord(TestStack stack, int milliseconds)
    {
        PollEntry entry = new() { Fd = stack.Control.WatchDescriptor, Events = Libc.PollIn };
        unsafe
        {
            return Libc.Poll(&entry, 1, milliseconds) == 1;
        }
    }

    [Fact]
    public void A_second_acceld_is_refused()
    {
        using var pair = new NetworkPair();
        using var daemon = new TestDaemon(pair);
        NetworkPair.Run("ip", out var text, "netns", "exec", pair.Near, TestDaemon.Program, "--interface",
            NetworkPair.NearDevice, "--socket", daemon.SocketPath);
        Assert.Contains("another acceld", text);
        using var stack = new TestStack(daemon.SocketPath);
    }

    [Fact]
    public void A_forked_process_has_a_conversation_of_its_own_and_keeps_the_stack_alive()
    {
        using var pair = new NetworkPair();
        using var daemon = new TestDaemon(pair);
        using var stack = new TestStack(daemon.SocketPath);
        // As in the child: the inherited descriptor is not used again.
        stack.Control.AfterFork();
        Assert.Equal(-1, stack.Control.WatchDescriptor);
        Assert.True(stack.Control.IsConnected);
        stack.Control.Tend(stack);
        Assert.True(stack.Control.WatchDescriptor >= 0);
        Until(() => daemon.Status.GetProperty("stacks")[0].GetProperty("pids").GetArrayLength() == 1);
        Assert.DoesNotContain("is gone", daemon.Log);
        using var server = Datagrams(pair.Near, NetworkPair.NearAddress);
        Assert.Equal(NicRefusal.None, stack.Steer(server));
    }

    internal static void EchoOnce(TestStack stack, Socket client, Socket server)
    {
        client.SendTo([1, 2, 3], server.LocalEndPoint!);
        var frame = stack.Receive();
        Assert.NotNull(frame);
        Echo.Turn(frame);
        stack.Send(frame);
        Assert.Equal(3, client.Receive(new byte[10]));
    }
}
