namespace Accel.Wire;

/// <summary>What an IP packet carries: the protocol of IPv4, the next header of IPv6.</summary>
public enum IpProtocol : byte
{
    HopByHop = 0,
    Icmp = 1,
    Tcp = 6,
    Udp = 17,
    Routing = 43,
    Fragment = 44,
    Esp = 50,
    Authentication = 51,
    Icmpv6 = 58,
    NoNext = 59,
    DestinationOptions = 60,
    Mobility = 135,
    Hip = 139,
    Shim6 = 140,
}
