using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Accel.Control.Bpf;
using Accel.Core.Nic;

namespace Accel.Control.Tests;

/// <summary>Ring mode: a tc program copies a stack's frames into its ring.</summary>
public unsafe class RingTests
{
    const int Readable = 1;

    static Socket Datagrams(string space, string address) => NetworkPair.In(space, () =>
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        socket.Bind(new IPEndPoint(IPAddress.Parse(address), 0));
        return socket;
    });

    /// <summary>struct pollfd</summary>
    struct PollFd
    {
        public int Fd;
        public short Events;
        public short Ready;
    }

    sealed class Bench : IDisposable
    {
        public NetworkPair Pair { get; } = new();

        public TestDaemon Daemon { get; }

        public TestStack Stack { get; }

        public Socket Near { get; }

        public Socket Far { get; }

        public Bench(params string[] options)
        {
            Daemon = new TestDaemon(Pair, ["--mode", "ring", .. options]);
            Stack = new TestStack(Daemon.SocketPath);
            Near = Datagrams(Pair.Near, NetworkPair.NearAddress);
            Far = Datagrams(Pair.Far, NetworkPair.FarAddress);
            Assert.Equal(NicRefusal.None, Stack.Steer(Near));
        }

        public void Send(int bytes, byte fill = 7) =>
            Far.SendTo([.. Enumerable.Repeat(fill, bytes)], Near.LocalEndPoint!);

        /// <summary>True if the ring's descriptor is readable, now or within the time.</summary>
        public bool Poll(int milliseconds)
        {
            PollFd one = new() { Fd = Stack.Link.Descriptor(0), Events = Readable };
            return PollThem(&one, 1, milliseconds) == 1;
        }

        [DllImport("libc", EntryPoint = "poll")]
        private static extern int PollThem(PollFd* fds, nuint count, int milliseconds);

        public void Dispose()
        {
            Near.Dispose();
            Far.Dispose();
            Stack.Dispose();
            Daemon.Dispose();
            Pair.Dispose();
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(70)]
    [InlineData(71)]
    [InlineData(454)]
    [InlineData(455)]
    [InlineData(1472)]
    public void A_frame_of_any_size_comes_whole(int bytes)
    {
        using var bench = new Bench();
        bench.Send(bytes, 9);
        var frame = bench.Stack.Receive();
        Assert.NotNull(frame);
        Assert.Equal(14 + 20 + 8 + bytes, frame.Length);
        Assert.All(frame[42..], b => Assert.Equal(9, b));
        Assert.Equal((1ul, (ulong)frame.Length), (bench.Stack.Link.Info->RxFrames, bench.Stack.Link.Info->RxBytes));
    }

    /// <summary>Frames that find no room are lost and counted; the rest is in order, and what comes later comes.
    /// </summary>
    [Fact]
    public void A_full_ring_loses_frames_and_says_how_many()
    {
        const int sent = 4000;
        using var bench = new Bench();
        for (var i = 0; i < sent; i++)
            bench.Send(1400, (byte)i);
        var got = new List<byte>();
        while (bench.Stack.Receive(200) is { } frame)
            got.Add(frame[42]);
        Assert.InRange(got.Count, 1000, sent - 1);
        Assert.Equal(Enumerable.Range(0, got.Count).Select(i => (byte)i), got);
        bench.Send(1400, 77);
        Assert.Equal<byte?>(77, bench.Stack.Receive()?[42]);
        Assert.Equal((ulong)(sent - got.Count), bench.Stack.Link.Info->RxRingFull);
    }

    /// <summary>Who sleeps is woken by the next frame; while nobody does nobody is, which the sender would pay for.
    /// </summary>
    [Fact]
    public void Only_who_sleeps_is_woken()
    {
        using var bench = new Bench();
        var link = bench.Stack.Link;
        bench.Send(10);
        Assert.NotNull(bench.Stack.Receive());
        // Nobody sleeps: the ring is never said to be empty, which is what a wake-up depends on.
        Assert.True(bench.Poll(0));
        Interlocked.Increment(ref link.Info->Sleepers);
        link.Doze();
        Assert.False(link.IsReadable);
        Assert.False(bench.Poll(50));
        var woken = false;
        var waiter = new Thread(() => woken = bench.Poll(5000));
        waiter.Start();
        Thread.Sleep(50);
        bench.Send(10);
        waiter.Join();
        Assert.True(woken);
        Assert.True(link.IsReadable);
        Assert.NotNull(bench.Stack.Receive());
        // It still counts as asleep: what was taken is said to be.
        Assert.False(bench.Poll(0));
        Interlocked.Decrement(ref link.Info->Sleepers);
        bench.Send(10);
        Assert.NotNull(bench.Stack.Receive());
        Assert.True(bench.Poll(0));
    }

    /// <summary>What a process had in hand when it was killed is not waited for.</summary>
    [Fact]
    public void The_ring_goes_on_after_who_died_with_frames_in_hand()
    {
        using var bench = new Bench();
        var link = bench.Stack.Link;
        bench.Send(10, 1);
        var frames = stackalloc FrameRef[4];
        while (link.Receive(frames, 4) == 0)
            Thread.Yield();
        link.Recover();
        Assert.Equal(link.Info->RingRead, link.Info->RingDone);
        bench.Send(10, 2);
        Assert.Equal<byte?>(2, bench.Stack.Receive()?[42]);
    }

    /// <summary>tc comes after XDP, so another's XDP program is no obstacle; nor is ours to the next acceld.</summary>
    [Fact]
    public void Another_xdp_program_may_be_there()
    {
        using var pair = new NetworkPair();
        using var other = SteeringProgram.Load(new Dictionary<string, BpfMap>());
        NetworkPair.In(pair.Near, () =>
        {
            var index = Links.NetInterface.List().Single(d => d.Name == NetworkPair.NearDevice).Index;
            // Under a name of its own it would be another's; without a configuration it passes everything on.
            Assert.Null(Attachment.Attach(index, other, AttachMode.Generic));
            return 0;
        });
        using var daemon = new TestDaemon(pair, "--mode", "ring");
        using var stack = new TestStack(daemon.SocketPath);
        Assert.True(((LinkFlags)stack.Link.Info->Flags).HasFlag(LinkFlags.Ring));
    }
}
