using System.Globalization;
using System.Text;

namespace Accel.Wire;

/// <summary>Frames in words, a line each, much like tcpdump's. For people: tests and tools.</summary>
[ColdPath]
public static class PacketText
{
    /// <summary>An Ethernet frame; a VLAN tag is named in front.</summary>
    public static string Frame(ReadOnlySpan<byte> frame)
    {
        if (!EthernetView.TryParse(frame, out var ethernet))
            return $"[short frame] length {frame.Length}";
        var text = new Line();
        var type = ethernet.EtherType;
        var payload = ethernet.Payload;
        // IEEE 802.1ad allows two tags.
        for (var tags = 0; tags < 2 && type is EtherType.Vlan or EtherType.ServiceVlan; tags++)
        {
            if (!VlanView.TryParse(payload, out var vlan))
                return $"{text}[short vlan tag] length {payload.Length}";
            text.Add($"vlan {vlan.Id}, ");
            type = vlan.EtherType;
            payload = vlan.Payload;
        }
        if (type is EtherType.Ipv4 or EtherType.Ipv6)
            AddIp(text, payload);
        else if (type == EtherType.Arp)
            AddArp(text, payload);
        else
            text.Add($"{ethernet.Source} > {ethernet.Destination}, ethertype 0x{(int)type:x4}, length {frame.Length}");
        return text.ToString();
    }

    /// <summary>An IPv4 or IPv6 packet.</summary>
    public static string Packet(ReadOnlySpan<byte> packet)
    {
        var text = new Line();
        AddIp(text, packet);
        return text.ToString();
    }

    /// <summary>Control bits as tcpdump writes them: S for SYN, a dot for ACK.</summary>
    public static string Flags(TcpFlags flags)
    {
        if (flags == TcpFlags.None)
            return "none";
        // tcpdump's order.
        const string letters = "FSRP.UEW";
        var text = new StringBuilder();
        for (var bit = 0; bit < letters.Length; bit++)
        {
            if (((int)flags >> bit & 1) != 0)
                text.Append(letters[bit]);
        }
        return text.ToString();
    }

    /// <summary>Options in the order in which they are written.</summary>
    public static string Options(in TcpOptions options)
    {
        var text = new Line();
        if (options.Has(TcpOptionKinds.Mss))
            text.Add($",mss {options.Mss}");
        if (options.Has(TcpOptionKinds.SackPermitted))
            text.Add($",sackOK");
        if (options.Has(TcpOptionKinds.Timestamps))
            text.Add($",TS val {options.TsVal} ecr {options.TsEcr}");
        if (options.Has(TcpOptionKinds.WindowScale))
            text.Add($",wscale {options.WindowScale}");
        if (options.Has(TcpOptionKinds.Sack))
            text.Add($",sack {options.SackCount} ");
        for (var i = 0; i < options.SackCount && i < SackBlocks.Length; i++)
            text.Add($"{{{options.Sacks[i].Left.Value}:{options.Sacks[i].Right.Value}}}");
        return text.ToString() is { Length: > 0 } list ? list[1..] : "none";
    }

    /// <summary>An address of four or sixteen bytes.</summary>
    public static string Address(ReadOnlySpan<byte> address)
    {
        var text = new Line();
        if (address.Length == 4)
            text.Add($"{address[0]}.{address[1]}.{address[2]}.{address[3]}");
        else if (address.Length == Ipv6Address.Bytes)
            AddIpv6(text, address);
        return text.ToString();
    }

    public static string Mac(MacAddress mac)
    {
        Span<byte> b = stackalloc byte[MacAddress.Bytes];
        mac.WriteTo(b);
        return $"{b[0]:x2}:{b[1]:x2}:{b[2]:x2}:{b[3]:x2}:{b[4]:x2}:{b[5]:x2}";
    }

    private static void AddIp(Line text, ReadOnlySpan<byte> packet)
    {
        if (Ipv4View.TryParseHead(packet, out var v4))
        {
            text.Add($"IP ");
            if (!v4.HasRightChecksum)
                text.Add($"[bad header cksum] ");
            if (v4.Ecn == 3)
                text.Add($"[CE] ");
            if (v4.IsFragment)
                text.Add($"[frag {v4.FragmentOffset}{(v4.MoreFragments ? "+" : "")}] ");
            var upper = new Upper(v4.SourceBytes, v4.DestinationBytes, v4.Protocol, v4.PayloadLength,
                v4.FragmentOffset == 0, v4.IsFragment ? -1 : v4.PseudoSum);
            AddUpper(text, upper, v4.Payload);
        }
        else if (Ipv6View.TryParseHead(packet, out var v6))
        {
            text.Add($"IP6 ");
            if (v6.Ecn == 3)
                text.Add($"[CE] ");
            if (!v6.TryFindUpper(out var protocol, out var offset, out var fragment))
            {
                text.Add($"{Address(v6.Source)} > {Address(v6.Destination)}: [bad extension headers]");
                return;
            }
            if (fragment)
                text.Add($"[frag] ");
            var length = v6.PayloadLength - offset;
            var upper = new Upper(v6.Source, v6.Destination, protocol, length,
                !fragment, fragment ? -1 : v6.PseudoSum(protocol, length));
            AddUpper(text, upper, v6.Payload[offset..]);
        }
        else
        {
            text.Add($"[bad IP header] length {packet.Length}");
        }
    }

