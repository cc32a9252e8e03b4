using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>Socket options as the engine wants them: read from where they are kept, whenever one has changed.</summary>
public static unsafe class NicOptions
{
    private const int TcpMaxSegment = 2, TcpKeepIdle = 4, TcpKeepInterval = 5, TcpKeepCount = 6, TcpSynCount = 7;
    private const int TcpLinger2 = 8, TcpWindowClamp = 10, TcpQuickAck = 12, TcpCongestion = 13, TcpUserTimeout = 18;
    private const int IpTos = 1, IpTtl = 2, Ipv6Hops = 16, Ipv6TrafficClass = 67;

    /// <summary>True if an option means something to the engine.</summary>
    public static bool Concerns(int level, int name) => level switch
    {
        So.IPPROTO_TCP => name is So.TCP_NODELAY or So.TCP_CORK or TcpMaxSegment or TcpKeepIdle or TcpKeepInterval
            or TcpKeepCount or TcpSynCount or TcpLinger2 or TcpWindowClamp or TcpQuickAck or TcpCongestion
            or TcpUserTimeout,
        So.IPPROTO_IP => name is IpTos or IpTtl,
        So.IPPROTO_IPV6 => name is Ipv6Hops or Ipv6TrafficClass,
        _ => level == So.SOL_SOCKET && name is So.KEEPALIVE or So.RCVBUF or So.RCVBUFFORCE,
    };

    /// <summary>An option of a socket has changed.</summary>
    public static void Changed(PosixStack s, AccelThread* t, Socket* socket, int fd, int level, int name)
    {
        if (level != So.SOL_SOCKET && name is not (So.TCP_NODELAY or So.TCP_CORK))
            Interlocked.Or(ref socket->Flags, (uint)SocketFlags.NicTuned);
        if (s.Nic is not { } nic)
            return;
        if (socket->State == (uint)SocketState.Listening && socket->Region == nic.RegionNumber)
            NicListener.Tune(s, t, nic, socket, fd);
        else if (socket->State is (uint)SocketState.Connected or (uint)SocketState.Connecting
            && s.Sides(socket, out Wire wire) && NicConnector.IsOverNic(wire))
            nic.Configure(t, wire.Index, Read(s, socket, fd));
    }

    /// <summary>All that the engine heeds, as it is set now.</summary>
    public static NicSettings Read(PosixStack s, Socket* socket, int fd)
    {
        NicSettings settings = default;
        if (socket->Options[SocketOptionTable.NoDelay] != 0)
            settings.Flags |= NicSettingFlags.NoDelay;
        if (socket->Options[SocketOptionTable.Cork] != 0)
            settings.Flags |= NicSettingFlags.Cork;
        if (socket->Options[SocketOptionTable.Keepalive] != 0)
            settings.Flags |= NicSettingFlags.Keepalive;
        if (socket->Is(SocketFlags.ReceiveBufferSet))
            settings.Flags |= NicSettingFlags.ReceiveFixed;
        if (!socket->Is(SocketFlags.NicTuned) || !socket->Is(SocketFlags.OwnsKernelSocket))
            return settings;
        settings.KeepaliveTimeSeconds = Int(s, fd, So.IPPROTO_TCP, TcpKeepIdle);
        settings.KeepaliveIntervalSeconds = Int(s, fd, So.IPPROTO_TCP, TcpKeepInterval);
        settings.KeepaliveProbes = (byte)Int(s, fd, So.IPPROTO_TCP, TcpKeepCount);
        settings.MaxSegment = (ushort)AskedSegment(s, socket, fd);
        settings.SynRetries = (byte)Int(s, fd, So.IPPROTO_TCP, TcpSynCount);
        settings.UserTimeoutMillis = Int(s, fd, So.IPPROTO_TCP, TcpUserTimeout);
        settings.Linger2Seconds = (int)Int(s, fd, So.IPPROTO_TCP, TcpLinger2);
        settings.WindowClamp = Int(s, fd, So.IPPROTO_TCP, TcpWindowClamp);
        bool v6 = socket->Family == Af.INET6;
        int ip = v6 ? So.IPPROTO_IPV6 : So.IPPROTO_IP;
        settings.Tos = (byte)Int(s, fd, ip, v6 ? Ipv6TrafficClass : IpTos);
        settings.Ttl = (byte)Int(s, fd, ip, v6 ? Ipv6Hops : IpTtl);
        settings.Congestion = Congestion(s, fd);
        return settings;
    }

    /// <summary>TCP_MAXSEG as the kernel's socket has it, which is not connected; its own default is none.</summary>
    private static uint AskedSegment(PosixStack s, Socket* socket, int fd)
    {
        const uint KernelDefault = 536;
        uint size = socket->Is(SocketFlags.OwnsKernelSocket) ? Int(s, fd, So.IPPROTO_TCP, TcpMaxSegment) : 0;
        return size == KernelDefault ? 0 : size;
    }

    private static uint Int(PosixStack s, int fd, int level, int name)
    {
        int value = 0;
        uint length = sizeof(int);
        return s.Kernel.GetSockOpt(fd, level, name, &value, &length) >= 0 && value > 0 ? (uint)value : 0;
    }

    /// <summary>"reno" by name; whatever else the kernel runs is CUBIC here.</summary>
    private static byte Congestion(PosixStack s, int fd)
    {
        const int NameBytes = 16;
        byte* name = stackalloc byte[NameBytes];
        uint length = NameBytes;
        if (s.Kernel.GetSockOpt(fd, So.IPPROTO_TCP, TcpCongestion, name, &length) < 0)
            return 0;
        bool reno = name[0] == 'r' && name[1] == 'e' && name[2] == 'n' && name[3] == 'o' && name[4] == 0;
        return (byte)(reno ? Core.Tcp.CongestionAlgorithm.Reno + 1 : 0);
    }
}
