using Accel.Core.Nic;
using Accel.Wire;

namespace Accel.Core.Tests.Nic;

/// <summary>What frames must not be able to do, whatever is in them.</summary>
public class NicHostileTests
{
    /// <summary>Every kind of frame of a connection's life, changed at random: counted, dropped, alive.</summary>
    [Theory]
    [InlineData(1, false)]
    [InlineData(2, true)]
    [InlineData(3, true)]
    public void Changed_frames_cost_a_connection_at_most(ulong seed, bool mend)
    {
        var random = new Prng(Prng.Seed(seed));
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        var seen = new List<byte[]>();
        net.Client.Link.Hook = f =>
        {
            seen.Add(f);
            return f;
        };
        var (c, s) = net.Connect(listener);
        net.Client.Write(c, new byte[10_000]);
        net.Pass(TestNetwork.Second);
        net.Server.Read(s);
        for (var i = 0; i < 20_000; i++)
        {
            var frame = (byte[])seen[random.Below(seen.Count)].Clone();
            for (var n = random.Below(8); n > 0; n--)
                frame[random.OneIn(2) ? random.Below(Math.Min(frame.Length, 74)) : random.Below(frame.Length)] =
                    (byte)random.Next();
            if (random.OneIn(5))
                frame = frame[..random.Below(frame.Length + 1)];
            if (mend)
                Frames.Mend(frame);
            net.Server.Link.Inject(frame);
            if (i % 50 == 0)
            {
                net.Server.Link.PieceBytes = 20 + random.Below(2000);
                net.Server.Turn(net.Now += TestNetwork.Ms);
                net.Server.Link.Flush();
            }
        }
        while (net.Client.Link.IsReadable || net.Server.Link.IsReadable)
            net.Settle();
        Assert.Equal(0, net.Server.Link.Held);
        // The process is alive: others connect and talk.
        net.Server.Link.PieceBytes = 65536;
        while (net.Server.Accept(listener) is >= 0 and var other)
            net.Server.Close(other);
        net.Settle();
        var (c2, s2) = net.Connect(listener, from: 50_000);
        net.Client.Write(c2, "still here"u8);
        net.Pass(TestNetwork.Second);
        Assert.Equal("still here"u8.ToArray(), net.Server.Read(s2));
    }

    [Fact]
    public void Noise_is_counted_and_forgotten()
    {
        var random = new Prng(Prng.Seed(4));
        using var net = new TestNetwork();
        net.Server.Listen(80);
        for (var i = 0; i < 20_000; i++)
        {
            var frame = new byte[random.Below(200)];
            for (var b = 0; b < frame.Length; b++)
                frame[b] = (byte)random.Next();
            if (frame.Length > 14)
            {
                MemoryLink.Mac(2).WriteTo(frame);
                frame[12] = (byte)(random.OneIn(2) ? 8 : 0x86);
                frame[13] = (byte)(frame[12] == 8 ? 0 : 0xDD);
                frame[14] = (byte)(frame[12] == 8 ? 0x45 : 0x60);
            }
            net.Server.Link.Inject(frame);
        }
        net.Settle();
        Assert.Equal(20_000, net.Server.Count(NicCounter.RxFrames));
        Assert.Equal(0, net.Server.BlocksInUse);
        Assert.Equal(0, net.Server.Link.Held);
    }

    [Fact]
    public void A_wrong_checksum_is_refused_and_one_left_to_a_device_only_where_that_can_be()
    {
        using var net = new TestNetwork();
        net.Server.Listen(80);
        var good = Syn(net, 1000);
        var bad = Syn(net, 1001);
        bad[^1] ^= 1;
        var partial = Syn(net, 1002);
        Assert.True(Ipv4View.TryParse(partial.AsSpan(14), out var ip));
        TcpHeader.SetChecksum(partial.AsSpan(34), Checksum.Partial(ip.PseudoSum));
        foreach (var frame in new[] { good, bad, partial })
            net.Server.Link.Inject(frame);
        net.Settle();
        Assert.Equal(1, net.Server.BlocksInUse);
        Assert.Equal(2, net.Server.Count(NicCounter.RxBadChecksum));
        unsafe
        {
            net.Server.Link.Info->Flags |= (uint)LinkFlags.TrustsPartialChecksums;
        }
        net.Server.Link.Inject(partial);
        net.Server.Link.Inject(bad);
        net.Settle();
        Assert.Equal(2, net.Server.BlocksInUse);
        Assert.Equal(1, net.Server.Count(NicCounter.RxPartialChecksum));
        Assert.Equal(3, net.Server.Count(NicCounter.RxBadChecksum));
    }

