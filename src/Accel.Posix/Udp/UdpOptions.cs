using Accel.Core.Stack;
using Accel.Core.Udp;

namespace Accel.Posix;

/// <summary>
/// Options of UDP sockets: the kernel's socket keeps them all; those that mean something on the network path are read
/// back from it whenever one was set.
/// </summary>
public static unsafe class UdpOptions
{
    private const int Mark = 36, TimestampNanos = 35, Timestamp = 29, RxqOverflow = 40, DontRoute = 5, TxTime = 61;
    private const int IpTos = 1, IpTtl = 2, IpOptionList = 4, IpPacketInfo = 8, IpMtuDiscover = 10, IpReceiveTtl = 12;
    private const int IpReceiveTos = 13;
    private const int V6Hops = 16, V6MtuDiscover = 23, V6ReceiveInfo = 49, V6ReceiveHops = 51, V6ReceiveClass = 66;
    private const int V6TrafficClass = 67, V6FlowInfoSend = 33;
    private const int UdpCork = 1, UdpSegment = 103, UdpEncapsulation = 100;

    /// <summary>IP_PMTUDISC_DONT, IP_PMTUDISC_INTERFACE and above: no DF.</summary>
    private const int DiscoverNever = 0, DiscoverInterface = 4;

    public static long Set(
        PosixStack s, AccelThread* t, Socket* socket, int index, int fd, int level, int name, void* value, uint length)
    {
        int result = s.Kernel.SetSockOpt(fd, level, name, value, length);
        if (result < 0)
            return result;
        int rule = SocketOptions.RuleOf(level, name);
        if (rule >= 0)
            SocketOptions.Apply(s, socket, fd, SocketOptions.Rules[rule], value, length);
        if (NeedsKernel(level, name))
        {
            UdpSockets.HandOver(s, t, socket, index, fd);
            return 0;
        }
        if (KernelSends(level, name))
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

    /// <summary>
    /// Filters, marks that routes may depend on, devices, hardware time stamps, encapsulation: what comes, or where it
    /// goes, is no longer for this stack to say.
    /// </summary>
    private static bool NeedsKernel(int level, int name) => level switch
    {
        So.SOL_SOCKET => name is So.BINDTODEVICE or Mark or 26 or 37 or 42 or 50 or 51 or 52 or 62 or 65,
        So.IPPROTO_IP => name is 19 or 50,
        So.IPPROTO_IPV6 => name is 1 or 75 or 76,
        So.IPPROTO_UDP => name is UdpEncapsulation,
        _ => false,
    };

    /// <summary>What is to be written into each datagram, or how many become one, is left to the kernel.</summary>
    private static bool KernelSends(int level, int name) => level switch
    {
        So.SOL_SOCKET => name is DontRoute or TxTime,
        So.IPPROTO_IP => name is IpOptionList,
        So.IPPROTO_IPV6 => name is V6FlowInfoSend or 54 or 55 or 57 or 59,
        So.IPPROTO_UDP => name is UdpCork or UdpSegment,
        _ => false,
    };

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
