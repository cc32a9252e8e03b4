using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Wire;

namespace Accel.Core.Tests.Nic;

/// <summary>Connections over frames: from the SYN to the last block given back.</summary>
public class NicEngineTests
{
    static byte[] Pattern(int length, int from = 0) =>
        [.. Enumerable.Range(from, length).Select(i => (byte)(i * 7 + i / 251))];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Bytes_go_both_ways_and_everything_is_given_back(bool v6)
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80, v6: v6);
        var (c, s) = net.Connect(listener, v6: v6);
        Assert.Equal([0], net.Server.ListenersTold);
        Assert.Equal(NicPhase.Established, net.Server.Phase(s));
        net.Client.Write(c, "GET /"u8);
        net.Settle();
        Assert.Equal("GET /"u8.ToArray(), net.Server.Read(s));
        net.Server.Write(s, "200"u8);
        net.Settle();
        Assert.Equal("200"u8.ToArray(), net.Client.Read(c));
        net.Server.Close(s);
        net.Settle();
        Assert.True(net.Client.AtEnd(c));
        net.Client.Close(c);
        net.Settle();
        Assert.Equal(0, net.Client.ConnsInUse);
        Assert.Equal(0, net.Server.ConnsInUse);
        Assert.Equal(0, net.Client.BuffersInUse + net.Server.BuffersInUse);
        Assert.Equal(0, net.Client.BlocksInUse);
        Assert.Equal(1, net.Server.BlocksInUse);
        net.Pass(61 * TestNetwork.Second);
        Assert.Equal(0, net.Server.BlocksInUse);
        Assert.Equal(0, net.Client.RecordsInUse + net.Server.RecordsInUse);
        Assert.Equal(0, net.Client.Link.Held + net.Server.Link.Held);
        Assert.Equal(long.MaxValue, net.Server.Engine.NextDeadline);
    }

    /// <summary>RFC 5681 4.2. Or a peer in recovery that misses the one answer has only its timeout.</summary>
    [Fact]
    public void What_fills_a_gap_is_answered_before_what_follows_in_the_same_batch()
    {
        const int mss = 1448;
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        var (c, _) = net.Connect(listener);
        var frames = new List<byte[]>();
        net.Client.Link.Hook = f =>
        {
            frames.Add(f);
            return null;
        };
        net.Client.Write(c, new byte[8 * mss]);
        net.Client.Turn(net.Now);
        Assert.Equal(8, frames.Count);
        frames[1..6].ForEach(net.Server.Link.Inject);
        net.Server.Turn(net.Now);
        net.Server.Link.KeepSent = true;
        List<byte[]> last = [frames[0], .. frames[6..]];
        last.ForEach(net.Server.Link.Inject);
        net.Server.Turn(net.Now);
        var acks = net.Server.Link.Sent.Select(f =>
        {
            Assert.True(Ipv4View.TryParse(f.AsSpan(14), out var ip));
            Assert.True(TcpView.TryParse(ip.Payload, out var tcp));
            return tcp.Ack;
        }).ToList();
        Assert.Equal(2, acks.Count);
        Assert.Equal(2 * mss, acks[1] - acks[0]);
    }

    [Theory]
    [InlineData(false, false, 65536)]
    [InlineData(true, false, 65536)]
    [InlineData(true, false, 2048)]
    [InlineData(true, true, 4096)]
    public void A_megabyte_arrives_as_it_was_sent(bool super, bool v6, int pieces)
    {
        using var net = new TestNetwork();
        foreach (var host in new[] { net.Client, net.Server })
        {
            host.Link.PieceBytes = pieces;
            if (super)
                SetFlags(host, LinkFlags.SuperFrames | LinkFlags.TrustsPartialChecksums);
        }
        var listener = net.Server.Listen(80, v6: v6);
        var (c, s) = net.Connect(listener, v6: v6);
        Transfer(net, c, s, 1 << 20);
        Assert.Equal(0, net.Server.Count(NicCounter.RxBadChecksum));
        if (super)
            Assert.True(net.Client.Count(NicCounter.TxSuperFrames) > 0);
        Assert.True(net.Server.Count(NicCounter.ReceiveGrowths) > 0);
    }

    /// <summary>What is kept beyond a gap stays where it is, though the reader has all that is before it.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_megabyte_arrives_as_it_was_sent_though_every_tenth_frame_is_lost(ulong seed)
    {
        using var net = new TestNetwork(seed);
        var (c, s) = net.Connect(net.Server.Listen(80));
        var random = new Prng(seed);
        net.Client.Link.Hook = f => random.OneIn(10) ? null : f;
        Transfer(net, c, s, 1 << 20, 600 * TestNetwork.Second);
    }

    static void SetFlags(TestHost host, LinkFlags flags)
    {
        unsafe
        {
            host.Link.Info->Flags |= (uint)flags;
            host.Link.Info->MaxSuperFrame = 65000;
        }
    }

    static void Transfer(TestNetwork net, int c, int s, int bytes, long limit = 60 * TestNetwork.Second)
    {
        var sent = Pattern(bytes);
        var got = new List<byte>();
        var done = 0;
        Assert.True(net.PassUntil(() =>
        {
            done += net.Client.Write(c, sent.AsSpan(done));
            got.AddRange(net.Server.Read(s));
            return got.Count == bytes;
        }, limit), $"{got.Count} of {bytes} bytes, {done} written");
        Assert.Equal(sent, got);
    }

    [Fact]
    public void Losses_are_made_up_for()
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        var (c, s) = net.Connect(listener);
        var random = new Prng(Prng.Seed(3));
        net.Client.Link.Hook = f => random.OneIn(20) ? null : f;
        net.Server.Link.Hook = f => random.OneIn(20) ? null : f;
        Transfer(net, c, s, 500_000, 600 * TestNetwork.Second);
    }

    [Fact]
    public void A_reader_who_does_not_read_stops_the_sender_and_lets_it_go_on()
    {
        using var net = new TestNetwork();
        var settings = new NicSettings { Flags = NicSettingFlags.ReceiveFixed };
        var listener = net.Server.Listen(80, limit: 40_000, settings: settings);
        var (c, s) = net.Connect(listener);
        var sent = Pattern(200_000);
        var done = 0;
        for (var i = 0; i < 2000; i++)
        {
            done += net.Client.Write(c, sent.AsSpan(done));
            net.Pass(TestNetwork.Ms);
        }
        unsafe
        {
            Assert.InRange(PipeOps.Readable(net.Server.In(s)), 10_000ul, 40_000ul);
        }
        var got = new List<byte>();
        Assert.True(net.PassUntil(() =>
        {
            got.AddRange(net.Server.Read(s, 5000));
            done += net.Client.Write(c, sent.AsSpan(done));
            return got.Count == sent.Length;
        }, 20 * TestNetwork.Second), $"{got.Count} bytes");
        Assert.Equal(sent, got);
    }

    [Fact]
    public void Nobody_listens()
    {
        using var net = new TestNetwork();
        var c = net.Client.Connect(net.Client.Name(40000), net.Server.Name(81), net.Now);
        Assert.Equal(NicPhase.Connecting, net.Client.Phase(c));
        net.Settle();
        Assert.Equal(NicPhase.Failed, net.Client.Phase(c));
        Assert.Equal(NicError.Refused, net.Client.Error(c));
        Assert.True(net.Client.Told(c) > 0);
        Assert.Equal(1, net.Server.Count(NicCounter.RxNoListener));
        Assert.Equal(0, net.Client.BlocksInUse);
        net.Client.Close(c);
        Assert.Equal(0, net.Client.ConnsInUse);
    }

    [Fact]
    public void Nobody_answers()
    {
        using var net = new TestNetwork();
        net.Client.Link.Hook = _ => null;
        var c = net.Client.Connect(net.Client.Name(40000), net.Server.Name(81), net.Now);
        net.Pass(200 * TestNetwork.Second);
        Assert.Equal(NicError.TimedOut, net.Client.Error(c));
        Assert.True(net.Client.WasReset(c));
        net.Client.Close(c);
        Assert.Equal(0, net.Client.ConnsInUse);
    }

    [Fact]
    public void The_same_name_twice_is_refused_and_the_connection_stays_the_callers()
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        net.Connect(listener);
        var second = net.Client.Connect(
            net.Client.Name(40000), net.Server.Name(80), net.Now, NicError.AddressInUse);
        Assert.Equal(NicPhase.None, net.Client.Phase(second));
        net.Client.Local.FreeConn(second);
        Assert.Equal(1, net.Client.ConnsInUse);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Abort_and_close_with_unread_data_reset_the_peer(bool abort)
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        var (c, s) = net.Connect(listener);
        net.Client.Write(c, "unread"u8);
        net.Settle();
        if (abort)
            net.Server.Read(s);
        net.Server.Close(s, abort);
        net.Settle();
        Assert.True(net.Client.WasReset(c));
        Assert.Equal(NicError.Reset, net.Client.Error(c));
        Assert.Equal(0, net.Server.ConnsInUse);
        Assert.Equal(0, net.Server.BlocksInUse);
        net.Client.Close(c);
        Assert.Equal(0, net.Client.ConnsInUse);
    }

    [Fact]
    public void Half_closed_the_other_direction_goes_on()
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        var (c, s) = net.Connect(listener);
        net.Client.ShutdownWrite(c);
        net.Settle();
        Assert.True(net.Server.AtEnd(s));
        net.Server.Write(s, Pattern(50_000));
        var got = new List<byte>();
        Assert.True(net.PassUntil(() =>
        {
            got.AddRange(net.Client.Read(c));
            return got.Count == 50_000;
        }, TestNetwork.Second));
        net.Server.Close(s);
        net.Settle();
        Assert.True(net.Client.AtEnd(c));
        // TIME-WAIT has no streams: the client's remain until it closes.
        Assert.Equal(NicPhase.Closed, net.Client.Phase(c));
        net.Client.Close(c);
        Assert.Equal(0, net.Client.ConnsInUse + net.Server.ConnsInUse);
    }

    [Fact]
    public unsafe void An_urgent_byte_is_marked_where_it_lies()
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        var (c, s) = net.Connect(listener);
        net.Client.Write(c, "abc!"u8, urgent: true);
        net.Client.Write(c, "def"u8);
        net.Settle();
        Assert.Equal(4ul, net.Server.In(s)->Urgent);
        Assert.Equal("abc"u8.ToArray(), net.Server.Read(s));
        Assert.Equal(4ul, PipeOps.Readable(net.Server.In(s)));
    }

    [Fact]
    public void Another_process_of_the_family_goes_on_where_the_first_stopped()
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        var (c, s) = net.Connect(listener);
        net.Client.Write(c, Pattern(3000));
        net.Client.Turn(net.Now);
        net.Server.Engine = net.Server.NewEngine();
        net.Client.Engine = net.Client.NewEngine();
        net.Settle();
        Assert.Equal(Pattern(3000), net.Server.Read(s));
        net.Server.Close(s);
        net.Client.Engine = net.Client.NewEngine();
        net.Settle();
        Assert.True(net.Client.AtEnd(c));
    }

    [Fact]
    public void Drained_is_when_all_was_acknowledged()
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        var (c, s) = net.Connect(listener);
        Assert.True(net.Client.Engine.IsDrained);
        net.Client.Write(c, Pattern(100));
        Assert.False(net.Client.Engine.IsDrained);
        net.Client.Turn(net.Now);
        Assert.False(net.Client.Engine.IsDrained);
        net.Pass(TestNetwork.Second);
        Assert.True(net.Client.Engine.IsDrained);
        net.Client.Close(c);
        Assert.False(net.Client.Engine.IsDrained);
        net.Pass(TestNetwork.Second);
        Assert.True(net.Client.Engine.IsDrained);
        Assert.True(net.Server.AtEnd(s) || net.Server.Read(s).Length == 100);
    }

    [Fact]
    public void Who_closed_first_and_has_nothing_to_say_keeps_no_rings()
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        var (c, s) = net.Connect(listener);
        net.Server.Write(s, "bye"u8);
        net.Server.Close(s);
        net.Pass(TestNetwork.Second);
        // FIN-WAIT-2: the client has not closed.
        Assert.Equal(0, net.Server.ConnsInUse);
        Assert.Equal(1, net.Server.BlocksInUse);
        Assert.Equal("bye"u8.ToArray(), net.Client.Read(c));
        net.Client.Close(c);
        net.Settle();
        Assert.Equal(0, net.Client.BlocksInUse);
        net.Pass(61 * TestNetwork.Second);
        Assert.Equal(0, net.Server.BlocksInUse);
    }

    [Fact]
    public void Options_reach_the_wire_and_the_information_of_a_connection()
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        var (c, s) = net.Connect(listener);
        net.Client.Link.KeepSent = true;
        var settings = new NicSettings { Ttl = 7, Tos = 0x10, Flags = NicSettingFlags.Cork };
        net.Client.Locked(net.Now, e => Assert.True(e.Configure(c, settings, net.Now)));
        net.Client.Write(c, "held"u8);
        net.Client.Turn(net.Now);
        Assert.Empty(net.Client.Link.Sent);
        settings.Flags = NicSettingFlags.NoDelay;
        net.Client.Locked(net.Now, e => e.Configure(c, settings, net.Now));
        net.Client.Turn(net.Now);
        var frame = Assert.Single(net.Client.Link.Sent);
        Assert.Equal((7, 0x10), (frame[22], frame[15] & ~3));
        net.Settle();
        Assert.Equal("held"u8.ToArray(), net.Server.Read(s));
        net.Client.Locked(net.Now, e =>
        {
            Assert.True(e.TryReadInfo(c, net.Now, out var info));
            Assert.Equal((1, 4ul), (info.State, info.BytesSent));
            Assert.False(e.TryReadInfo(c + 1, net.Now, out _));
            Assert.False(e.Configure(c + 1, settings, net.Now));
        });
    }

    [Fact]
    public void Abort_of_all_resets_all()
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        var pairs = Enumerable.Range(0, 5).Select(i => net.Connect(listener, from: (ushort)(40000 + i))).ToList();
        net.Server.Locked(net.Now, e => e.AbortAll(net.Now));
        net.Settle();
        Assert.All(pairs, p => Assert.True(net.Client.WasReset(p.Client)));
        Assert.All(pairs, p => Assert.True(net.Server.WasReset(p.Server)));
        Assert.Equal(0, net.Server.BlocksInUse + net.Client.BlocksInUse);
    }

    [Fact]
    public void Small_exchanges_allocate_nothing()
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        var (c, s) = net.Connect(listener);
        // The link of the test allocates; what the engine does without frames must not.
        net.Settle();
        net.Server.Turn(net.Now);
        using (new NoAllocation())
        {
            for (var i = 0; i < 100; i++)
            {
                net.Server.Engine.Kick(s);
                if (net.Server.Engine.TryEnter(100))
                    net.Server.Engine.Exit(100, net.Now);
                net.Server.Turn(net.Now + i);
            }
        }
        Assert.Equal(NicPhase.Established, net.Client.Phase(c));
    }
}
