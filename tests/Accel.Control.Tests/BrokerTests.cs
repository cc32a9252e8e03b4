using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Accel.Control.Broker;
using Accel.Control.Native;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Os.Control;

namespace Accel.Control.Tests;

/// <summary>Who gets what, and what nonsense does.</summary>
public unsafe class BrokerTests
{
    /// <summary>Everybody may, but for one port.</summary>
    sealed class AllButOnePort : IAccessPolicy
    {
        public string? RefuseAttach(Peer peer, string interfaceName) =>
            peer.Uid == 5001 ? "user 5001 may not" : null;

        public string? RefuseSteer(
            Peer peer, Transport transport, in Endpoint local, bool listener, IReadOnlyCollection<string> interfaces) =>
            local.Port == 6000 ? "port 6000 is nobody's" : null;
    }

    /// <summary>On a thread that is another user: connections made there are that user's.</summary>
    static T As<T>(uint uid, Func<T> action)
    {
        T result = default!;
        Exception? error = null;
        var thread = new Thread(() =>
        {
            const int setResUid = 117;
            // The system call itself, so that only this thread changes.
            Libc.SystemCall(setResUid, (nint)uid, (nint)uid, 0, 0, 0, 0);
            try
            {
                result = action();
            }
            catch (Exception e)
            {
                error = e;
            }
        });
        thread.Start();
        thread.Join();
        return error == null ? result : throw new InvalidOperationException(error.Message, error);
    }

