using System.Runtime.CompilerServices;
using Accel.Core.Capture;
using Accel.Core.Local;
using Accel.Core.Tcp;
using Accel.Core.Udp;
using Accel.Wire;

namespace Accel.Core.Nic;

/// <summary>
/// Reads frames: from what a link received to a segment with its names. Whatever is wrong with a frame is counted and
/// the frame forgotten; nothing in it is believed before it is checked.
/// </summary>
internal sealed unsafe class NicInput(NicCore core)
{
    /// <summary>Buffers of one frame: more than any link makes of 64 KiB.</summary>
    private const int MaxParts = 48;
    private const byte CongestionExperienced = 3;

    /// <summary>A packet on its way through the layers.</summary>
    private ref struct Packet
    {
        public NicRoute Route;

        /// <summary>What the first buffer holds of the transport's bytes, and how many there are in all.</summary>
        public ReadOnlySpan<byte> Head;
        public int Length;
        public FrameRef* Rest;
        public int RestCount;
        public uint PseudoSum;
        public byte Ttl;
        public byte Tos;
        public IpProtocol Protocol;
    }

    /// <summary>Takes in a frame of one or more buffers.</summary>
    public void OnFrame(FrameRef* parts, int count, int link)
    {
        long bytes = 0;
        for (int i = 0; i < count; i++)
            bytes += parts[i].Length;
        core.Count(NicCounter.RxFrames);
        core.Add(NicCounter.RxBytes, (ulong)bytes);
        if (count > 1)
            core.Count(NicCounter.RxSuperFrames);
        if (core.Tap is { } tap && tap.IsOn(CapturePaths.Nic))
            tap.Received(parts, count, link);
        if (count > MaxParts)
        {
            core.Count(NicCounter.RxTooManyParts);
            return;
        }
        Packet packet = new() { Rest = parts + 1, RestCount = count - 1 };
        packet.Route.Link = (byte)link;
        ReadOnlySpan<byte> first = new(parts->Data, parts->Length);
        NicCounter refused = ReadEthernet(first, ref packet, bytes - first.Length);
        if (refused != NicCounter.Count)
        {
            core.Count(refused);
            return;
        }
        if (packet.Protocol == IpProtocol.Tcp)
            OnTcp(ref packet);
        else if (packet.Protocol == IpProtocol.Udp)
            OnUdp(ref packet);
        else
            core.Count(NicCounter.RxNotTcp);
    }

    /// <summary>Returns why the frame is refused; <see cref="NicCounter.Count"/>: it is not.</summary>
    private NicCounter ReadEthernet(ReadOnlySpan<byte> first, ref Packet packet, long more)
    {
        if (!EthernetView.TryParse(first, out EthernetView ethernet))
            return NicCounter.RxMalformed;
        LinkInfo* info = core.Links[packet.Route.Link].Info;
        MacAddress own = MacAddress.Read(new ReadOnlySpan<byte>(info->Mac, MacAddress.Bytes));
        if (ethernet.Destination.IsGroup || (ethernet.Destination != own && !own.IsZero))
            return NicCounter.RxNotOurs;
        packet.Route.Mac = ethernet.Source;
        ReadOnlySpan<byte> rest = ethernet.Payload;
        EtherType type = ethernet.EtherType;
        if (type == EtherType.Vlan)
        {
            if (!VlanView.TryParse(rest, out VlanView vlan))
                return NicCounter.RxMalformed;
            packet.Route.Vlan = 0x10000u | (uint)vlan.Priority << 13 | vlan.Id;
            type = vlan.EtherType;
            rest = vlan.Payload;
        }
        return type switch
        {
            EtherType.Ipv4 => ReadV4(rest, ref packet, more),
            EtherType.Ipv6 => ReadV6(rest, ref packet, more),
            _ => NicCounter.RxNotTcp,
        };
    }

    private static NicCounter ReadV4(ReadOnlySpan<byte> bytes, ref Packet packet, long more)
    {
        if (!Ipv4View.TryParseHead(bytes, out Ipv4View ip) || ip.Payload.Length + more < ip.PayloadLength)
            return NicCounter.RxMalformed;
        if (!ip.HasRightChecksum)
            return NicCounter.RxBadChecksum;
        if (ip.IsFragment)
            return NicCounter.RxFragments;
        packet.Route.Local.Family = packet.Route.Remote.Family = Endpoint.V4;
        packet.Route.Local.AddressLow = ip.Destination;
        packet.Route.Remote.AddressLow = ip.Source;
        if (IsMartianV4(ip.Source) || IsMartianV4(ip.Destination))
            return NicCounter.RxMartian;
        packet.Head = ip.Payload;
        packet.Length = ip.PayloadLength;
        packet.PseudoSum = ip.PseudoSum;
        packet.Ttl = ip.Ttl;
        packet.Tos = ip.Tos;
        packet.Protocol = ip.Protocol;
        return NicCounter.Count;
    }

    /// <summary>RFC 1122 3.2.1.3: this network, loopback, multicast, reserved, broadcast.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsMartianV4(uint address) => (byte)address is 0 or 127 or >= 224;

