using Accel.Core.Stack;
using Accel.Core.Udp;

namespace Accel.Posix;

/// <summary>
/// Options of UDP sockets: the kernel's socket keeps them all; those that mean something on the network path are read
/// back from it whenever one was set.
/// </summary>
public static unsafe class UdpOptions
{
    private const int TimestampNanos = 35, Timestamp = 29, RxqOverflow = 40;
    private const int IpTos = 1, IpTtl = 2, IpPacketInfo = 8, IpMtuDiscover = 10, IpReceiveTtl = 12, IpReceiveTos = 13;
    private const int V6Hops = 16, V6ReceiveInfo = 49, V6ReceiveHops = 51, V6ReceiveClass = 66, V6TrafficClass = 67;

    /// <summary>IP_PMTUDISC_DONT, IP_PMTUDISC_INTERFACE and above: no DF.</summary>
    private const int DiscoverNever = 0, DiscoverInterface = 4;

    public static long Set(
        PosixStack s, AccelThread* t, Socket* socket, int index, int fd, int level, int name, void* value, uint length)
    {
        int result = s.Kernel.SetSockOpt(fd, level, name, value, length);
        if (result < 0)
            return result;
        int row = SocketOptionTable.Find(level, name);
        OptionVerdict verdict = SocketOptionTable.OfUdp(row);
        if (verdict == OptionVerdict.Own && level == So.SOL_SOCKET)
            SocketOptions.Apply(s, socket, fd, name, value);
        if (verdict == OptionVerdict.NeedsKernel)
        {
            if (SocketOptions.IsOn(level, name, value, length))
                UdpSockets.HandOver(s, t, socket, index, fd, PathReason.OptionNeedsKernel);
            return 0;
        }
        if (verdict == OptionVerdict.KernelSends)
            Interlocked.Or(ref socket->Flags, (uint)SocketFlags.KernelSends);
        if (!UdpSockets.IsOpen(socket))
            return 0;
        if (level == So.SOL_SOCKET && name is So.RCVBUF or So.RCVBUFFORCE)
            UdpSockets.ReceiveBufferChanged(s, socket, fd);
        else if (s.Nic is { } nic)
            // Read by the engine without a lock that would help: each field is right by itself.
            nic.Engine.Udp.BindingAt((int)socket->Index)->Settings = Read(s, socket, fd);
        return 0;
    }

    public static int Int(PosixStack s, int fd, int level, int name)
    {
        int value = 0;
        uint length = sizeof(int);
        return s.Kernel.GetSockOpt(fd, level, name, &value, &length) < 0 ? 0 : value;
    }

    public static UdpSettings Read(PosixStack s, Socket* socket, int fd)
    {
        UdpSettings settings = default;
        UdpSettingFlags flags = 0;
        settings.Ttl = (byte)Int(s, fd, So.IPPROTO_IP, IpTtl);
        settings.Tos = (byte)Int(s, fd, So.IPPROTO_IP, IpTos);
        flags |= On(s, fd, So.IPPROTO_IP, IpPacketInfo, UdpSettingFlags.PacketInfo4);
        flags |= On(s, fd, So.IPPROTO_IP, IpReceiveTtl, UdpSettingFlags.ReceiveTtl4);
        flags |= On(s, fd, So.IPPROTO_IP, IpReceiveTos, UdpSettingFlags.ReceiveTos4);
        flags |= On(s, fd, So.SOL_SOCKET, RxqOverflow, UdpSettingFlags.Drops);
        flags |= On(s, fd, So.SOL_SOCKET, TimestampNanos, UdpSettingFlags.StampNanos);
        flags |= On(s, fd, So.SOL_SOCKET, Timestamp, UdpSettingFlags.StampMicros);
        flags |= On(s, fd, So.SOL_SOCKET, So.REUSEPORT, UdpSettingFlags.ReusePort);
        if (Int(s, fd, So.IPPROTO_IP, IpMtuDiscover) is DiscoverNever or >= DiscoverInterface)
            flags |= UdpSettingFlags.MayFragment;
        if (socket->Family == Af.INET6)
        {
            settings.Hops = (byte)Math.Max(0, Int(s, fd, So.IPPROTO_IPV6, V6Hops));
            settings.TrafficClass = (byte)Math.Max(0, Int(s, fd, So.IPPROTO_IPV6, V6TrafficClass));
            flags |= On(s, fd, So.IPPROTO_IPV6, V6ReceiveInfo, UdpSettingFlags.PacketInfo6);
            flags |= On(s, fd, So.IPPROTO_IPV6, V6ReceiveHops, UdpSettingFlags.ReceiveTtl6);
            flags |= On(s, fd, So.IPPROTO_IPV6, V6ReceiveClass, UdpSettingFlags.ReceiveTos6);
        }
        if (socket->Is(SocketFlags.KernelSends))
            flags |= UdpSettingFlags.KernelSends;
        settings.Flags = flags;
        return settings;
    }

    private static UdpSettingFlags On(PosixStack s, int fd, int level, int name, UdpSettingFlags flag) =>
        Int(s, fd, level, name) != 0 ? flag : 0;
}
