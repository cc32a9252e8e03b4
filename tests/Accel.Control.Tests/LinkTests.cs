using System.Net;
using System.Net.Sockets;
using Accel.Core.Nic;

namespace Accel.Control.Tests;

/// <summary>Frames over AF_XDP rings, super-frames over the packet socket; the other end is the kernel.</summary>
public class LinkTests
{
    const int Segment = 1400;

    static Socket Make(string space, SocketType type, string address, bool listening = false) =>
        NetworkPair.In(space, () =>
        {
            var ip = IPAddress.Parse(address);
            var socket = new Socket(ip.AddressFamily, type,
                type == SocketType.Dgram ? ProtocolType.Udp : ProtocolType.Tcp);
            socket.Bind(new IPEndPoint(ip, 0));
            if (listening)
                socket.Listen();
            socket.ReceiveTimeout = 5000;
            socket.SendTimeout = 5000;
            return socket;
        });

    static byte[] Pattern(int length, int seed) => [.. Enumerable.Range(0, length).Select(i => (byte)(i * 7 + seed))];

    static byte[] ReadAll(Socket socket, int length)
    {
        var bytes = new byte[length];
        for (var at = 0; at < length;)
        {
            var got = socket.Receive(bytes.AsSpan(at));
            Assert.True(got > 0, $"ended after {at} bytes");
            at += got;
        }
        return bytes;
    }

    /// <summary>A hand-made connection to a listener of the far kernel.</summary>
    static (HandMadeTcp Near, Socket Far) Connect(NetworkPair pair, TestStack stack, bool v6 = false)
    {
        using var listener = Make(pair.Far, SocketType.Stream, v6 ? NetworkPair.FarAddress6 : NetworkPair.FarAddress,
            listening: true);
        var port = Make(pair.Near, SocketType.Stream, v6 ? NetworkPair.NearAddress6 : NetworkPair.NearAddress);
        Assert.Equal(NicRefusal.None, stack.Steer(port));
        var tcp = new HandMadeTcp(stack, pair, (IPEndPoint)port.LocalEndPoint!, (IPEndPoint)listener.LocalEndPoint!);
        var far = listener.Accept();
        far.ReceiveTimeout = far.SendTimeout = 5000;
        return (tcp, far);
    }

    [Theory]
    [InlineData(false, "on")]
    [InlineData(false, "off")]
    [InlineData(true, "on")]
    [InlineData(true, "off")]
    public void A_super_frame_arrives_as_the_bytes_it_was_made_of(bool v6, string offloads)
    {
        using var pair = new NetworkPair();
        NetworkPair.Run("ip", out _, "netns", "exec", pair.Near, "ethtool", "-K", NetworkPair.NearDevice, "tso",
            offloads, "gso", offloads, "tx", offloads);
        using var daemon = new TestDaemon(pair);
        using var stack = new TestStack(daemon.SocketPath);
        var (near, far) = Connect(pair, stack, v6);
        // Frames of the ring that nobody flushed yet leave first.
        byte[] first = Pattern(100, 1), second = Pattern(30_001, 2), third = Pattern(9_000, 3);
        Assert.True(stack.Link.TryTakeBuffer(out var buffer));
        unsafe
        {
            var frame = near.Frame(0x18, first);
            frame.CopyTo(new Span<byte>(buffer.Data, buffer.Length));
            buffer.Length = frame.Length;
            stack.Link.Send(buffer);
            near.Skip(first.Length);
        }
        Assert.True(near.TrySendSuper(second, third, Segment));
        Assert.True(near.TrySendSuper(first, [], Segment));
        Assert.Equal([.. first, .. second, .. third, .. first], ReadAll(far, 39_201));
        unsafe
        {
            Assert.Equal(2ul, stack.Link.Info->TxSuperFrames);
            Assert.True(((LinkFlags)stack.Link.Info->Flags).HasFlag(LinkFlags.SuperFrames));
        }
        far.Dispose();
    }

