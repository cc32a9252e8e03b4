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

        /// <summary>The stack sleeps as of now.</summary>
        public void Sleep()
        {
            Interlocked.Increment(ref Stack.Link.Info->Sleepers);
            Stack.Link.Doze();
        }

        /// <summary>True if the stack's bell is rung, now or within the time.</summary>
        public bool IsRung(int milliseconds) => Poll(Stack.Link.Descriptor(0), milliseconds);

        /// <summary>True if a descriptor is readable, now or within the time.</summary>
        public static bool Poll(int fd, int milliseconds)
        {
            PollFd one = new() { Fd = fd, Events = Readable };
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
        Assert.True(((LinkFlags)link.Info->Flags).HasFlag(LinkFlags.Bell));
        bench.Send(10);
        Assert.NotNull(bench.Stack.Receive());
        Assert.False(bench.IsRung(50));
        bench.Sleep();
        Assert.False(link.IsReadable);
        Assert.False(bench.IsRung(50));
        var woken = false;
        var waiter = new Thread(() => woken = bench.IsRung(5000));
        waiter.Start();
        Thread.Sleep(50);
        bench.Send(10);
        waiter.Join();
        Assert.True(woken);
        Assert.True(link.IsReadable);
        Assert.NotNull(bench.Stack.Receive());
        // Who came for the frame has silenced it. It still counts as asleep: the next frame rings it again.
        Assert.False(bench.IsRung(0));
        bench.Send(10);
        Assert.True(bench.IsRung(1000));
        Assert.NotNull(bench.Stack.Receive());
        Interlocked.Decrement(ref link.Info->Sleepers);
        bench.Send(10);
        Assert.NotNull(bench.Stack.Receive());
        Assert.False(bench.IsRung(50));
    }

    /// <summary>However many frames come before somebody does, and of whatever size, they are there, and it is silent
    /// after.</summary>
    [Fact]
    public void A_bell_is_rung_once_for_many_frames()
    {
        using var bench = new Bench();
        bench.Sleep();
        for (byte i = 0; i < 100; i++)
            bench.Send(i % 2 == 0 ? 10 : 1400, i);
        Assert.True(bench.IsRung(1000));
        for (byte i = 0; i < 100; i++)
            Assert.Equal<byte?>(i, bench.Stack.Receive()?[42]);
        Assert.False(bench.IsRung(50));
    }

    /// <summary>Who takes what the kernel is given on the interface, by a rule for its ingress, takes the bell too.
    /// Then the ring wakes who sleeps, as it does without a bell.</summary>
    [Fact]
    public void A_bell_that_nobody_comes_for_is_replaced()
    {
        // BELL_PATIENCE of the program, by the kernel's clock.
        const int patience = 100;
        using var bench = new Bench();
        var link = bench.Stack.Link;
        bench.Sleep();
        using var ring = new Edges(link.SpareDescriptor);
        Assert.False(ring.Wait(50));
        var clock = System.Diagnostics.Stopwatch.StartNew();
        bench.Send(10, 1);
        Assert.True(bench.IsRung(1000));
        bench.Send(10, 2);
        var early = ring.Wait(0);
        // On a busy machine that was late enough already.
        Assert.False(early && clock.ElapsedMilliseconds < patience);
        if (!early)
            Thread.Sleep(patience + 50);
        bench.Send(10, 3);
        Assert.True(early || ring.Wait(1000));
        for (byte i = 1; i <= 3; i++)
            Assert.Equal<byte?>(i, bench.Stack.Receive()?[42]);
        // What the interrupt left there is no frame, and nothing that anybody would have to take.
        while (link.IsReadable)
            Assert.Null(bench.Stack.Receive(10));
        Assert.Equal(link.Info->RingRead, link.Info->RingDone);
        Assert.False(ring.Wait(50));
        bench.Send(10, 4);
        Assert.True(ring.Wait(1000));
        Assert.False(bench.IsRung(0));
        Assert.Equal<byte?>(4, bench.Stack.Receive()?[42]);
    }

    /// <summary>The bell of one stack is not another's, and whoever holds it hears nothing else over it.</summary>
    [Fact]
    public void A_bell_is_for_one_stack()
    {
        const int packets = 17, everything = 0x0300;
        using var bench = new Bench();
        using var other = new TestStack(bench.Daemon.SocketPath);
        Assert.NotEqual(bench.Stack.Link.Info->Slot, other.Link.Info->Slot);
        Interlocked.Increment(ref other.Link.Info->Sleepers);
        other.Link.Doze();
        bench.Sleep();
        bench.Send(10);
        Assert.True(bench.IsRung(1000));
        Assert.False(Bench.Poll(other.Link.Descriptor(0), 50));
        var address = stackalloc int[5];
        (address[0], address[1]) = (packets | everything << 16, other.Link.Info->InterfaceIndex);
        Assert.Equal(0, Bind(other.Link.Descriptor(0), address, 20));
        Assert.NotNull(bench.Stack.Receive());
        bench.Send(10);
        Assert.True(bench.IsRung(1000));
        Assert.False(Bench.Poll(other.Link.Descriptor(0), 50));
    }

    [DllImport("libc", EntryPoint = "bind")]
    private static extern int Bind(int fd, void* address, uint bytes);

    /// <summary>Each wake-up by a descriptor, whether it is readable at the moment or not (EPOLLET).</summary>
    sealed class Edges : IDisposable
    {
        const uint EdgeTriggered = 1u << 31;
        readonly int _set = Create(0);

        public Edges(int fd)
        {
            var wanted = stackalloc uint[3] { Readable | EdgeTriggered, 0, 0 };
            Assert.Equal(0, Control(_set, 1, fd, wanted));
        }

        public bool Wait(int milliseconds)
        {
            var events = stackalloc uint[3];
            return Wait(_set, events, 1, milliseconds) == 1;
        }

        [DllImport("libc", EntryPoint = "epoll_create1")]
        private static extern int Create(int flags);

        [DllImport("libc", EntryPoint = "epoll_ctl")]
        private static extern int Control(int set, int what, int fd, void* wanted);

        [DllImport("libc", EntryPoint = "epoll_wait")]
        private static extern int Wait(int set, void* events, int most, int milliseconds);

        [DllImport("libc", EntryPoint = "close")]
        private static extern int Close(int fd);

        public void Dispose() => Close(_set);
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
