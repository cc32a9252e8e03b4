using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Wire;

namespace Accel.Core.Udp;

/// <summary>What is known of the way to a destination.</summary>
public enum UdpWayState : uint
{
    Unknown = 0,
    Ours,

    /// <summary>By loopback, another interface, or not at all.</summary>
    Kernel,

    /// <summary>By one of our links, but the next hop's hardware address is not known yet.</summary>
    NoNeighbour,
}

/// <summary>
/// The way to a destination, remembered: route, source address, next hop's hardware address. Good as long as the tables
/// have the version that it was looked up in.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 128)]
public struct UdpWay
{
    [FieldOffset(0)] public Endpoint Destination;

    /// <summary>The source address that the socket has; none: the route chooses.</summary>
    [FieldOffset(24)] public Endpoint Wanted;
    [FieldOffset(48)] public Endpoint Source;
    [FieldOffset(72)] public uint Version;
    [FieldOffset(76)] public UdpWayState State;
    [FieldOffset(80)] public uint Mtu;

    /// <summary>RFC 1191, RFC 8201: learned from an ICMP error, and until when it is believed.</summary>
    [FieldOffset(84)] public uint PathMtu;
    [FieldOffset(88)] public long PathMtuUntilNs;
    [FieldOffset(96)] public MacAddress Mac;
    [FieldOffset(104)] public int InterfaceIndex;
    [FieldOffset(108)] public byte Link;

    /// <summary>The route's, 0 if it sets none.</summary>
    [FieldOffset(109)] public byte HopLimit;

    /// <summary>1: the next hop was not heard of lately. The kernel sends one datagram, and so looks for it.</summary>
    [FieldOffset(110)] public byte Doubt;
}