    [Fact]
    public void A_super_frame_that_is_too_long_is_refused()
    {
        using var pair = new NetworkPair();
        using var daemon = new TestDaemon(pair);
        using var stack = new TestStack(daemon.SocketPath);
        var (near, far) = Connect(pair, stack);
        Assert.False(near.TrySendSuper(new byte[65_500], new byte[100], Segment));
        var most = Pattern(65_535 - 14 - 40, 9);
        Assert.True(near.TrySendSuper(most, [], Segment));
        Assert.Equal(most, ReadAll(far, most.Length));
        far.Dispose();
    }

    [Theory]
    [InlineData(1500, "generic")]
    [InlineData(9000, "generic")]
    [InlineData(1500, "native")]
    [InlineData(9000, "native")]
    [InlineData(1500, "ring")]
    [InlineData(9000, "ring")]
    public void What_the_kernel_sends_in_bulk_is_received_in_parts(int mtu, string mode)
    {
        using var pair = new NetworkPair(mtu);
        using var daemon = new TestDaemon(pair, "--mode", mode);
        using var stack = new TestStack(daemon.SocketPath);
        var (near, far) = Connect(pair, stack);
        var sent = Pattern(200_000, 5);
        var count = 0;
        var sender = new Thread(() => count = far.Send(sent));
        sender.Start();
        var got = new List<byte>();
        var most = 0;
        while (got.Count < sent.Length)
        {
            got.AddRange(near.Receive(out var parts));
            most = Math.Max(most, parts);
        }
        sender.Join();
        Assert.Equal(sent.Length, count);
        Assert.Equal(sent, got);
        if (mode == "generic")
            Assert.True(most > 1, "no super-frame came");
        unsafe
        {
            // A ring has them in one piece.
            Assert.Equal(mode == "ring" || most > 1, stack.Link.Info->RxSuperFrames > 0);
            Assert.True(stack.Link.Info->RxSuperFrames <= stack.Link.Info->RxFrames);
        }
        far.Dispose();
    }

    [Fact]
    public void Frames_of_a_large_MTU_go_both_ways()
    {
        using var pair = new NetworkPair(9000);
        using var daemon = new TestDaemon(pair);
        using var stack = new TestStack(daemon.SocketPath);
        using var server = Make(pair.Near, SocketType.Dgram, NetworkPair.NearAddress);
        using var client = Make(pair.Far, SocketType.Dgram, NetworkPair.FarAddress);
        stack.Steer(server);
        foreach (var length in new[] { 1, 4000, 5000, 8972 })
        {
            var sent = Pattern(length, length);
            client.SendTo(sent, server.LocalEndPoint!);
            var frame = stack.Receive();
            Assert.NotNull(frame);
            Echo.Turn(frame);
            stack.Send(frame);
            var answer = new byte[10_000];
            Assert.Equal(length, client.Receive(answer));
            Assert.Equal(sent, answer[..length]);
        }
    }

    [Fact]
    public void Every_queue_is_served()
    {
        using var pair = new NetworkPair(queues: 4);
        using var daemon = new TestDaemon(pair);
        Assert.Contains("4 queues", daemon.Ready);
        using var stack = new TestStack(daemon.SocketPath);
        using var server = Make(pair.Near, SocketType.Dgram, NetworkPair.NearAddress);
        stack.Steer(server);
        for (var i = 0; i < 40; i++)
        {
            using var client = Make(pair.Far, SocketType.Dgram, NetworkPair.FarAddress);
            LifeTests.EchoOnce(stack, client, server);
        }
        Assert.Equal(40, daemon.Count("steered"));
        unsafe
        {
            Assert.Equal(40ul, stack.Link.Info->RxFrames);
            Assert.Equal(4u, stack.Link.Info->Queues);
        }
    }

