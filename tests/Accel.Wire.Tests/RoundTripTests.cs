using Accel.Core.Tests;

namespace Accel.Wire.Tests;

/// <summary>What is written reads as what was to be written: parse(emit(x)) == x.</summary>
public class RoundTripTests
{
    readonly Prng _random = new(Prng.Seed(21));

    ushort Word() => (ushort)_random.Next();

    uint Long() => (uint)_random.Next();

    /// <summary>All sets of options, with one to four SACK blocks.</summary>
    IEnumerable<TcpOptions> OptionSets()
    {
        for (var kinds = 0; kinds < 32; kinds++)
        {
            var present = (TcpOptionKinds)kinds;
            var withSack = (present & TcpOptionKinds.Sack) != 0;
            for (var blocks = withSack ? 1 : 0; blocks <= (withSack ? SackBlocks.Length : 0); blocks++)
                yield return Options(present, blocks);
        }
    }

    TcpOptions Options(TcpOptionKinds present, int blocks)
    {
        var options = new TcpOptions { Present = present, SackCount = (byte)blocks };
        if (options.Has(TcpOptionKinds.Mss))
            options.Mss = (ushort)(1 + _random.Below(65535));
        if (options.Has(TcpOptionKinds.WindowScale))
            options.WindowScale = (byte)_random.Below(15);
        if (options.Has(TcpOptionKinds.Timestamps))
            (options.TsVal, options.TsEcr) = (Long(), Long());
        for (var i = 0; i < blocks; i++)
            (options.Sacks[i].Left, options.Sacks[i].Right) = (new(Long()), new(Long()));
        return options;
    }

    [Fact]
    public void Tcp_with_all_flags_and_all_sets_of_options()
    {
        var buffer = new byte[100];
        foreach (var options in OptionSets())
        {
            for (var flags = 0; flags < 256; flags++)
            {
                var header = new TcpHeader
                {
                    SourcePort = Word(), DestinationPort = Word(), Seq = new(Long()), Ack = new(Long()),
                    Flags = (TcpFlags)flags, Window = Word(), Checksum = Word(), Urgent = Word(), Options = options,
                };
                buffer.AsSpan().Fill(0xEE);
                var length = header.WriteTo(buffer);
                Assert.Equal((header.Length, 0), (length, length % 4));
                Assert.InRange(length, TcpHeader.MinLength, TcpHeader.MaxLength);
                Assert.False(buffer.AsSpan(length).ContainsAnyExcept((byte)0xEE));
                Assert.True(TcpView.TryParse(buffer, out var view));
                Assert.Equal((header.SourcePort, header.DestinationPort, header.Seq, header.Ack, header.Flags),
                    (view.SourcePort, view.DestinationPort, view.Seq, view.Ack, view.Flags));
                Assert.Equal((header.Window, header.Checksum, header.Urgent, header.Length),
                    (view.Window, view.Checksum, view.Urgent, view.HeaderLength));
                Assert.Equal(100 - length, view.Payload.Length);
                Assert.True(TcpOptions.TryParse(view.OptionBytes, out var read));
                var expected = options;
                expected.SackCount = (byte)options.SacksThatFit;
                WireAssert.Same(expected, read);
            }
        }
    }

    [Theory]
    [InlineData(TcpOptionKinds.Sack, 4, 4)]
    [InlineData(TcpOptionKinds.Sack | TcpOptionKinds.Timestamps, 4, 3)]
    [InlineData(TcpOptionKinds.Sack | TcpOptionKinds.Timestamps | TcpOptionKinds.Mss, 4, 2)]
    [InlineData((TcpOptionKinds)31, 4, 2)]
    [InlineData(TcpOptionKinds.Sack, 9, 4)]
    [InlineData(TcpOptionKinds.Sack, 0, 0)]
    [InlineData(TcpOptionKinds.Timestamps, 3, 0)]
    public void Sack_blocks_are_left_out_from_the_end_until_the_rest_fits(TcpOptionKinds present, int blocks, int fit)
    {
        var options = Options(present, Math.Min(blocks, 4));
        options.SackCount = (byte)blocks;
        Assert.Equal(fit, options.SacksThatFit);
        var bytes = new byte[40];
        Assert.Equal(options.Length, options.WriteTo(bytes));
        Assert.True(TcpOptions.TryParse(bytes.AsSpan(0, options.Length), out var read));
        Assert.Equal(fit, read.SackCount);
        for (var i = 0; i < fit; i++)
            Assert.Equal(options.Sacks[i].Left.Value, read.Sacks[i].Left.Value);
    }