    static Socket Datagrams(string space, string address, int port = 0) => NetworkPair.In(space, () =>
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        socket.Bind(new IPEndPoint(IPAddress.Parse(address), port));
        socket.ReceiveTimeout = 5000;
        return socket;
    });

    [Fact]
    public void Other_users_are_served_by_policy_and_share_no_queue()
    {
        using var pair = new NetworkPair();
        using var broker = new InnerBroker(pair, new AllButOnePort());
        using var server = Datagrams(pair.Near, NetworkPair.NearAddress);
        using var refusedPort = Datagrams(pair.Near, NetworkPair.NearAddress, 6000);
        using var client = Datagrams(pair.Far, NetworkPair.FarAddress);
        using var stack = As(5000, () => new TestStack(broker.SocketPath));
        // It steers by message, which acceld checks.
        Assert.Equal(NicRefusal.None, stack.Steer(server));
        Assert.Equal(NicRefusal.Policy, stack.Steer(refusedPort));
        LifeTests.EchoOnce(stack, client, server);

        using var refused = As(5001, () => new TestStack(broker.SocketPath, mayFail: true));
        Assert.Equal(NicRefusal.Policy, refused.Refusal);
        using var stranger = As(5002, () => new TestStack(broker.SocketPath, mayFail: true));
        Assert.Equal(NicRefusal.OtherUserHasQueue, stranger.Refusal);
        using var root = new TestStack(broker.SocketPath);
        using var same = As(5000, () => new TestStack(broker.SocketPath));
        Assert.Contains("user 5001 may not", broker.Log);
    }

    /// <summary>Thinks about the port for longer than anybody waits.</summary>
    sealed class Slow : IAccessPolicy
    {
        public string? RefuseAttach(Peer peer, string interfaceName) => null;

        public string? RefuseSteer(
            Peer peer, Transport transport, in Endpoint local, bool listener, IReadOnlyCollection<string> interfaces)
        {
            Thread.Sleep(Protocol.AnswerMilliseconds + 300);
            return null;
        }
    }

    [Fact]
    public void A_port_that_is_given_too_late_is_given_back()
    {
        using var pair = new NetworkPair();
        using var broker = new InnerBroker(pair, new Slow());
        using var server = Datagrams(pair.Near, NetworkPair.NearAddress);
        using var client = Datagrams(pair.Far, NetworkPair.FarAddress);
        using var stack = As(5000, () => new TestStack(broker.SocketPath));
        Assert.Equal(NicRefusal.Failed, stack.Steer(server));
        Thread.Sleep(Protocol.AnswerMilliseconds);
        client.SendTo([1], server.LocalEndPoint!);
        Assert.Equal(1, server.Receive(new byte[10]));
    }

    [Fact]
    public void All_stacks_of_a_host_draw_their_sequence_numbers_from_one_secret()
    {
        using var pair = new NetworkPair();
        using var broker = new InnerBroker(pair, new AllButOnePort());
        using var one = new TestStack(broker.SocketPath);
        using var other = new TestStack(broker.SocketPath);
        Assert.NotEqual(0ul, one.Control.SequenceKey0);
        Assert.Equal((one.Control.SequenceKey0, one.Control.SequenceKey1),
            (other.Control.SequenceKey0, other.Control.SequenceKey1));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode("/run/accel/keys"));
    }

    [Fact]
    public void Without_a_policy_only_root_is_served()
    {
        using var pair = new NetworkPair();
        using var broker = new InnerBroker(pair);
        using var refused = As(5000, () => new TestStack(broker.SocketPath, mayFail: true));
        Assert.Equal(NicRefusal.Policy, refused.Refusal);
        using var root = new TestStack(broker.SocketPath);
    }

    [Fact]
    public void An_ICMP_error_reaches_the_stack_that_has_the_port()
    {
        using var pair = new NetworkPair();
        using var broker = new InnerBroker(pair);
        using var stack = new TestStack(broker.SocketPath);
        using var other = new TestStack(broker.SocketPath);
        using var server = Datagrams(pair.Near, NetworkPair.NearAddress);
        stack.Steer(server);
        var local = TestStack.Local(NetworkPair.NearAddress, ((IPEndPoint)server.LocalEndPoint!).Port);
        broker.Mirror.Report(new IcmpEvent
        {
            Transport = Transport.Udp, Type = 3, Code = 4, Mtu = 1280, Seq = 7, Local = local,
            Remote = TestStack.Local(NetworkPair.FarAddress, 9),
        });
        SteeringTests.Until(() =>
        {
            stack.Control.Tend(stack);
            other.Control.Tend(other);
            return stack.Reports.Count > 0;
        });
        var report = stack.Reports.Single();
        Assert.Equal((3, 4, 1280u, 7u), (report.Type, report.Code, report.Mtu, report.Seq));
        Assert.True(report.Local.Equals(local));
        Assert.Empty(other.Reports);
    }

    [Fact]
    public void A_neighbour_is_asked_for_on_served_interfaces_only()
    {
        using var pair = new NetworkPair();
        using var broker = new InnerBroker(pair);
        using var stack = new TestStack(broker.SocketPath);
        var far = TestStack.Local(NetworkPair.FarAddress, 0);
        stack.Control.Resolve(stack.Link.Info->InterfaceIndex + 1000, far);
        stack.Control.Resolve(stack.Link.Info->InterfaceIndex, far);
        SteeringTests.Until(() => !broker.Mirror.Resolved.IsEmpty);
        Assert.Equal(stack.Link.Info->InterfaceIndex, broker.Mirror.Resolved.Single().Interface);
    }

    [Fact]
    public void An_address_that_goes_takes_its_frames_to_the_kernel()
    {
        using var pair = new NetworkPair();
        using var broker = new InnerBroker(pair);
        using var stack = new TestStack(broker.SocketPath);
        using var server = Datagrams(pair.Near, NetworkPair.NearAddress);
        using var client = Datagrams(pair.Far, NetworkPair.FarAddress);
        stack.Steer(server);
        LifeTests.EchoOnce(stack, client, server);
        var index = stack.Link.Info->InterfaceIndex;
        var address = TestStack.Local(NetworkPair.NearAddress, 0);
        // Nobody's; another interface's (a VLAN's, say); any interface's.
        foreach (var (own, steered) in new (OwnAddress[], bool)[]
        {
            ([], false), ([new OwnAddress(address, index + 1, false)], false),
            ([new OwnAddress(address, 1, true)], true),
        })
        {
            broker.Mirror.Change(own);
            Thread.Sleep(100);
            client.SendTo([1, 2, 3], server.LocalEndPoint!);
            if (steered)
                Assert.NotNull(stack.Receive());
            else
                Assert.Equal(3, server.Receive(new byte[10]));
        }
    }

    [Fact]
    public void Nonsense_ends_the_conversation_and_nothing_else()
    {
        using var pair = new NetworkPair();
        using var broker = new InnerBroker(pair);
        using var stack = new TestStack(broker.SocketPath);
        var kernel = DaemonKernel.Shared;
        var random = new Random(20_260);
        var header = MessageHeader.Of(MessageKind.Hello, 1);
        for (var i = 0; i < 300; i++)
        {
            var fd = Conversation.Connect(kernel, broker.SocketPath);
            Assert.True(fd >= 0);
            var conversation = new Conversation(kernel, fd);
            var packet = new Message();
            random.NextBytes(new Span<byte>(&packet, sizeof(Message)));
            if (i % 3 != 0)
                packet.Header = MessageHeader.Of((MessageKind)random.Next(0, 30), (uint)i);
            // Half of them by somebody who is known.
            if (i % 2 == 0)
            {
                conversation.Send(new HelloMessage
                {
                    Header = header, LayoutHash = LayoutHash.Value, StackId = stack.Id,
                });
            }
            using var file = File.OpenHandle("/dev/null");
            conversation.Send(packet, [.. Enumerable.Repeat((int)file.DangerousGetHandle(), random.Next(0, 4))]);
            // A packet of another length.
            if (i % 5 == 0)
                conversation.Send(header);
            kernel.Close(fd);
        }
        // One that never says anything, and one that asks and does not read.
        var silent = Conversation.Connect(kernel, broker.SocketPath);
        var deaf = Conversation.Connect(kernel, broker.SocketPath);
        for (var i = 0; i < 20_000; i++)
            if (new Conversation(kernel, deaf).Send(new Message { Header = MessageHeader.Of(MessageKind.Status) }) < 0)
                break;
        using var server = Datagrams(pair.Near, NetworkPair.NearAddress);
        using var client = Datagrams(pair.Far, NetworkPair.FarAddress);
        Assert.Equal(NicRefusal.None, stack.Steer(server));
        LifeTests.EchoOnce(stack, client, server);
        kernel.Close(silent);
        kernel.Close(deaf);
        Assert.DoesNotContain($"stack {stack.Id:x16} (process", broker.Log.Split('\n').Last());
    }

    [Fact]
    public void Another_version_is_told_so()
    {
        using var pair = new NetworkPair();
        using var broker = new InnerBroker(pair);
        var kernel = DaemonKernel.Shared;
        foreach (var (version, hash) in new[] { (Protocol.Version + 1, LayoutHash.Value), (Protocol.Version, 1ul) })
        {
            var fd = Conversation.Connect(kernel, broker.SocketPath);
            var header = MessageHeader.Of(MessageKind.Hello, 1);
            header.Version = (ushort)version;
            var conversation = new Conversation(kernel, fd);
            conversation.Send(new HelloMessage { Header = header, LayoutHash = hash, StackId = 1 });
            Assert.True(kernel.WaitReadable(fd, 2000));
            Assert.True(conversation.Receive(out var answer, [], out _) > 0);
            Assert.Equal(NicRefusal.Version, answer.Header.Refusal);
            kernel.Close(fd);
        }
    }

    [Fact]
    public void Slots_run_out_and_come_back()
    {
        using var pair = new NetworkPair();
        using var broker = new InnerBroker(pair, sizes: new Links.QueueSizes(4096, 2048)
        {
            FillRing = 64, CompletionRing = 64, ReceiveRing = 32, SendRing = 32,
        });
        List<TestStack> stacks = [];
        for (var i = 0; i < SteeringLimits.MaxSlots; i++)
            stacks.Add(new TestStack(broker.SocketPath));
        using var late = new TestStack(broker.SocketPath, mayFail: true);
        Assert.Equal(NicRefusal.NoSlot, late.Refusal);
        foreach (var stack in stacks)
            stack.Die();
        SteeringTests.Until(() => broker.Log.Split("buried").Length > SteeringLimits.MaxSlots);
        using var next = new TestStack(broker.SocketPath);
    }
}