    [Fact]
    public unsafe void More_than_the_ring_holds_is_sent_all_the_same()
    {
        using var pair = new NetworkPair();
        using var daemon = new TestDaemon(pair, "--frames", "512");
        using var stack = new TestStack(daemon.SocketPath);
        using var server = Make(pair.Near, SocketType.Dgram, NetworkPair.NearAddress);
        using var client = Make(pair.Far, SocketType.Dgram, NetworkPair.FarAddress);
        client.ReceiveBufferSize = 8 << 20;
        stack.Steer(server);
        client.SendTo([42], server.LocalEndPoint!);
        var frame = stack.Receive();
        Assert.NotNull(frame);
        Echo.Turn(frame);
        const int many = 1000;
        for (var i = 0; i < many; i++)
        {
            Assert.True(stack.Link.TryTakeBuffer(out var buffer), $"no buffer for frame {i}");
            frame.CopyTo(new Span<byte>(buffer.Data, buffer.Length));
            buffer.Length = frame.Length;
            stack.Link.Send(buffer);
        }
        Assert.NotEqual(0, stack.Link.Unflushed);
        stack.Link.Flush();
        Assert.Equal(0, stack.Link.Unflushed);
        var got = 0;
        while (client.Poll(100_000, SelectMode.SelectRead))
            got += client.Receive(new byte[10]);
        Assert.InRange(got, many * 9 / 10, many);
        Assert.True(stack.Link.Info->Doorbells < many / 10, $"{stack.Link.Info->Doorbells} doorbells");
    }

    [Fact]
    public unsafe void Drops_are_counted_and_do_no_lasting_harm()
    {
        using var pair = new NetworkPair();
        using var daemon = new TestDaemon(pair, "--frames", "512", "--mode", "generic");
        using var stack = new TestStack(daemon.SocketPath);
        using var server = Make(pair.Near, SocketType.Dgram, NetworkPair.NearAddress);
        using var client = Make(pair.Far, SocketType.Dgram, NetworkPair.FarAddress);
        stack.Steer(server);
        for (var i = 0; i < 2000; i++)
            client.SendTo(new byte[100], server.LocalEndPoint!);
        stack.Link.UpdateDrops();
        Assert.True(stack.Link.Info->RxNoBuffer + stack.Link.Info->RxRingFull > 1000);
        var taken = 0;
        while (stack.Receive(50) != null)
            taken++;
        Assert.NotEqual(0, taken);
        LifeTests.EchoOnce(stack, client, server);
    }

    [Fact]
    public void What_a_thread_had_in_hand_when_it_died_is_recovered()
    {
        using var pair = new NetworkPair();
        using var daemon = new TestDaemon(pair, "--frames", "512");
        using var stack = new TestStack(daemon.SocketPath);
        var free = daemon.Frames("free");
        for (var i = 0; i < 50; i++)
            Assert.True(stack.Link.TryTakeBuffer(out _));
        Assert.Equal(free - 50, daemon.Frames("free"));
        stack.Link.Recover();
        Assert.Equal(free, daemon.Frames("free"));
    }

    [Fact]
    public void A_link_that_changes_is_told_to_the_stacks()
    {
        using var pair = new NetworkPair();
        using var daemon = new TestDaemon(pair);
        using var stack = new TestStack(daemon.SocketPath);
        unsafe
        {
            Assert.Equal(1500u, stack.Link.Info->Mtu);
            Assert.True(((LinkFlags)stack.Link.Info->Flags).HasFlag(LinkFlags.Up));
        }
        NetworkPair.Ip("-n", pair.Near, "link", "set", NetworkPair.NearDevice, "mtu", "1400", "down");
        SteeringTests.Until(() =>
        {
            stack.Control.Tend(stack);
            unsafe
            {
                return stack.Link.Info->Mtu == 1400 && ((LinkFlags)stack.Link.Info->Flags & LinkFlags.Up) == 0;
            }
        });
        // What the stack alone has, or has not, of the interface is not acceld's to change.
        unsafe
        {
            var flags = (LinkFlags)stack.Link.Info->Flags;
            Assert.Equal(flags.HasFlag(LinkFlags.Ring), flags.HasFlag(LinkFlags.Bell));
        }
    }
}
