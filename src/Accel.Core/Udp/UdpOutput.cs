using Accel.Core.Capture;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Wire;

namespace Accel.Core.Udp;

/// <summary>
/// Writes datagrams as frames, straight into a link's buffer. What cannot be sent here now is the kernel's to send:
/// nothing is queued and nothing waits.
/// </summary>
public sealed unsafe class UdpOutput(NicRegion region, LocalRegion local, ILink[] links, UdpWays ways)
{
    private const int DefaultTtl = 64;

    private readonly UdpRegion _udp = region.Udp;

    /// <summary>Where frames are copied to while somebody captures them.</summary>
    public CaptureTap? Tap { get; set; }

    private void Count(NicCounter counter) => region.Tables->Counters.Values[(int)counter]++;

    /// <summary>
    /// Takes a buffer and writes the headers. False: the kernel's socket is to send it. Else the payload is to be
    /// copied and summed up, and <see cref="Commit"/> called, under the same lock.
    /// </summary>
    public bool TryBegin(int conn, in UdpSend send, long nowNs, out UdpFrame frame)
    {
        frame = default;
        UdpBinding* binding = _udp.BindingAt(conn);
        Endpoint wanted = send.Source.Family != Endpoint.None ? send.Source
            : binding->Local.IsAny || binding->Local.Family != send.Destination.Family ? default : binding->Local;
        UdpWay* way = ways.Find(send.Destination, wanted);
        if (way->State != UdpWayState.Ours || (links[way->Link].Info->Flags & (uint)LinkFlags.Up) == 0
            || (send.InterfaceIndex != 0 && send.InterfaceIndex != way->InterfaceIndex))
        {
            Count(way->State == UdpWayState.NoNeighbour ? NicCounter.UdpKernelNeighbour : NicCounter.UdpKernelRoute);
            return false;
        }
        if (way->Doubt != 0)
        {
            way->Doubt = 0;
            Count(NicCounter.UdpKernelNeighbour);
            return false;
        }
        bool v6 = send.Destination.Family == Endpoint.V6;
        int ip = v6 ? Ipv6Header.Length : Ipv4Header.Length;
        if ((uint)ip + UdpHeader.Length + send.Length > UdpWays.MtuOf(way, nowNs))
        {
            Count(NicCounter.UdpKernelSize);
            return false;
        }
        int headers = EthernetHeader.Length + ip + UdpHeader.Length;
        ILink link = links[way->Link];
        if (!TryTake(link, out frame.Buffer))
        {
            Count(NicCounter.UdpKernelBuffer);
            return false;
        }
        if ((uint)headers + send.Length > (uint)frame.Buffer.Length)
        {
            link.Return(in frame.Buffer);
            Count(NicCounter.UdpKernelSize);
            return false;
        }
        Write(new Span<byte>(frame.Buffer.Data, headers), way, binding, in send, ref frame);
        frame.Payload = frame.Buffer.Data + headers;
        frame.Buffer.Length = headers + (int)send.Length;
        frame.Link = way->Link;
        frame.Length = send.Length;
        return true;
    }

    private static bool TryTake(ILink link, out FrameRef buffer)
    {
        if (link.TryTakeBuffer(out buffer))
            return true;
        // What waits for the doorbell keeps buffers too.
        link.Flush();
        return link.TryTakeBuffer(out buffer);
    }

    private void Write(Span<byte> to, UdpWay* way, UdpBinding* binding, in UdpSend send, ref UdpFrame frame)
    {
        bool v6 = send.Destination.Family == Endpoint.V6;
        ref UdpSettings settings = ref binding->Settings;
        int ttl = send.Ttl >= 0 ? send.Ttl : v6 ? settings.Hops : settings.Ttl;
        if (ttl == 0)
            ttl = way->HopLimit != 0 ? way->HopLimit : DefaultTtl;
        int tos = send.Tos >= 0 ? send.Tos : v6 ? settings.TrafficClass : settings.Tos;
        int length = UdpHeader.Length + (int)send.Length;
        EthernetHeader ethernet = new()
        {
            Destination = way->Mac,
            Source = MacAddress.Read(new ReadOnlySpan<byte>(links[way->Link].Info->Mac, MacAddress.Bytes)),
            EtherType = v6 ? EtherType.Ipv6 : EtherType.Ipv4,
        };
        int at = ethernet.WriteTo(to);
        at += v6 ? WriteV6(to[at..], way, in send, length, (byte)ttl, (byte)tos)
            : WriteV4(to[at..], way, binding, in send, length, (byte)ttl, (byte)tos);
        UdpHeader udp = new()
        {
            SourcePort = binding->Local.Port,
            DestinationPort = send.Destination.Port,
            PayloadLength = (int)send.Length,
        };
        udp.WriteTo(to[at..]);
        uint pseudo = UdpInput.PseudoSum(way->Source, send.Destination, length);
        frame.Sum = Checksum.Add(to.Slice(at, UdpHeader.Length), pseudo);
    }

    private static int WriteV4(
        Span<byte> to, UdpWay* way, UdpBinding* binding, in UdpSend send, int length, byte ttl, byte tos)
    {
        Ipv4Header ip = new()
        {
            Tos = tos,
            PayloadLength = length,
            Identification = binding->Identification++,
            DontFragment = !binding->Settings.Has(UdpSettingFlags.MayFragment),
            Ttl = ttl,
            Protocol = IpProtocol.Udp,
            Source = (uint)way->Source.AddressLow,
            Destination = (uint)send.Destination.AddressLow,
        };
        return ip.WriteTo(to);
    }

    private static int WriteV6(Span<byte> to, UdpWay* way, in UdpSend send, int length, byte hops, byte trafficClass)
    {
        Ipv6Header ip = new()
        {
            TrafficClass = trafficClass,
            PayloadLength = length,
            NextHeader = IpProtocol.Udp,
            HopLimit = hops,
            Source = new Ipv6Address(way->Source.AddressLow, way->Source.AddressHigh),
            Destination = new Ipv6Address(send.Destination.AddressLow, send.Destination.AddressHigh),
        };
        return ip.WriteTo(to);
    }

    /// <summary>The payload is there; <paramref name="sum"/> is the frame's, continued over it.</summary>
    public void Commit(int conn, in UdpFrame frame, uint sum)
    {
        UdpHeader.SetChecksum(new Span<byte>(frame.Payload - UdpHeader.Length, UdpHeader.Length),
            Checksum.FoldUdp(sum));
        if (Tap is { } tap && tap.IsOn(CapturePaths.Nic))
            tap.Sent(in frame.Buffer, frame.Link, &local.ConnAt(conn)->Side0);
        links[frame.Link].Send(in frame.Buffer);
        UdpBinding* binding = _udp.BindingAt(conn);
        binding->Sent++;
        binding->SentBytes += frame.Length;
        Count(NicCounter.UdpSent);
    }
}
