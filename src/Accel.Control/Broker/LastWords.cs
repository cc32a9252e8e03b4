using Accel.Control.Native;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Wire;

namespace Accel.Control.Broker;

/// <summary>
/// A RST to the peers of a stack that died with connections that nobody can end better. The kernel answers what they
/// send from then on, but a peer that waits for an answer sends nothing, and would wait for ever.
/// </summary>
internal static unsafe class LastWords
{
    /// <summary>Sends them for some connections of a stack. Returns how many.</summary>
    /// <param name="region">The stack's, which says by which link a connection went.</param>
    /// <param name="connections">Those on names of the stack's own.</param>
    /// <param name="interfaces">Those that it had sockets on, with their hardware addresses: it may say of a link what
    /// it likes.</param>
    public static int Send(
        NicRegion region, IReadOnlyCollection<NicRemains> connections, IReadOnlyDictionary<int, byte[]> interfaces)
    {
        int sent = 0;
        for (int link = 0; link < NicRegion.MaxLinks && connections.Count > 0; link++)
        {
            int index = region.LinkAt(link)->InterfaceIndex;
            if (interfaces.TryGetValue(index, out byte[]? mac))
                sent += SendOver(connections, link, index, MacAddress.Read(mac));
        }
        return sent;
    }

    private static int SendOver(
        IReadOnlyCollection<NicRemains> connections, int link, int interfaceIndex, MacAddress mac)
    {
        int socket = -1, sent = 0;
        Span<byte> frame = stackalloc byte[EthernetHeader.Length + Ipv6Header.Length + TcpHeader.MaxLength];
        foreach (NicRemains one in connections)
        {
            if (one.Route.Link != link || !one.HasMac || one.Route.Vlan != 0)
                continue;
            if (socket < 0 && (socket = Open(interfaceIndex)) < 0)
                return sent;
            int length = Write(frame, in one, mac);
            fixed (byte* bytes = frame)
                sent += Libc.Send(socket, bytes, length, Libc.DontWait) == length ? 1 : 0;
        }
        if (socket >= 0)
            Libc.Close(socket);
        return sent;
    }

    private static int Open(int interfaceIndex)
    {
        const int addressBytes = 20;
        int socket = Libc.Socket(Libc.AfPacket, Libc.SockRaw | Libc.SockCloexec, 0);
        byte* address = stackalloc byte[addressBytes];
        new Span<byte>(address, addressBytes).Clear();
        // struct sockaddr_ll: family, protocol 0 (hears nothing), interface.
        *(ushort*)address = Libc.AfPacket;
        *(int*)(address + 4) = interfaceIndex;
        if (socket >= 0 && Libc.Bind(socket, address, addressBytes) == 0)
            return socket;
        if (socket >= 0)
            Libc.Close(socket);
        return -1;
    }

    private static int Write(Span<byte> frame, in NicRemains one, MacAddress mac)
    {
        Endpoint local = one.Route.Local, remote = one.Route.Remote;
        bool v4 = local.Family == Endpoint.V4;
        int at = new EthernetHeader
        {
            Destination = one.Route.Mac,
            Source = mac,
            EtherType = v4 ? EtherType.Ipv4 : EtherType.Ipv6,
        }.WriteTo(frame);
        // RFC 9293 3.10.4 and 3.5.3: what the peer expects next, so that it need not doubt it (RFC 5961 3.2).
        TcpHeader tcp = new()
        {
            SourcePort = local.Port,
            DestinationPort = remote.Port,
            Seq = one.SndNxt,
            Ack = one.RcvNxt,
            Flags = TcpFlags.Rst | TcpFlags.Ack,
        };
        uint sum;
        if (v4)
        {
            Ipv4Header ip = new()
            {
                PayloadLength = tcp.Length,
                DontFragment = true,
                Ttl = 64,
                Protocol = IpProtocol.Tcp,
                Source = (uint)local.AddressLow,
                Destination = (uint)remote.AddressLow,
            };
            at += ip.WriteTo(frame[at..]);
            sum = Checksum.PseudoV4(ip.Source, ip.Destination, IpProtocol.Tcp, tcp.Length);
        }
        else
        {
            Ipv6Header ip = new()
            {
                PayloadLength = tcp.Length,
                NextHeader = IpProtocol.Tcp,
                HopLimit = 64,
                Source = new Ipv6Address(local.AddressLow, local.AddressHigh),
                Destination = new Ipv6Address(remote.AddressLow, remote.AddressHigh),
            };
            at += ip.WriteTo(frame[at..]);
            sum = Checksum.PseudoV6(ip.Source, ip.Destination, IpProtocol.Tcp, tcp.Length);
        }
        Span<byte> segment = frame.Slice(at, tcp.Length);
        tcp.WriteTo(segment);
        TcpHeader.SetChecksum(segment, Checksum.Fold(Checksum.Add(segment, sum)));
        return at + tcp.Length;
    }
}