    [Fact]
    public void Ipv4_with_all_values_of_each_field()
    {
        var buffer = new byte[80];
        for (var round = 0; round < 65536; round++)
        {
            var header = new Ipv4Header
            {
                Tos = (byte)round, PayloadLength = round % 61, Identification = (ushort)round,
                DontFragment = (round & 1) != 0, MoreFragments = (round & 2) != 0,
                FragmentOffset = (round & 0x1FFF) * 8,
                Ttl = (byte)(round >> 3), Protocol = (IpProtocol)(round >> 8), Source = Long(), Destination = Long(),
            };
            Assert.Equal(Ipv4Header.Length, header.WriteTo(buffer));
            Assert.True(Ipv4View.TryParse(buffer, out var view) && view.HasRightChecksum);
            Assert.Equal((header.Tos, header.PayloadLength, header.PayloadLength, header.Identification),
                (view.Tos, view.PayloadLength, view.Payload.Length, view.Identification));
            Assert.Equal((header.DontFragment, header.MoreFragments, header.FragmentOffset),
                (view.DontFragment, view.MoreFragments, view.FragmentOffset));
            Assert.Equal((header.Ttl, header.Protocol, header.Source, header.Destination),
                (view.Ttl, view.Protocol, view.Source, view.Destination));
            Assert.Equal(view.MoreFragments || view.FragmentOffset != 0, view.IsFragment);
            buffer[_random.Below(20)] ^= (byte)(1 << _random.Below(8));
            Assert.False(Ipv4View.TryParseHead(buffer, out view) && view.HeaderLength == 20 && view.HasRightChecksum);
        }
    }

    /// <summary>A copy of one packet's header becomes what would have been written for another.</summary>
    [Fact]
    public void A_header_of_ip_made_that_of_another_packet()
    {
        byte[] made = new byte[40], written = new byte[40];
        for (var i = 0; i < 100_000; i++)
        {
            var v4 = new Ipv4Header
            {
                Tos = (byte)(Word() & 0xFC), DontFragment = i % 2 == 0, Ttl = (byte)Word(), Protocol = IpProtocol.Tcp,
                Source = Long(), Destination = Long(),
            };
            var v6 = new Ipv6Header
            {
                TrafficClass = (byte)(Word() & 0xFC), FlowLabel = Long() & 0xFFFFF, HopLimit = (byte)Word(),
                Source = new(Long(), Long()), Destination = new(Long(), Long()),
            };
            if (i % 5 == 0)
                (v4.Source, v4.Destination, v4.Tos, v4.Ttl) = (0, 0, 0, 0);
            var ecn = (byte)(i & 3);
            // The ends of the ranges, where carries are.
            int length = (i & 4) != 0 ? 65515 : _random.Below(65516);
            var number = (i & 8) != 0 ? (ushort)(0xFFFF - i % 50) : Word();
            v4.WriteTo(made);
            Ipv4Header.Adapt(made, Ipv4Header.ConstantSum(made), length, number, ecn);
            (v4.PayloadLength, v4.Identification, v4.Tos) = (length, number, (byte)(v4.Tos | ecn));
            v4.WriteTo(written);
            Assert.Equal(written[..20], made[..20]);
            v6.WriteTo(made);
            Ipv6Header.Adapt(made, length, ecn);
            (v6.PayloadLength, v6.TrafficClass) = (length, (byte)(v6.TrafficClass | ecn));
            v6.WriteTo(written);
            Assert.Equal(written, made);
        }
    }

    [Fact]
    public void Ipv6_with_all_values_of_each_field()
    {
        var buffer = new byte[100];
        for (var round = 0; round < 65536; round++)
        {
            var header = new Ipv6Header
            {
                TrafficClass = (byte)round, FlowLabel = (uint)(round * 17) & 0xFFFFF, PayloadLength = round % 61,
                NextHeader = (IpProtocol)(round >> 8), HopLimit = (byte)(round >> 4),
                Source = new(_random.Next(), _random.Next()), Destination = new(_random.Next(), _random.Next()),
            };
            Assert.Equal(Ipv6Header.Length, header.WriteTo(buffer));
            Assert.True(Ipv6View.TryParse(buffer, out var view));
            Assert.Equal((header.TrafficClass, header.FlowLabel, header.PayloadLength, header.PayloadLength),
                (view.TrafficClass, view.FlowLabel, view.PayloadLength, view.Payload.Length));
            Assert.Equal((header.NextHeader, header.HopLimit, header.TrafficClass & 3),
                (view.NextHeader, view.HopLimit, view.Ecn));
            Assert.Equal((header.Source, header.Destination),
                (Ipv6Address.Read(view.Source), Ipv6Address.Read(view.Destination)));
        }
    }