    private static void AddUpper(Line text, in Upper upper, ReadOnlySpan<byte> bytes)
    {
        var shown = upper.HasHeader;
        if (shown && upper.Protocol == IpProtocol.Tcp && TcpView.TryParse(bytes, out var tcp))
            AddTcp(text, upper, tcp, bytes);
        else if (shown && upper.Protocol == IpProtocol.Udp && UdpView.TryParseHead(bytes, out var udp))
            AddUdp(text, upper, udp, bytes);
        else if (shown && upper.Protocol == IpProtocol.Icmp && IcmpView.TryParse(bytes, out var icmp))
            AddIcmp(text, upper, icmp);
        else if (shown && upper.Protocol == IpProtocol.Icmpv6 && Icmpv6View.TryParse(bytes, out var icmp6))
            AddIcmpv6(text, upper, icmp6);
        else
            text.Add($"{Address(upper.Source)} > {Address(upper.Destination)}: {Name(upper.Protocol)}")
                .Add($"{(shown && upper.IsKnown ? " [bad header]" : "")}, length {upper.Length}");
        if (bytes.Length < upper.Length)
            text.Add($" [{upper.Length - bytes.Length} bytes missing]");
    }

    private static void AddTcp(Line text, in Upper upper, TcpView tcp, ReadOnlySpan<byte> bytes)
    {
        AddPorts(text, upper, tcp.SourcePort, tcp.DestinationPort);
        text.Add($"Flags [{Flags(tcp.Flags)}]");
        if (!upper.IsRight(bytes))
            text.Add($", [bad cksum 0x{tcp.Checksum:x4}]");
        var length = upper.Length - tcp.HeaderLength;
        var seq = tcp.Seq.Value;
        if (length > 0)
            text.Add($", seq {seq}:{unchecked(seq + (uint)length)}");
        else if (tcp.Flags != TcpFlags.Ack)
            text.Add($", seq {seq}");
        if ((tcp.Flags & TcpFlags.Ack) != 0)
            text.Add($", ack {tcp.Ack.Value}");
        text.Add($", win {tcp.Window}");
        if ((tcp.Flags & TcpFlags.Urg) != 0)
            text.Add($", urg {tcp.Urgent}");
        var valid = TcpOptions.TryParse(tcp.OptionBytes, out var options);
        if (tcp.OptionBytes.Length > 0)
            text.Add($", options [{Options(options)}]{(valid ? "" : " [bad options]")}");
        text.Add($", length {length}");
    }

    private static void AddUdp(Line text, in Upper upper, UdpView udp, ReadOnlySpan<byte> bytes)
    {
        AddPorts(text, upper, udp.SourcePort, udp.DestinationPort);
        text.Add($"UDP, ");
        if (udp.Length > upper.Length)
            text.Add($"[bad length {udp.Length}], ");
        if (udp.Checksum != 0 && udp.Length == upper.Length && !upper.IsRight(bytes))
            text.Add($"[bad cksum 0x{udp.Checksum:x4}], ");
        text.Add($"length {udp.Length - UdpHeader.Length}");
    }

    private static void AddIcmp(Line text, in Upper upper, IcmpView icmp)
    {
        text.Add($"{Address(upper.Source)} > {Address(upper.Destination)}: ICMP ");
        if (icmp.Type is IcmpView.Echo or IcmpView.EchoReply)
            text.Add($"echo {(icmp.Type == IcmpView.Echo ? "request" : "reply")}, id {icmp.Identifier}, ")
                .Add($"seq {icmp.Sequence}");
        else if (icmp.Type == IcmpView.Unreachable && icmp.Code == IcmpView.FragmentationNeeded)
            text.Add($"unreachable, need to frag (mtu {icmp.NextHopMtu})");
        else if (icmp.Type == IcmpView.Unreachable)
            text.Add($"unreachable code {icmp.Code}");
        else
            text.Add($"type {icmp.Type} code {icmp.Code}");
        if (icmp.TryGetQuote(out var quote))
            AddQuote(text, quote);
        text.Add($", length {upper.Length}");
    }

