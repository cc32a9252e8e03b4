using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Tests.Nic;

/// <summary>
/// Handshakes that the program on the interfaces begins in the stack's name: the stack sees the last ACK only.
/// </summary>
public unsafe class NicAnswerTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_last_ACK_is_enough(bool v6)
    {
        using var net = new TestNetwork();
        var listener = Listen(net, v6);
        Answer(net);
        var (c, s) = net.Connect(listener, v6: v6);
        Assert.Equal(0, net.Server.Count(NicCounter.ListenSyns));
        Assert.Equal(1, net.Server.Count(NicCounter.ListenCookiesTaken));
        Talk(net, c, s);
    }

    [Fact]
    public void A_listener_that_gave_no_answer_takes_no_cookie()
    {
        using var net = new TestNetwork();
        net.Server.Listen(80);
        Answer(net);
        var c = net.Client.Connect(net.Client.Name(40000), net.Server.Name(80), net.Now);
        net.Settle();
        Assert.Equal(0, net.Server.Count(NicCounter.ListenCookiesTaken));
        Assert.True(net.Client.WasReset(c));
    }

    [Fact]
    public void What_it_answers_is_what_the_listener_is_set_to()
    {
        using var net = new TestNetwork();
        NicSettings settings = new() { Ttl = 33, Tos = 0x28, MaxSegment = 1200 };
        var listener = net.Server.Listen(80, limit: 5000, settings: settings);
        SynAnswer answer = default;
        net.Server.Locked(0, e => answer = e.AnswerOf(listener));
        Assert.True(answer.IsValid);
        Assert.Equal((33, 0x28, 1200, 5000), (answer.Ttl, answer.Tos, answer.MaxSegment, answer.Window));
        net.Server.Local.ListenerAt(listener)->Generation++;
        net.Server.Locked(0, e => Assert.True(e.Unlisten(listener)));
        net.Server.Locked(0, e => Assert.False(e.AnswerOf(listener).IsValid));
    }

    [Fact]
    public void Connections_whose_first_SYN_came_before_the_flood_go_on_with_the_other_SYN_ACK()
    {
        using var net = new TestNetwork();
        var listener = Listen(net);
        net.Server.Link.Hook = _ => null;
        var c = net.Client.Connect(net.Client.Name(40000), net.Server.Name(80), net.Now);
        net.Settle();
        Assert.Equal(1, net.Server.BlocksInUse);
        Answer(net);
        net.Server.Link.Hook = f => f;
        Assert.True(net.PassUntil(() => net.Client.Phase(c) == NicPhase.Established, 5 * TestNetwork.Second));
        Assert.Equal(1, net.Server.BlocksInUse);
        Talk(net, c, net.Server.Accept(listener));
    }

    [Fact]
    public void A_name_in_TIME_WAIT_is_used_again()
    {
        using var net = new TestNetwork();
        var listener = Listen(net);
        var (c, s) = net.Connect(listener);
        net.Server.Close(s);
        net.Settle();
        net.Client.Close(c);
        net.Settle();
        Assert.Equal((1, 0), (net.Server.BlocksInUse, net.Client.BlocksInUse));
        Answer(net);
        net.Pass(TestNetwork.Second);
        (c, s) = net.Connect(listener);
        Talk(net, c, s);
        Assert.Equal(1, net.Server.BlocksInUse);
    }

    [Fact]
    public void A_connection_that_the_peer_has_forgotten_ends_for_the_one_that_it_opens()
    {
        using var net = new TestNetwork();
        var listener = Listen(net);
        var (old, dead) = net.Connect(listener);
        Forget(net, old);
        Answer(net);
        var (c, s) = net.Connect(listener);
        Assert.True(net.Server.WasReset(dead));
        Talk(net, c, s);
    }

    [Theory]
    [InlineData(false, 0u)]
    [InlineData(true, 200_000u)]
    public void A_good_cookie_without_a_good_timestamp_ends_nothing(bool timestamps, uint age)
    {
        using var net = new TestNetwork();
        var listener = Listen(net);
        var (c, s) = net.Connect(listener);
        TcpCounters counters = default;
        var opening = Opening(net, 40000, false);
        TcpContext ctx = new(net.Now, default, ref net.Server.Region.Tables->Settings, ref counters);
        var answer = TcpOpen.CookieAnswer(new TcpSegment { Seq = new(5), Flags = TcpFlags.Syn }, opening, ctx);
        var offset = InitialSequence.TimestampOffset(opening.Flow, net.Server.Region.Tables->Settings);
        TcpHeader ack = new() { Flags = TcpFlags.Ack, Seq = new(6), Ack = answer.Seq + 1, Window = 1000 };
        if (timestamps)
            ack.Options = new TcpOptions
            {
                Present = TcpOptionKinds.Timestamps, TsVal = 1, TsEcr = ctx.NowMs / 64 * 64 - age + offset,
            };
        net.Server.Link.Inject(Frames.Tcp(net.Server.Name(80), net.Client.Name(40000), ack, []));
        net.Settle();
        Assert.False(net.Server.WasReset(s));
        Talk(net, c, s);
    }

    [Fact]
    public void Who_only_guesses_ends_nothing()
    {
        using var net = new TestNetwork();
        var listener = Listen(net);
        var (c, s) = net.Connect(listener);
        Prng random = new(Prng.Seed(7));
        for (var i = 0; i < 1000; i++)
        {
            var tcp = new TcpHeader
            {
                Flags = TcpFlags.Ack, Seq = new((uint)random.Next()), Ack = new((uint)random.Next()), Window = 1000,
            };
            net.Server.Link.Inject(Frames.Tcp(net.Server.Name(80), net.Client.Name(40000), tcp, []));
            net.Server.Turn(net.Now);
        }
        net.Settle();
        Talk(net, c, s);
    }

    static int Listen(TestNetwork net, bool v6 = false)
    {
        var listener = net.Server.Listen(80, v6: v6);
        net.Server.Locked(0, e => Assert.True(e.AnswerOf(listener).IsValid));
        return listener;
    }

    /// <summary>The client's connection is gone without a word.</summary>
    static void Forget(TestNetwork net, int conn)
    {
        net.Client.Link.Hook = _ => null;
        net.Client.Close(conn, abort: true);
        net.Settle();
        net.Client.Link.Hook = f => f;
        Assert.Equal((0, 1), (net.Client.BlocksInUse, net.Server.BlocksInUse));
    }

    static void Talk(TestNetwork net, int c, int s)
    {
        net.Client.Write(c, "hello"u8);
        net.Settle();
        Assert.Equal("hello"u8.ToArray(), net.Server.Read(s));
        net.Server.Write(s, "there"u8);
        net.Settle();
        Assert.Equal("there"u8.ToArray(), net.Client.Read(c));
    }

    static TcpOpening Opening(TestNetwork net, ushort from, bool v6)
    {
        Endpoint local = net.Server.Name(80, v6), remote = net.Client.Name(from, v6);
        return new TcpOpening
        {
            Mtu = 1500, ReceiveSpace = 16384,
            Flow = new TcpFlow
            {
                LocalLow = local.AddressLow, LocalHigh = local.AddressHigh, RemoteLow = remote.AddressLow,
                RemoteHigh = remote.AddressHigh, LocalPort = 80, RemotePort = from, IsV6 = v6,
            },
        };
    }

    /// <summary>From now on the client's SYNs are answered on their way.</summary>
    static void Answer(TestNetwork net) => net.Client.Link.Hook = frame =>
    {
        var v6 = frame[12] == 0x86;
        Assert.True(TcpView.TryParse(frame.AsSpan(v6 ? 54 : 34), out var tcp));
        if (tcp.Flags != TcpFlags.Syn)
            return frame;
        TcpOptions.TryParse(tcp.OptionBytes, out var options);
        TcpSegment syn = new() { Seq = tcp.Seq, Flags = tcp.Flags, Options = options };
        Endpoint local = net.Server.Name(80, v6), remote = net.Client.Name(tcp.SourcePort, v6);
        TcpCounters counters = default;
        var answer = TcpOpen.CookieAnswer(syn, Opening(net, tcp.SourcePort, v6),
            new TcpContext(net.Now, default, ref net.Server.Region.Tables->Settings, ref counters));
        net.Client.Link.Inject(Frames.Tcp(remote, local, new TcpHeader
        {
            Seq = answer.Seq, Ack = answer.Ack, Flags = answer.Flags, Window = answer.Window, Options = answer.Options,
        }, [], host: 1));
        return null;
    };
}