    private static NicCounter ReadV6(ReadOnlySpan<byte> bytes, ref Packet packet, long more)
    {
        if (!Ipv6View.TryParseHead(bytes, out Ipv6View ip) || ip.Payload.Length + more < ip.PayloadLength
            || !ip.TryFindUpper(out IpProtocol protocol, out int offset, out bool fragment))
            return NicCounter.RxMalformed;
        if (fragment)
            return NicCounter.RxFragments;
        Ipv6Address source = Ipv6Address.Read(ip.Source), destination = Ipv6Address.Read(ip.Destination);
        packet.Route.Local = new Endpoint
            { Family = Endpoint.V6, AddressLow = destination.Low, AddressHigh = destination.High };
        packet.Route.Remote = new Endpoint
            { Family = Endpoint.V6, AddressLow = source.Low, AddressHigh = source.High };
        if (IsMartianV6(in packet.Route.Remote) || IsMartianV6(in packet.Route.Local))
            return NicCounter.RxMartian;
        packet.Head = ip.Payload[offset..];
        packet.Length = ip.PayloadLength - offset;
        packet.PseudoSum = ip.PseudoSum(protocol, packet.Length);
        packet.Ttl = ip.HopLimit;
        packet.Tos = ip.TrafficClass;
        packet.Protocol = protocol;
        return NicCounter.Count;
    }

    /// <summary>RFC 4291 2.5, 2.7: unspecified, loopback, v4-mapped, multicast.</summary>
    private static bool IsMartianV6(in Endpoint address) =>
        address.IsAny || address.IsLoopback || address.IsMapped || (byte)address.AddressLow == 0xFF;

    private void OnUdp(ref Packet packet)
    {
        UdpArrival arrival = new()
        {
            Local = packet.Route.Local, Remote = packet.Route.Remote, Ttl = packet.Ttl, Tos = packet.Tos,
            Link = packet.Route.Link, Head = packet.Head, Rest = packet.Rest, RestCount = packet.RestCount,
            Length = packet.Length,
        };
        core.Udp.Input.OnDatagram(ref arrival, core.NowNs);
    }

    private void OnTcp(ref Packet packet)
    {
        if (!TcpView.TryParse(packet.Head, out TcpView tcp))
        {
            core.Count(NicCounter.RxMalformed);
            return;
        }
        if (!HasRightChecksum(in packet, tcp.Checksum))
        {
            core.Count(NicCounter.RxBadChecksum);
            return;
        }
        packet.Route.Local.Port = tcp.DestinationPort;
        packet.Route.Remote.Port = tcp.SourcePort;
        if (tcp.DestinationPort == 0 || tcp.SourcePort == 0)
        {
            core.Count(NicCounter.RxMalformed);
            return;
        }
        TcpSegment seg = new()
        {
            Seq = tcp.Seq,
            Ack = tcp.Ack,
            Flags = tcp.Flags,
            CongestionExperienced = (packet.Tos & CongestionExperienced) == CongestionExperienced,
            Window = tcp.Window,
            Urgent = tcp.Urgent,
            Length = (uint)(packet.Length - tcp.HeaderLength),
            Merged = 1,
        };
        // A broken list counts up to where it breaks, as in Linux.
        TcpOptions.TryParse(tcp.OptionBytes, out seg.Options);
        fixed (byte* first = tcp.Payload)
        {
            NicPayload payload = new(first, tcp.Payload.Length, packet.Rest, packet.RestCount, (int)seg.Length);
            Deliver(ref packet.Route, ref seg, in payload);
        }
    }

    private void Deliver(ref NicRoute route, ref TcpSegment seg, in NicPayload payload)
    {
        uint hash = NicDemux.HashOf(core.Region, in route.Local, in route.Remote);
        int index = NicDemux.Find(core.Region, in route.Local, in route.Remote, hash);
        if (index < 0 || core.Connections.GivesWay(index, in seg))
        {
            core.Listeners.OnStranger(ref route, in seg, in payload);
            return;
        }
        uint mss = core.Region.BlockAt(index)->Tcb.RcvMss;
        if (mss != 0 && seg.Length > mss)
            seg.Merged = (seg.Length + mss - 1) / mss;
        core.Connections.OnSegment(index, in seg, in payload);
    }

    /// <summary>
    /// The sum over everything. On a link whose peers are on this host the pseudo header's sum alone will do: the
    /// sender's kernel left the rest to a device that there is none of.
    /// </summary>
    private bool HasRightChecksum(in Packet packet, ushort checksum)
    {
        LinkInfo* info = core.Links[packet.Route.Link].Info;
        if ((info->Flags & (uint)LinkFlags.TrustsPartialChecksums) != 0
            && checksum == Checksum.Partial(packet.PseudoSum))
        {
            core.Count(NicCounter.RxPartialChecksum);
            return true;
        }
        int at = Math.Min(packet.Head.Length, packet.Length);
        uint sum = Checksum.Add(packet.Head[..at], packet.PseudoSum);
        for (int i = 0; i < packet.RestCount && at < packet.Length; i++)
        {
            int length = Math.Min(packet.Rest[i].Length, packet.Length - at);
            sum = Checksum.Add(new ReadOnlySpan<byte>(packet.Rest[i].Data, length), sum, at);
            at += length;
        }
        return Checksum.IsRight(sum);
    }
}