    [Fact]
    public void Udp_with_all_ports()
    {
        var buffer = new byte[60];
        for (var port = 0; port < 65536; port++)
        {
            var header = new UdpHeader
            {
                SourcePort = (ushort)port, DestinationPort = (ushort)~port, PayloadLength = port % 50,
                Checksum = Word(),
            };
            Assert.Equal(UdpHeader.Length, header.WriteTo(buffer));
            Assert.True(UdpView.TryParse(buffer, out var view));
            Assert.Equal((header.SourcePort, header.DestinationPort, header.PayloadLength + 8, header.Checksum),
                (view.SourcePort, view.DestinationPort, view.Length, view.Checksum));
            Assert.Equal(header.PayloadLength, view.Payload.Length);
        }
    }

    [Fact]
    public void Ethernet_and_all_vlan_tags()
    {
        var buffer = new byte[30];
        for (var tag = 0; tag < 65536; tag++)
        {
            var bytes = new[] { (byte)tag, (byte)(tag >> 8), (byte)1, (byte)2, (byte)3, (byte)_random.Next() };
            var header = new EthernetHeader
            {
                Destination = MacAddress.Read(bytes), Source = MacAddress.Read(bytes.Reverse().ToArray()),
                EtherType = (EtherType)tag,
            };
            var vlan = new VlanHeader
            {
                Priority = (byte)(tag >> 13), DropEligible = (tag & 0x1000) != 0, Id = (ushort)(tag & 0xFFF),
                EtherType = (EtherType)~tag,
            };
            Assert.Equal(14, header.WriteTo(buffer));
            Assert.Equal(4, vlan.WriteTo(buffer.AsSpan(14)));
            Assert.True(EthernetView.TryParse(buffer, out var view));
            Assert.Equal((header.Destination, header.Source, header.EtherType),
                (view.Destination, view.Source, view.EtherType));
            Assert.Equal(bytes, buffer[..6]);
            Assert.True(VlanView.TryParse(view.Payload, out var tagView));
            Assert.Equal((vlan.Priority, vlan.DropEligible, vlan.Id, (ushort)~tag),
                (tagView.Priority, tagView.DropEligible, tagView.Id, (ushort)tagView.EtherType));
            Assert.Equal(12, tagView.Payload.Length);
        }
    }

    [Fact]
    public void Nothing_is_written_where_there_is_no_room()
    {
        var tcp = new TcpHeader { Options = Options((TcpOptionKinds)31, 2) };
        for (var room = 0; room < 60; room++)
        {
            var to = new byte[room];
            Assert.Equal(room < 14 ? 0 : 14, new EthernetHeader { EtherType = EtherType.Ipv4 }.WriteTo(to));
            Assert.Equal(room < 4 ? 0 : 4, new VlanHeader { Id = 1 }.WriteTo(to));
            Assert.Equal(room < 20 ? 0 : 20, new Ipv4Header().WriteTo(to));
            Assert.Equal(room < 40 ? 0 : 40, new Ipv6Header().WriteTo(to));
            Assert.Equal(room < 8 ? 0 : 8, new UdpHeader().WriteTo(to));
            Assert.Equal(room < tcp.Length ? 0 : tcp.Length, tcp.WriteTo(to));
            Assert.Equal(room < tcp.Options.Length ? 0 : tcp.Options.Length, tcp.Options.WriteTo(to));
        }
    }

    [Fact]
    public void A_frame_of_the_kernel_is_written_byte_by_byte_the_same()
    {
        var frame = CorpusFile.Named("linux-tcp-syn.hex").Bytes;
        Assert.True(EthernetView.TryParse(frame, out var ethernet));
        Assert.True(Ipv4View.TryParse(ethernet.Payload, out var ip));
        Assert.True(TcpView.TryParse(ip.Payload, out var tcp));
        Assert.True(TcpOptions.TryParse(tcp.OptionBytes, out var options));
        var written = new byte[frame.Length];
        var at = new EthernetHeader
        {
            Destination = ethernet.Destination, Source = ethernet.Source, EtherType = ethernet.EtherType,
        }.WriteTo(written);
        at += new Ipv4Header
        {
            Tos = ip.Tos, PayloadLength = ip.PayloadLength, Identification = ip.Identification,
            DontFragment = ip.DontFragment, Ttl = ip.Ttl, Protocol = ip.Protocol, Source = ip.Source,
            Destination = ip.Destination,
        }.WriteTo(written.AsSpan(at));
        var segment = written.AsSpan(at);
        new TcpHeader
        {
            SourcePort = tcp.SourcePort, DestinationPort = tcp.DestinationPort, Seq = tcp.Seq, Ack = tcp.Ack,
            Flags = tcp.Flags, Window = tcp.Window, Urgent = tcp.Urgent, Options = options,
        }.WriteTo(segment);
        TcpHeader.SetChecksum(segment, Checksum.Fold(Checksum.Add(segment, ip.PseudoSum)));
        Assert.Equal(Convert.ToHexString(frame), Convert.ToHexString(written));
    }
}
