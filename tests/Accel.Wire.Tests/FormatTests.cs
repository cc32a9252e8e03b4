using Accel.Core.Tests;

namespace Accel.Wire.Tests;

/// <summary>What parsers take and refuse, and what they make of it, where the RFCs leave room for mistakes.</summary>
public class FormatTests
{
    static byte[] Frame(string name) => CorpusFile.Named(name).Bytes;

    [Fact]
    public void A_list_of_options_reads_alike_in_any_order_and_with_strangers_between()
    {
        var random = new Prng(Prng.Seed(31));
        for (var round = 0; round < 50_000; round++)
        {
            var bytes = new List<byte>();
            var expected = new TcpOptions();
            while (bytes.Count < 40 && !random.OneIn(8))
                AddOption(bytes, ref expected, random);
            if (random.OneIn(3))
                bytes.AddRange(new byte[] { 0, 2, 4, 9, 9 });
            Assert.True(TcpOptions.TryParse(bytes.ToArray(), out var options));
            WireAssert.Same(expected, options);
        }
    }

    static void AddOption(List<byte> bytes, ref TcpOptions expected, Prng random)
    {
        byte[] b = [(byte)(1 + random.Below(255)), (byte)random.Next(), (byte)random.Next(), (byte)random.Next()];
        switch (random.Below(7))
        {
            case 0:
                bytes.AddRange([2, 4, b[0], b[1]]);
                expected.Present |= TcpOptionKinds.Mss;
                expected.Mss = (ushort)(b[0] << 8 | b[1]);
                break;
            case 1:
                bytes.AddRange([3, 3, b[0]]);
                expected.Present |= TcpOptionKinds.WindowScale;
                expected.WindowScale = Math.Min(b[0], (byte)14);
                break;
            case 2:
                bytes.AddRange([4, 2]);
                expected.Present |= TcpOptionKinds.SackPermitted;
                break;
            case 3:
                bytes.AddRange([8, 10, .. b, .. b.Reverse()]);
                expected.Present |= TcpOptionKinds.Timestamps;
                expected.TsVal = (uint)(b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3]);
                expected.TsEcr = (uint)(b[3] << 24 | b[2] << 16 | b[1] << 8 | b[0]);
                break;
            case 4:
                bytes.AddRange([5, 10, 0, 0, 1, b[0], 0, 0, 2, b[1]]);
                expected.Present |= TcpOptionKinds.Sack;
                expected.SackCount = 1;
                expected.Sacks[0] = new() { Left = new(0x100u + b[0]), Right = new(0x200u + b[1]) };
                break;
            case 5:
                bytes.Add(1);
                break;
            default:
                // Fast open, MD5, experiments, and what nobody has heard of; known kinds of a wrong size too.
                byte[][] strangers = [[34, 4, 9, 9], [19, 3, 9], [253, 2], [b[0] < 9 ? (byte)99 : b[0], 3, b[1]],
                    [2, 3, 9], [3, 2], [4, 3, 9], [8, 9, 9, 9, 9, 9, 9, 9, 9], [5, 4, 9, 9], [5, 2], [2, 4, 0, 0],
                    [2, 5, 9, 9, 9], [3, 4, 9, 9], [4, 4, 9, 9], [8, 11, .. new byte[9]],
                    [5, 11, .. new byte[9]]];
                bytes.AddRange(strangers[random.Below(strangers.Length)]);
                break;
        }
    }

    [Theory]
    [InlineData("tcp-option-length-0", TcpOptionKinds.None)]
    [InlineData("tcp-option-length-1", TcpOptionKinds.None)]
    [InlineData("tcp-option-kind-at-end", TcpOptionKinds.None)]
    [InlineData("tcp-option-beyond-header", TcpOptionKinds.None)]
    public void A_broken_list_is_said_to_be_broken(string name, TcpOptionKinds before)
    {
        Assert.True(Ipv4View.TryParse(Frame(name + ".hex").AsSpan(14), out var ip));
        Assert.True(TcpView.TryParse(ip.Payload, out var tcp));
        Assert.False(TcpOptions.TryParse(tcp.OptionBytes, out var options));
        Assert.Equal(before, options.Present);
    }

    [Fact]
    public void What_stood_before_the_break_is_kept()
    {
        byte[] bytes = [2, 4, 5, 0xB4, 4, 2, 8, 11, 0, 0, 0, 0];
        Assert.False(TcpOptions.TryParse(bytes, out var options));
        Assert.Equal(TcpOptionKinds.Mss | TcpOptionKinds.SackPermitted, options.Present);
        Assert.Equal(1460, options.Mss);
    }

    [Fact]
    public void The_short_way_for_timestamps_reads_what_the_long_way_reads()
    {
        byte[] aligned = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
        byte[] other = [8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1];
        Assert.True(TcpOptions.TryParse(aligned, out var quick));
        Assert.True(TcpOptions.TryParse(other, out var slow));
        WireAssert.Same(slow, quick);
        Assert.Equal((0x01020304u, 0x05060708u), (quick.TsVal, quick.TsEcr));
    }

    [Theory]
    [InlineData("ipv6-chain.hex", 44, IpProtocol.Tcp, false)]
    [InlineData("ipv6-chain-longest.hex", 64, IpProtocol.Tcp, false)]
    [InlineData("ipv6-atomic-fragment.hex", 8, IpProtocol.Tcp, false)]
    [InlineData("ipv6-no-next.hex", 0, IpProtocol.NoNext, false)]
    [InlineData("linux-tcp6-syn.hex", 0, IpProtocol.Tcp, false)]
    [InlineData("linux-mld.hex", 8, IpProtocol.Icmpv6, false)]
    [InlineData("linux-udp6-fragment-first.hex", 8, IpProtocol.Udp, true)]
    [InlineData("linux-udp6-fragment-last.hex", 8, IpProtocol.Udp, true)]
    public void The_upper_header_is_found(string name, int at, IpProtocol expected, bool isFragment)
    {
        Assert.True(Ipv6View.TryParse(Frame(name).AsSpan(14), out var ip));
        Assert.True(ip.TryFindUpper(out var protocol, out var offset, out var fragment));
        Assert.Equal((at, expected, isFragment), (offset, protocol, fragment));
    }

    [Theory]
    [InlineData("ipv6-chain-too-long.hex")]
    [InlineData("ipv6-hop-by-hop-late.hex")]
    [InlineData("ipv6-extension-beyond-end.hex")]
    [InlineData("ipv6-extension-cut.hex")]
    public void A_chain_that_makes_no_sense_is_refused(string name)
    {
        Assert.True(Ipv6View.TryParse(Frame(name).AsSpan(14), out var ip));
        Assert.False(ip.TryFindUpper(out _, out _, out _));
    }

    [Theory]
    [InlineData("ipv4-total-too-long.hex", 20, 1480)]
    [InlineData("ipv6-length-too-long.hex", 20, 1000)]
    public void A_packet_that_goes_on_elsewhere_is_a_head_and_not_a_packet(string name, int here, int sent)
    {
        var packet = Frame(name).AsSpan(14);
        Assert.False(Ipv4View.TryParse(packet, out _) || Ipv6View.TryParse(packet, out _));
        if (Ipv4View.TryParseHead(packet, out var v4))
            Assert.Equal((here, sent), (v4.Payload.Length, v4.PayloadLength));
        else if (Ipv6View.TryParseHead(packet, out var v6))
            Assert.Equal((here, sent), (v6.Payload.Length, v6.PayloadLength));
        else
            Assert.Fail("not even a head");
    }

    [Fact]
    public void Padding_of_a_short_frame_is_no_payload()
    {
        Assert.True(Ipv4View.TryParse(Frame("ipv4-padded.hex").AsSpan(14), out var ip));
        Assert.Equal(20, ip.Payload.Length);
        Assert.True(Ipv4View.TryParse(Frame("udp-no-checksum.hex").AsSpan(14), out ip));
        Assert.True(UdpView.TryParse(ip.Payload, out var udp));
        Assert.Equal("ab"u8, udp.Payload);
    }

    [Theory]
    [InlineData("linux-tcp-data.hex")]
    [InlineData("linux-tcp6-data.hex")]
    [InlineData("linux-udp.hex")]
    [InlineData("linux-udp6.hex")]
    [InlineData("linux-mld.hex")]
    public void Checksums_of_the_kernel_are_right_until_a_bit_flips(string name)
    {
        var packet = Frame(name)[14..];
        Assert.True(IsRight(packet));
        for (var at = packet.Length - 8; at < packet.Length; at++)
        {
            packet[at] ^= 0x10;
            Assert.False(IsRight(packet));
            packet[at] ^= 0x10;
        }
    }

    static bool IsRight(byte[] packet)
    {
        if (Ipv4View.TryParse(packet, out var v4))
            return v4.HasRightChecksum && Checksum.IsRight(Checksum.Add(v4.Payload, v4.PseudoSum));
        Assert.True(Ipv6View.TryParse(packet, out var v6));
        Assert.True(v6.TryFindUpper(out var protocol, out var offset, out _));
        var upper = v6.Payload[offset..];
        return Checksum.IsRight(Checksum.Add(upper, v6.PseudoSum(protocol, upper.Length)));
    }

    [Fact]
    public void An_icmp_error_names_the_connection_that_it_is_about()
    {
        Assert.True(Ipv4View.TryParse(Frame("icmp-need-frag.hex").AsSpan(14), out var ip));
        Assert.True(IcmpView.TryParse(ip.Payload, out var icmp) && icmp.HasRightChecksum);
        Assert.True(icmp.TryGetQuote(out var quote));
        Assert.Equal((1400, 1000, 80, 100u), (icmp.NextHopMtu, quote.SourcePort, quote.DestinationPort,
            quote.Seq.Value));
        Assert.Equal("10.0.0.1 10.0.0.2",
            $"{PacketText.Address(quote.Source)} {PacketText.Address(quote.Destination)}");
        Assert.True(Ipv6View.TryParse(Frame("icmp6-too-big.hex").AsSpan(14), out var v6));
        Assert.True(Icmpv6View.TryParse(v6.Payload, out var icmp6) && icmp6.TryGetQuote(out quote));
        Assert.Equal((1280u, 1000, 80, 100u), (icmp6.Mtu, quote.SourcePort, quote.DestinationPort, quote.Seq.Value));
        Assert.Equal("fd00::1 fd00::2", $"{PacketText.Address(quote.Source)} {PacketText.Address(quote.Destination)}");
    }

    [Theory]
    [InlineData("icmp-quote-short.hex")]
    [InlineData("icmp-quote-ipv6.hex")]
    [InlineData("icmp-echo.hex")]
    public void A_quote_that_says_too_little_is_none(string name)
    {
        Assert.True(Ipv4View.TryParse(Frame(name).AsSpan(14), out var ip));
        Assert.True(IcmpView.TryParse(ip.Payload, out var icmp));
        Assert.False(icmp.TryGetQuote(out _));
    }

    [Fact]
    public void A_later_fragment_that_is_quoted_has_no_ports()
    {
        var packet = Frame("linux-udp-fragment-last.hex").AsSpan(14);
        Assert.True(Ipv4View.TryParseHead(packet, out var ip) && ip.FragmentOffset == 1480);
        Assert.False(QuoteView.TryParse(packet, out _));
        Assert.False(QuoteView.TryParse(Frame("linux-udp6-fragment-last.hex").AsSpan(14), out _));
        Assert.True(QuoteView.TryParse(Frame("linux-udp-fragment-first.hex").AsSpan(14), out _));
    }

    [Theory]
    [InlineData("00000000000000000000000000000000", "::")]
    [InlineData("00000000000000000000000000000001", "::1")]
    [InlineData("fd000000000000000000000000000000", "fd00::")]
    [InlineData("20010db8000000000001000000000001", "2001:db8::1:0:0:1")]
    [InlineData("20010db8000000010001000100010001", "2001:db8:0:1:1:1:1:1")]
    [InlineData("00010002000300040005000600070008", "1:2:3:4:5:6:7:8")]
    [InlineData("00000002000300040005000600000000", "0:2:3:4:5:6::")]
    [InlineData("0a000001", "10.0.0.1")]
    public void Addresses_are_written_as_RFC_5952_wants_them(string digits, string text) =>
        Assert.Equal(text, PacketText.Address(Convert.FromHexString(digits)));

    [Fact]
    public void Addresses_of_stations_know_their_kind()
    {
        Assert.True(MacAddress.Broadcast is { IsBroadcast: true, IsGroup: true, IsZero: false });
        Assert.True(MacAddress.Read([0x33, 0x33, 0, 0, 0, 1]) is { IsBroadcast: false, IsGroup: true });
        Assert.True(MacAddress.Read([2, 0, 0, 0, 0, 1]) is { IsGroup: false, IsZero: false });
        Assert.True(MacAddress.Read([2, 0, 0, 0, 0]).IsZero);
        Assert.Equal("02:00:00:00:00:ff", MacAddress.Read([2, 0, 0, 0, 0, 255]).ToString());
    }

    [Fact]
    public void Sequence_numbers_wrap()
    {
        foreach (var start in new uint[] { 0, 1, 0x7FFFFFFF, 0x80000000, uint.MaxValue })
        {
            SeqNum a = new(start), b = a + 1, far = a + 0x7FFFFFFF;
            Assert.True(a < b && b > a && a <= b && b >= a && a != b && a < far && far > a);
            Assert.Equal((1, -1, 0x7FFFFFFF), (b - a, a - b, far - a));
            Assert.True(a.InWindow(a, 1) && !b.InWindow(a, 1) && !a.InWindow(b, 100) && !a.InWindow(a, 0));
            Assert.True(SeqNum.Later(a, b) == b && SeqNum.Earlier(a, b) == a && b - 1u == a);
        }
    }
}
