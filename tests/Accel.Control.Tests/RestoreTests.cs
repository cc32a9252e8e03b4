using System.Net;
using System.Net.Sockets;
using System.Text;
using Accel.Control.Native;
using Accel.Core.Handover;
using Accel.Core.Nic;

namespace Accel.Control.Tests;

/// <summary>acceld makes a kernel socket of a stack's connection: of that stack's, and of nothing else.</summary>
public unsafe class RestoreTests
{
    /// <summary>Nobody's, so that nobody resets what is made here.</summary>
    const string Silent = "10.77.0.77";
    const ushort FarPort = 4711;
    static readonly byte[] Unread = Encoding.ASCII.GetBytes("not read yet");

    static Socket Holder(string space) => NetworkPair.In(space, () =>
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Parse(NetworkPair.NearAddress), 0));
        return socket;
    });

    static TcpImage Image(ImageFlags flags = ImageFlags.Timestamps | ImageFlags.Sack) => new()
    {
        SendSeq = 0xFFFF_FFF0,
        ReceiveSeq = 0x7FFF_FFF8,
        Unread = (uint)Unread.Length,
        SndWl1 = 0x7FFF_FFF8,
        SndWnd = 60_000,
        MaxWindow = 60_000,
        RcvWnd = 50_000,
        RcvWup = unchecked(0x7FFF_FFF8 + (uint)Unread.Length),
        PeerMss = 1460,
        SndWscale = 3,
        RcvWscale = 4,
        TsVal = 12345,
        Flags = flags,
    };

    static NicRefusal Restore(TestStack stack, int port, in TcpImage image, out int made)
    {
        fixed (byte* queues = Unread)
            return stack.Control.Restore(TestStack.Local(NetworkPair.NearAddress, port),
                TestStack.Local(Silent, FarPort), in image, queues, out made);
    }

    static int StateOf(int fd)
    {
        const int tcp = 6, info = 11;
        byte state = 0;
        uint length = 1;
        Assert.Equal(0, Libc.GetSockOpt(fd, tcp, info, &state, &length));
        return state;
    }

    [Theory]
    [InlineData(ImageFlags.Timestamps | ImageFlags.Sack, 1)]
    [InlineData(ImageFlags.None, 1)]
    [InlineData(ImageFlags.FinSent, 4)]
    [InlineData(ImageFlags.FinReceived, 8)]
    [InlineData(ImageFlags.FinReceived | ImageFlags.FinSent | ImageFlags.Timestamps, 11)]
    public void What_was_not_read_is_there_in_the_state_that_was(ImageFlags flags, int state)
    {
        using var pair = new NetworkPair();
        using var broker = new InnerBroker(pair);
        using var stack = new TestStack(broker.SocketPath);
        using var holder = Holder(pair.Near);
        int port = ((IPEndPoint)holder.LocalEndPoint!).Port;
        Assert.Equal(NicRefusal.None, stack.Steer(holder));
        Assert.Equal(NicRefusal.None, Restore(stack, port, Image(flags), out int made));
        try
        {
            Assert.Equal(state, StateOf(made));
            byte* bytes = stackalloc byte[100];
            Assert.Equal(Unread.Length, Libc.Receive(made, bytes, 100, Libc.DontWait));
            Assert.Equal(Unread, new ReadOnlySpan<byte>(bytes, Unread.Length).ToArray());
        }
        finally
        {
            Libc.Close(made);
        }
    }

    [Fact]
    public void Nobody_gets_a_connection_on_a_port_that_is_not_its_own()
    {
        using var pair = new NetworkPair();
        using var broker = new InnerBroker(pair);
        using var stack = new TestStack(broker.SocketPath);
        using var other = new TestStack(broker.SocketPath);
        using var holder = Holder(pair.Near);
        int port = ((IPEndPoint)holder.LocalEndPoint!).Port;
        Assert.Equal(NicRefusal.NotYourConnection, Restore(stack, port, Image(), out _));
        Assert.Equal(NicRefusal.None, stack.Steer(holder));
        Assert.Equal(NicRefusal.NotYourConnection, Restore(other, port, Image(), out int none));
        Assert.Equal(-1, none);
    }

    [Fact]
    public void One_name_is_one_connection()
    {
        using var pair = new NetworkPair();
        using var broker = new InnerBroker(pair);
        using var stack = new TestStack(broker.SocketPath);
        using var holder = Holder(pair.Near);
        int port = ((IPEndPoint)holder.LocalEndPoint!).Port;
        Assert.Equal(NicRefusal.None, stack.Steer(holder));
        Assert.Equal(NicRefusal.None, Restore(stack, port, Image(), out int made));
        Assert.Equal(NicRefusal.KernelRefused, Restore(stack, port, Image(), out _));
        Assert.Equal(1, StateOf(made));
        Libc.Close(made);
    }
}