    static byte[] Syn(TestNetwork net, ushort port) => Frames.Tcp(
        net.Server.Name(80), net.Client.Name(port), new TcpHeader { Flags = TcpFlags.Syn, Window = 1000 }, []);

    [Fact]
    public void Fragments_strange_addresses_and_frames_for_others_are_left_alone()
    {
        using var net = new TestNetwork();
        net.Server.Listen(80);
        var fragment = Syn(net, 1000);
        fragment[20] = 0x20;
        Frames.Mend(fragment);
        var forOther = Syn(net, 1001);
        forOther[5] ^= 1;
        var broadcast = Syn(net, 1002);
        MacAddress.Broadcast.WriteTo(broadcast);
        var from = net.Client.Name(1003);
        from.AddressLow = 0x0100007F;
        var martian = Frames.Tcp(net.Server.Name(80), from, new TcpHeader { Flags = TcpFlags.Syn }, []);
        foreach (var frame in new[] { fragment, forOther, broadcast, martian })
            net.Server.Link.Inject(frame);
        net.Settle();
        Assert.Equal(0, net.Server.BlocksInUse);
        Assert.Equal(1, net.Server.Count(NicCounter.RxFragments));
        Assert.Equal(2, net.Server.Count(NicCounter.RxNotOurs));
        Assert.Equal(1, net.Server.Count(NicCounter.RxMartian));
        Assert.Equal(0, net.Server.Count(NicCounter.TxFrames));
    }

    [Fact]
    public void A_tag_is_answered_with_the_same_tag()
    {
        using var net = new TestNetwork();
        net.Server.Listen(80);
        net.Server.Link.KeepSent = true;
        var plain = Syn(net, 1000);
        var tagged = new byte[plain.Length + 4];
        plain.AsSpan(0, 12).CopyTo(tagged);
        plain.AsSpan(12).CopyTo(tagged.AsSpan(16));
        (tagged[12], tagged[13], tagged[14], tagged[15]) = (0x81, 0, 0x60, 0x2A);
        net.Server.Link.Inject(tagged);
        net.Server.Turn(net.Now);
        var answer = Assert.Single(net.Server.Link.Sent);
        Assert.True(EthernetView.TryParse(answer, out var ethernet));
        Assert.Equal(EtherType.Vlan, ethernet.EtherType);
        Assert.True(VlanView.TryParse(ethernet.Payload, out var vlan));
        Assert.Equal((0x2A, 3), (vlan.Id, vlan.Priority));
        Assert.Equal(MemoryLink.Mac(99), ethernet.Destination);
    }

    [Fact]
    public unsafe void Nonsense_in_the_stream_ends_the_connection_and_nothing_else()
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        var (_, s) = net.Connect(listener);
        var (c2, s2) = net.Connect(listener, from: 40001);
        var random = new Prng(Prng.Seed(5));
        for (var i = 0; i < 200; i++)
        {
            var pipe = random.OneIn(2) ? net.Server.Out(s) : net.Server.In(s);
            var word = random.OneIn(2) ? random.Next() : (ulong)random.Below(1 << 20);
            ((ulong*)pipe)[random.Below(sizeof(Local.Pipe) / 8)] = word;
            net.Server.Engine.Kick(s);
            net.Pass(TestNetwork.Ms);
        }
        net.Client.Write(c2, "fine"u8);
        net.Pass(TestNetwork.Second);
        Assert.Equal("fine"u8.ToArray(), net.Server.Read(s2));
    }
}
