using System.Buffers.Binary;
using Accel.Control.Native;

namespace Accel.Control.Steering;

/// <summary>
/// Local ports on which the kernel itself has TCP connections with other hosts, asked of NETLINK_SOCK_DIAG in one go.
/// </summary>
public static unsafe class KernelConnections
{
    private const int SockDiag = 4, ByFamily = 20, Request = 1, Dump = 0x300, Done = 3, Error = 2, Tcp = 6;

    /// <summary>ESTABLISHED to CLOSING and NEW_SYN_RECV, not LISTEN, CLOSE and SYN_SENT.</summary>
    private const uint Connected = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 9 | 1 << 11 | 1 << 12;
    private const int MessageBytes = 16 + 56, BufferBytes = 1 << 16;

    /// <summary>Null if the kernel cannot say.</summary>
    public static HashSet<ushort>? LocalPorts()
    {
        HashSet<ushort> ports = [];
        int fd = Libc.Socket(Libc.AfNetlink, Libc.SockRaw | Libc.SockCloexec, SockDiag);
        if (fd < 0)
            return null;
        try
        {
            return Collect(fd, Libc.AfInet, ports) && Collect(fd, Libc.AfInet6, ports) ? ports : null;
        }
        finally
        {
            Libc.Close(fd);
        }
    }

    private static bool Collect(int fd, int family, HashSet<ushort> ports)
    {
        // struct nlmsghdr, then struct inet_diag_req_v2: family, protocol, ext, pad, states, id.
        byte* request = stackalloc byte[MessageBytes];
        new Span<byte>(request, MessageBytes).Clear();
        *(int*)request = MessageBytes;
        *(ushort*)(request + 4) = ByFamily;
        *(ushort*)(request + 6) = Request | Dump;
        request[16] = (byte)family;
        request[17] = Tcp;
        *(uint*)(request + 20) = Connected;
        if (Libc.Send(fd, request, MessageBytes, 0) != MessageBytes)
            return false;
        byte[] buffer = new byte[BufferBytes];
        while (true)
        {
            nint got;
            fixed (byte* to = buffer)
                got = Libc.Receive(fd, to, BufferBytes, 0);
            if (got <= 0)
                return false;
            ReadOnlySpan<byte> rest = buffer.AsSpan(0, (int)got);
            while (rest.Length >= 16)
            {
                int length = BinaryPrimitives.ReadInt32LittleEndian(rest);
                ushort type = BinaryPrimitives.ReadUInt16LittleEndian(rest[4..]);
                if (type == Done)
                    return true;
                if (type == Error || length < 16 || length > rest.Length)
                    return false;
                // struct inet_diag_msg: family, state, timer, retrans, id: ports, source, destination.
                if (length >= 16 + 4 + 36 && !IsLocal(rest.Slice(24, 16), rest.Slice(40, 16), family))
                    ports.Add(BinaryPrimitives.ReadUInt16BigEndian(rest[20..]));
                rest = rest[Math.Min((length + 3) & ~3, rest.Length)..];
            }
        }
    }

    /// <summary>With itself: such a connection never comes over an interface.</summary>
    private static bool IsLocal(ReadOnlySpan<byte> source, ReadOnlySpan<byte> destination, int family) =>
        family == Libc.AfInet
            ? destination[0] == 127 || source[..4].SequenceEqual(destination[..4])
            : source.SequenceEqual(destination);
}
