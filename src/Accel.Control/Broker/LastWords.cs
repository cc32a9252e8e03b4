using System.Runtime.InteropServices;
using Accel.Control.Native;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Control.Broker;

/// <summary>
/// What is said for a stack that died with connections open: a RST to each peer. The kernel answers what the peers send
/// from then on, but a peer that waits for an answer sends nothing, and would wait for ever. The stack's own region,
/// mapped when it came, tells of the connections.
/// </summary>
internal sealed unsafe class LastWords : IDisposable
{
    private const string RegionName = "/memfd:accel-nic (deleted)";
    private const int ReadOnly = 0, Cloexec = 0x80000, ProtectRead = 1, MapShared = 1;

    private readonly byte* _address;

    private LastWords(byte* address) => _address = address;

    /// <summary>Finds and maps the region of a stack in one of its processes. Null if there is none.</summary>
    public static LastWords? Of(int pid, ulong stackId)
    {
        try
        {
            foreach (string path in Directory.EnumerateFiles($"/proc/{pid}/fd"))
            {
                if (new FileInfo(path).LinkTarget != RegionName || Map(path, stackId) is not { } found)
                    continue;
                return found;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It has gone already, or shows nothing.
        }
        return null;
    }

    private static LastWords? Map(string path, ulong stackId)
    {
        int fd;
        nint name = Marshal.StringToCoTaskMemUTF8(path);
        fd = Libc.Open((byte*)name, ReadOnly | Cloexec, 0);
        Marshal.FreeCoTaskMem(name);
        if (fd < 0)
            return null;
        nint at = Libc.Map(0, (nint)NicRegion.SizeBytes, ProtectRead, MapShared, fd, 0);
        Libc.Close(fd);
        if (at == -1)
            return null;
        LastWords found = new((byte*)at);
        RegionHeader* header = (RegionHeader*)at;
        if (RegionHeader.Refusal(*header, RegionKind.Nic, LayoutHash.Value) == null
            && header->SizeBytes == (ulong)NicRegion.SizeBytes && header->StackId == stackId)
            return found;
        found.Dispose();
        return null;
    }

    /// <summary>Sends them. Returns how many. The stack is dead: nobody writes the region any more.</summary>
    public int Send()
    {
        NicRegion region = new(_address);
        int sent = 0;
        for (int link = 0; link < NicRegion.MaxLinks; link++)
        {
            LinkInfo* info = region.LinkAt(link);
            if (info->InterfaceIndex != 0)
                sent += SendOver(region, link, info);
        }
        return sent;
    }

    private static int SendOver(NicRegion region, int link, LinkInfo* info)
    {
        int socket = -1, sent = 0;
        Span<byte> frame = stackalloc byte[EthernetHeader.Length + Ipv6Header.Length + TcpHeader.MaxLength];
        for (int i = 0; i < region.BlocksHigh; i++)
        {
            NicBlock* block = region.BlockAt(i);
            if (block->Use != NicUse.Live || block->Route.Link != link || !block->Is(NicBlockFlags.HasMac)
                || block->Route.Vlan != 0 || IsSilent(block->Tcb.State))
                continue;
            if (socket < 0 && (socket = Open(info->InterfaceIndex)) < 0)
                return sent;
            int length = Write(frame, block, info);
            fixed (byte* bytes = frame)
                sent += Libc.Send(socket, bytes, length, Libc.DontWait) == length ? 1 : 0;
        }
        if (socket >= 0)
            Libc.Close(socket);
        return sent;
    }

    /// <summary>Nothing is owed to the peer: it has our FIN, or never had an answer.</summary>
    private static bool IsSilent(TcpState state) =>
        state is TcpState.None or TcpState.Closed or TcpState.SynSent or TcpState.FinWait2 or TcpState.TimeWait;

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

    private static int Write(Span<byte> frame, NicBlock* block, LinkInfo* info)
    {
        Endpoint local = block->Route.Local, remote = block->Route.Remote;
        bool v4 = local.Family == Endpoint.V4;
        int at = new EthernetHeader
        {
            Destination = block->Route.Mac,
            Source = MacAddress.Read(new ReadOnlySpan<byte>(info->Mac, MacAddress.Bytes)),
            EtherType = v4 ? EtherType.Ipv4 : EtherType.Ipv6,
        }.WriteTo(frame);
        // RFC 9293 3.10.4 and 3.5.3: what the peer expects next, so that it need not doubt it (RFC 5961 3.2).
        TcpHeader tcp = new()
        {
            SourcePort = local.Port,
            DestinationPort = remote.Port,
            Seq = block->Tcb.SndNxt,
            Ack = block->Tcb.RcvNxt,
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

    public void Dispose() => Libc.Unmap((nint)_address, (nint)NicRegion.SizeBytes);
}
