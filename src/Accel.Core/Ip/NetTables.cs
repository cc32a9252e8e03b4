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
    public int InterfaceIndex;

    /// <summary>The neighbour to send to: the gateway, or the destination itself. Port 0.</summary>
    public Endpoint NextHop;

    /// <summary>The source address that the kernel would choose. Port 0.</summary>
    public Endpoint Source;

    /// <summary>In bytes.</summary>
    public uint Mtu;

    /// <summary>RTAX_ADVMSS, RTAX_INITCWND and so on if the route sets them; 0 if not.</summary>
    public uint AdvertisedMss;
    public uint InitialWindow;
}

/// <summary>
/// The control plane's mirror of the kernel's addresses, routes and neighbours: a read-only region that acceld writes
/// and everybody else reads without a lock (each table has a sequence count; a reader that meets a change reads again).
/// </summary>
public readonly unsafe partial struct NetTables(byte* address)
{
    public byte* Address => address;

    public bool IsMapped => address != null;
}
