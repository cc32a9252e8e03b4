using Accel.Core.Local;

namespace Accel.Core.Ip;

/// <summary>What the routes say of a destination.</summary>
public enum RouteKind : byte
{
    /// <summary>No route: the kernel says ENETUNREACH.</summary>
    None = 0,

    /// <summary>To a neighbour, or over one.</summary>
    Unicast,

    /// <summary>An address of this namespace.</summary>
    Local,

    /// <summary>Broadcast, multicast, blackhole, tunnels, rules that need the kernel: not for us.</summary>
    Kernel,
}

/// <summary>The route to a destination.</summary>
public struct Route
{
    public RouteKind Kind;

    /// <summary>RTAX_HOPLIMIT if the route sets it; 0 if not.</summary>
    public byte HopLimit;

    /// <summary>The MTU is the route's own and locked (RTAX_LOCK): no path MTU discovery below it.</summary>
    public bool MtuLocked;
    public int InterfaceIndex;

    /// <summary>
    /// The neighbour to send to: the gateway, or the destination itself. Port 0. The gateway of an IPv4 route may be an
    /// IPv6 address. The scope of a link-local one is the interface.
    /// </summary>
    public Endpoint NextHop;

    /// <summary>The source address that the kernel would choose, or the one that was given. Port 0.</summary>
    public Endpoint Source;

    /// <summary>In bytes.</summary>
    public uint Mtu;

    /// <summary>RTAX_ADVMSS, RTAX_INITCWND and RTAX_INITRWND if the route sets them; 0 if not.</summary>
    public uint AdvertisedMss;
    public uint InitialWindow;
    public uint InitialReceiveWindow;
}