    private static void AddIcmpv6(Line text, in Upper upper, Icmpv6View icmp)
    {
        text.Add($"{Address(upper.Source)} > {Address(upper.Destination)}: ICMP6 ");
        if (icmp.Type is Icmpv6View.Echo or Icmpv6View.EchoReply)
            text.Add($"echo {(icmp.Type == Icmpv6View.Echo ? "request" : "reply")}, id {icmp.Identifier}, ")
                .Add($"seq {icmp.Sequence}");
        else if (icmp.Type == Icmpv6View.PacketTooBig)
            text.Add($"packet too big, mtu {icmp.Mtu}");
        else if (icmp.Type == Icmpv6View.Unreachable)
            text.Add($"unreachable code {icmp.Code}");
        else if (icmp.TryGetTarget(out var target))
            text.Add($"neighbour ")
                .Add($"{(icmp.Type == Icmpv6View.NeighbourSolicitation ? "solicitation" : "advertisement")}, ")
                .Add($"target {Address(target)}");
        else
            text.Add($"type {icmp.Type} code {icmp.Code}");
        if (icmp.TryGetQuote(out var quote))
            AddQuote(text, quote);
        text.Add($", length {upper.Length}");
    }

    private static void AddQuote(Line text, QuoteView quote)
    {
        text.Add($" of {Name(quote.Protocol)} {Address(quote.Source)}.{quote.SourcePort} > ")
            .Add($"{Address(quote.Destination)}.{quote.DestinationPort}");
        if (quote.Protocol == IpProtocol.Tcp)
            text.Add($" seq {quote.Seq.Value}");
    }

    private static void AddArp(Line text, ReadOnlySpan<byte> bytes)
    {
        if (!ArpView.TryParse(bytes, out var arp))
            text.Add($"ARP [not IPv4 over Ethernet], length {bytes.Length}");
        else if (arp.Operation == ArpView.Request)
            text.Add($"ARP, Request who-has {Address(arp.TargetAddress)} tell {Address(arp.SenderAddress)}");
        else if (arp.Operation == ArpView.Reply)
            text.Add($"ARP, Reply {Address(arp.SenderAddress)} is-at {arp.SenderHardware}");
        else
            text.Add($"ARP, operation {arp.Operation} of {arp.SenderHardware} to {arp.TargetHardware}");
    }

    private static void AddPorts(Line text, in Upper upper, ushort source, ushort destination) =>
        text.Add($"{Address(upper.Source)}.{source} > {Address(upper.Destination)}.{destination}: ");

    // RFC 5952: the longest run of two zero words or more, the first of equals, becomes "::".
    private static void AddIpv6(Line text, ReadOnlySpan<byte> address)
    {
        int best = -1, bestLength = 1;
        for (var i = 0; i < 8; i++)
        {
            var length = 0;
            while (i + length < 8 && Big.U16(address, 2 * (i + length)) == 0)
                length++;
            if (length > bestLength)
                (best, bestLength) = (i, length);
            i += length;
        }
        for (var i = 0; i < 8; i++)
        {
            if (i == best)
            {
                text.Add($"::");
                i += bestLength - 1;
                continue;
            }
            if (i > 0 && (best < 0 || i != best + bestLength))
                text.Add($":");
            text.Add($"{Big.U16(address, 2 * i):x}");
        }
    }

    private static string Name(IpProtocol protocol) => protocol switch
    {
        IpProtocol.Tcp => "TCP",
        IpProtocol.Udp => "UDP",
        IpProtocol.Icmp => "ICMP",
        IpProtocol.Icmpv6 => "ICMP6",
        _ => $"proto {(int)protocol}",
    };

    // What the IP header says of the transport's.
    private readonly ref struct Upper(
        ReadOnlySpan<byte> source, ReadOnlySpan<byte> destination, IpProtocol protocol, int length, bool hasHeader,
        long pseudoSum)
    {
        public ReadOnlySpan<byte> Source { get; } = source;
        public ReadOnlySpan<byte> Destination { get; } = destination;
        public IpProtocol Protocol { get; } = protocol;
        public int Length { get; } = length;
        public bool HasHeader { get; } = hasHeader;

        public bool IsKnown => Protocol is IpProtocol.Tcp or IpProtocol.Udp or IpProtocol.Icmp or IpProtocol.Icmpv6;

        // What cannot be summed up, since some of it is elsewhere, is not called wrong.
        public bool IsRight(ReadOnlySpan<byte> bytes) => pseudoSum < 0 || bytes.Length < Length
            || Checksum.IsRight(Checksum.Add(bytes, (uint)pseudoSum));
    }

    // A builder that does not ask which language the machine speaks.
    private sealed class Line
    {
        private readonly StringBuilder _text = new();

        public Line Add(FormattableString part)
        {
            _text.Append(part.ToString(CultureInfo.InvariantCulture));
            return this;
        }

        public override string ToString() => _text.ToString();
    }
}
