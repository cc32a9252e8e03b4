using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// struct tcp_info. Of a local connection the states and counts are true; what only packets have (rtt, cwnd) is what
/// loopback shows at best.
/// </summary>
public static unsafe class TcpInfo
{
    /// <summary>Of linux/tcp.h of 6.18. Older kernels give less, and so do we.</summary>
    public const int MaxBytes = 280;

    private static uint s_bytes;

    private const byte Established = 1, FinWait2 = 5, Closed = 7, CloseWait = 8, Listen = 10, SynSent = 2;
    private const uint LoopbackMss = 65483, LoopbackMtu = 65535;
    private const int IpMtu = 14, Ipv6Mtu = 24;

    /// <summary>As much of the structure as this kernel knows.</summary>
    public static uint BytesOf(IKernel kernel)
    {
        if (s_bytes != 0)
            return s_bytes;
        byte* info = stackalloc byte[MaxBytes];
        uint length = MaxBytes;
        int fd = kernel.Socket(Af.INET, Af.SOCK_STREAM | Af.SOCK_CLOEXEC, 0);
        bool answers = fd >= 0 && kernel.GetSockOpt(fd, So.IPPROTO_TCP, So.TCP_INFO, info, &length) >= 0;
        if (fd >= 0)
            kernel.Close(fd);
        if (answers)
            s_bytes = length;
        return answers ? length : MaxBytes;
    }

    public static void Fill(PosixStack s, AccelThread* t, Socket* socket, byte* info)
    {
        NativeMemory.Clear(info, MaxBytes);
        info[0] = State(s, socket);
        if (socket->State == (uint)SocketState.Listening)
        {
            Listener* listener = s.Region(socket->Region).ListenerAt((int)socket->Index);
            *(uint*)(info + 24) = (uint)Math.Max(0, listener->Queued);
            *(uint*)(info + 28) = listener->Backlog;
            return;
        }
        if (socket->State is not ((uint)SocketState.Connected or (uint)SocketState.Connecting)
            || !s.Sides(socket, out Wire wire))
            return;
        if (NicConnector.IsOverNic(wire))
        {
            NicInfo.TryFill(s, t, wire, info);
            return;
        }
        if (socket->State != (uint)SocketState.Connected)
            return;
        // Offsets of linux/tcp.h: snd_mss 16, rcv_mss 20, rtt 68, snd_ssthresh 76, snd_cwnd 80, advmss 84, bytes_acked
        // 120, bytes_received 128.
        *(uint*)(info + 16) = LoopbackMss;
        *(uint*)(info + 20) = LoopbackMss;
        *(uint*)(info + 68) = 1;
        *(uint*)(info + 76) = int.MaxValue;
        *(uint*)(info + 80) = 10;
        *(uint*)(info + 84) = LoopbackMss;
        *(ulong*)(info + 120) = wire.Out->Head;
        *(ulong*)(info + 128) = wire.In->Tail;
    }

    /// <summary>
    /// TCP_MAXSEG, IP_MTU, IPV6_MTU of a connection, which the kernel's socket knows nothing of. 0: another option, or
    /// no connection.
    /// </summary>
    public static uint OfConnection(PosixStack s, AccelThread* t, Socket* socket, int level, int name)
    {
        bool segment = level == So.IPPROTO_TCP && name == So.TCP_MAXSEG;
        bool mtu = (level == So.IPPROTO_IP && name == IpMtu)
            || (level == So.IPPROTO_IPV6 && name == Ipv6Mtu && socket->Family == Af.INET6);
        if ((!segment && !mtu) || socket->State != (uint)SocketState.Connected || !s.Sides(socket, out Wire wire))
            return 0;
        if (!NicConnector.IsOverNic(wire))
            return segment ? LoopbackMss : LoopbackMtu + (socket->Remote.Unmapped().Family == Endpoint.V6 ? 1u : 0);
        return NicInfo.TryRead(s, t, wire, out uint mss, out uint pmtu) ? segment ? mss : pmtu : 0;
    }

    /// <summary>The state that TCP would be in: RFC 9293 3.3.2, from who has sent a FIN and who has read it.</summary>
    public static byte State(PosixStack s, Socket* socket)
    {
        switch ((SocketState)socket->State)
        {
            case SocketState.Listening:
                return Listen;
            case SocketState.Connecting:
                return SynSent;
            case SocketState.Connected when s.Sides(socket, out Wire wire) && !socket->Is(SocketFlags.Dead):
                bool mine = (wire.Me->Flags & (uint)SideFlags.FinSent) != 0;
                bool theirs = (wire.Peer->Flags & (uint)SideFlags.FinSent) != 0;
                return mine && theirs ? Closed : mine ? FinWait2 : theirs ? CloseWait : Established;
            default:
                return Closed;
        }
    }
}
