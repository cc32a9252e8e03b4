using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Udp;

/// <summary>Switches of <see cref="UdpSettings"/>.</summary>
[Flags]
public enum UdpSettingFlags : uint
{
    None = 0,

    /// <summary>IP_PKTINFO, IPV6_RECVPKTINFO.</summary>
    PacketInfo4 = 1,
    PacketInfo6 = 2,

    /// <summary>IP_RECVTTL, IPV6_RECVHOPLIMIT.</summary>
    ReceiveTtl4 = 4,
    ReceiveTtl6 = 8,

    /// <summary>IP_RECVTOS, IPV6_RECVTCLASS.</summary>
    ReceiveTos4 = 16,
    ReceiveTos6 = 32,

    /// <summary>SO_RXQ_OVFL, SO_TIMESTAMP, SO_TIMESTAMPNS.</summary>
    Drops = 64,
    StampMicros = 128,
    StampNanos = 256,

    /// <summary>IP_MTU_DISCOVER says that routers may cut datagrams up.</summary>
    MayFragment = 512,

    /// <summary>SO_REUSEPORT.</summary>
    ReusePort = 1024,

    /// <summary>An option that only the kernel can follow when it sends: UDP_CORK, UDP_SEGMENT and the like.</summary>
    KernelSends = 2048,
}

/// <summary>What a program asked for a UDP socket by options, as far as the network path heeds it.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 16)]
public struct UdpSettings
{
    [FieldOffset(0)] public UdpSettingFlags Flags;

    /// <summary>IP_TTL and IP_TOS; TTL 0: the route's, or 64.</summary>
    [FieldOffset(4)] public byte Ttl;
    [FieldOffset(5)] public byte Tos;

    /// <summary>IPV6_UNICAST_HOPS and IPV6_TCLASS.</summary>
    [FieldOffset(6)] public byte Hops;
    [FieldOffset(7)] public byte TrafficClass;

    public readonly bool Has(UdpSettingFlags flag) => (Flags & flag) != 0;
}
