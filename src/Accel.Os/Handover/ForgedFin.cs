using Accel.Core.Handover;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Wire;

namespace Accel.Os.Handover;

/// <summary>
/// A FIN in a peer's name, over this host's own loopback, for a connection whose peer has ended its stream already:
/// TCP_REPAIR has no other way to say that (CRIU's soccr does the same).
/// </summary>
[ColdPath]
internal static unsafe class ForgedFin
{
    private const int Inet = 2, Inet6 = 10, Raw = 3, Cloexec = 0x80000, RawProtocol = 255;

    /// <summary>Returns 0 or minus an errno.</summary>
    public static int Send(LinuxKernel kernel, in Endpoint local, in Endpoint remote, in TcpImage image)
    {
        Endpoint to = local.Unmapped(), from = remote.Unmapped();
        bool v4 = to.Family == Endpoint.V4;
        // Headers come with the packet on sockets of this protocol.
        int fd = kernel.Socket(v4 ? Inet : Inet6, Raw | Cloexec, RawProtocol);
        if (fd < 0)
            return fd;
        Span<byte> packet = stackalloc byte[Ipv6Header.Length + TcpHeader.MaxLength];
        int length = Write(packet, in to, in from, in image);
        byte* address = stackalloc byte[28];
        new Span<byte>(address, 28).Clear();
        *(ushort*)address = (ushort)(v4 ? Inet : Inet6);
        if (v4)
            *(uint*)(address + 4) = (uint)to.AddressLow;
        else
        {
            *(ulong*)(address + 8) = to.AddressLow;
            *(ulong*)(address + 16) = to.AddressHigh;
            *(uint*)(address + 24) = to.ScopeId;
        }
        long sent;
        fixed (byte* bytes = packet)
            sent = kernel.SendTo(fd, bytes, (ulong)length, address, v4 ? 16u : 28u);
        kernel.Close(fd);
        return sent < 0 ? (int)sent : 0;
    }

    private static int Write(Span<byte> packet, in Endpoint to, in Endpoint from, in TcpImage image)
    {
        TcpHeader tcp = new()
        {
            SourcePort = from.Port,
            DestinationPort = to.Port,
            Seq = new SeqNum(image.ReceiveSeq) + image.Unread,
            Ack = new SeqNum(image.SendSeq),
            Flags = TcpFlags.Fin | TcpFlags.Ack,
            Window = image.WindowField,
        };
        int at;
        uint sum;
        if (to.Family == Endpoint.V4)
        {
            Ipv4Header ip = new()
            {
                PayloadLength = tcp.Length,
                DontFragment = true,
                Ttl = 64,
                Protocol = IpProtocol.Tcp,
                Source = (uint)from.AddressLow,
                Destination = (uint)to.AddressLow,
            };
            at = ip.WriteTo(packet);
            sum = Checksum.PseudoV4(ip.Source, ip.Destination, IpProtocol.Tcp, tcp.Length);
        }
        else
        {
            Ipv6Header ip = new()
            {
                PayloadLength = tcp.Length,
                NextHeader = IpProtocol.Tcp,
                HopLimit = 64,
                Source = new Ipv6Address(from.AddressLow, from.AddressHigh),
                Destination = new Ipv6Address(to.AddressLow, to.AddressHigh),
            };
            at = ip.WriteTo(packet);
            sum = Checksum.PseudoV6(ip.Source, ip.Destination, IpProtocol.Tcp, tcp.Length);
        }
        Span<byte> segment = packet.Slice(at, tcp.Length);
        tcp.WriteTo(segment);
        TcpHeader.SetChecksum(segment, Checksum.Fold(Checksum.Add(segment, sum)));
        return at + tcp.Length;
    }
}
