using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Ip;

/// <summary>What a link is made of, as far as it matters here.</summary>
public enum LinkKind : byte
{
    /// <summary>A device without a kind: a network card, or a driver that names none.</summary>
    Device = 0,
    Loopback,
    Veth,
    Bridge,
    Vlan,
    Bond,
    Macvlan,
    Ipvlan,
    Tun,
    Vrf,
    Other,
}

/// <summary>A network interface.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = Bytes)]
public unsafe struct LinkEntry
{
    public const int Bytes = 128, NameBytes = 16;

    /// <summary>IFF_UP, IFF_RUNNING (linux/if.h).</summary>
    public const uint Up = 1, Running = 0x40;

    /// <summary>IPv6 settings of the interface that the choice of a source address depends on.</summary>
    public const ushort PrefersTemporary = 1, OwnAddressesOnly = 2, UsesOptimistic = 4;

    [FieldOffset(0)] public int Index;

    /// <summary>IFF_ flags.</summary>
    [FieldOffset(4)] public uint Flags;
    [FieldOffset(8)] public uint Mtu;

    /// <summary>MTU for IPv6, which a router can lower; 0 if the interface has no IPv6.</summary>
    [FieldOffset(12)] public uint Mtu6;
    [FieldOffset(16)] public fixed byte Name[NameBytes];
    [FieldOffset(32)] public fixed byte Mac[8];

    /// <summary>ARPHRD_: 1 is Ethernet.</summary>
    [FieldOffset(40)] public ushort HardwareType;
    [FieldOffset(42)] public LinkKind Kind;

    /// <summary>The other end is on this host, in this namespace or another.</summary>
    [FieldOffset(43)] public byte PeerOnHost;
    [FieldOffset(44)] public ushort Source6;

    /// <summary>Bridge, bond or VRF that it belongs to; 0 if none.</summary>
    [FieldOffset(48)] public int Master;

    /// <summary>Interface that a VLAN or MACVLAN sits on, or the peer of a veth (in its own namespace's numbering).
    /// </summary>
    [FieldOffset(52)] public int Lower;
    [FieldOffset(56)] public uint RxQueues;
    [FieldOffset(60)] public uint TxQueues;
    [FieldOffset(64)] public uint MaxGsoBytes;
    [FieldOffset(68)] public uint MaxGsoSegments;

    public readonly bool IsUp => (Flags & Up) != 0;
}

/// <summary>An address of an interface. Sorted by interface, then in the kernel's order.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = Bytes)]
public struct AddressEntry
{
    public const int Bytes = 64;

    /// <summary>
    /// IFA_F_ flags (linux/if_addr.h). 1 is "secondary" of an IPv4 and "temporary" of an IPv6 address.
    /// </summary>
    public const uint Secondary = 1, Temporary = 1, Optimistic = 4, DadFailed = 8, HomeAddress = 0x10,
        Deprecated = 0x20, Tentative = 0x40;

    /// <summary>As <c>Endpoint.AddressLow</c> and <c>AddressHigh</c>.</summary>
    [FieldOffset(0)] public ulong AddressLow;
    [FieldOffset(8)] public ulong AddressHigh;

    /// <summary>The other end of a point-to-point link, else the address itself: the prefix is this one's.</summary>
    [FieldOffset(16)] public ulong PeerLow;
    [FieldOffset(24)] public ulong PeerHigh;
    [FieldOffset(32)] public int InterfaceIndex;
    [FieldOffset(36)] public uint Flags;
    [FieldOffset(40)] public byte Family;
    [FieldOffset(41)] public byte PrefixLength;

    /// <summary>RT_SCOPE_.</summary>
    [FieldOffset(42)] public byte Scope;
}

/// <summary>A rule that says which table to ask. In order of asking.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = Bytes)]
public struct RuleEntry
{
    public const int Bytes = 64;

    /// <summary>It depends on what is not known here (marks, users, ports, ...), or does what is not done here.
    /// </summary>
    public const byte Unusual = 1;

    /// <summary>It applies where the prefixes do not.</summary>
    public const byte Inverted = 2;

    [FieldOffset(0)] public uint Priority;
    [FieldOffset(4)] public uint Table;
    [FieldOffset(8)] public byte Family;
    [FieldOffset(9)] public byte Flags;
    [FieldOffset(10)] public byte FromLength;
    [FieldOffset(11)] public byte ToLength;

    /// <summary>Routes with a shorter prefix than this are passed over (suppress_prefixlength, plus one).</summary>
    [FieldOffset(12)] public byte ShortestPrefix;
    [FieldOffset(16)] public Prefix From;
    [FieldOffset(32)] public Prefix To;
}

/// <summary>
/// The routes of one family, table and prefix length: a run of the routes, sorted by prefix. Runs are sorted by family,
/// table, and length, longest first.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = Bytes)]
public struct RouteRun
{
    public const int Bytes = 16;

    [FieldOffset(0)] public uint Table;
    [FieldOffset(4)] public byte Family;
    [FieldOffset(5)] public byte PrefixLength;
    [FieldOffset(8)] public int Start;
    [FieldOffset(12)] public int Count;
}

/// <summary>A route. Those of one prefix stand together, in the order in which the kernel tries them.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = Bytes)]
public struct RouteEntry
{
    public const int Bytes = 128;

    /// <summary>RTN_ types.</summary>
    public const byte Unicast = 1, Local = 2, Broadcast = 3, Anycast = 4, Multicast = 5, Blackhole = 6,
        Unreachable = 7, Prohibit = 8, Throw = 9;

    /// <summary>
    /// Several next hops, a tunnel, a type of service, a source prefix, a link that is down: the kernel decides.
    /// </summary>
    public const byte Unusual = 1;
    public const byte MtuLocked = 2;

    /// <summary>For one type of service only. Unusual, too.</summary>
    public const byte HasService = 4;

    [FieldOffset(0)] public Prefix Prefix;

    /// <summary>As <c>Endpoint.AddressLow</c> and <c>AddressHigh</c>.</summary>
    [FieldOffset(16)] public ulong GatewayLow;
    [FieldOffset(24)] public ulong GatewayHigh;
    [FieldOffset(32)] public ulong SourceLow;
    [FieldOffset(40)] public ulong SourceHigh;
    [FieldOffset(48)] public uint Table;
    [FieldOffset(52)] public uint Metric;
    [FieldOffset(56)] public int InterfaceIndex;
    [FieldOffset(60)] public byte Family;
    [FieldOffset(61)] public byte PrefixLength;
    [FieldOffset(62)] public byte Type;
    [FieldOffset(63)] public byte Scope;

    /// <summary>0 if there is no gateway. An IPv4 route may go over an IPv6 one.</summary>
    [FieldOffset(64)] public byte GatewayFamily;

    /// <summary>0 if the route names no source.</summary>
    [FieldOffset(65)] public byte SourceFamily;
    [FieldOffset(66)] public byte Flags;

    /// <summary>RTPROT_.</summary>
    [FieldOffset(67)] public byte Protocol;

    /// <summary>RTAX_ metrics, 0 where the route sets none.</summary>
    [FieldOffset(68)] public uint Mtu;
    [FieldOffset(72)] public uint AdvertisedMss;
    [FieldOffset(76)] public uint InitialWindow;
    [FieldOffset(80)] public uint InitialReceiveWindow;
    [FieldOffset(84)] public uint HopLimit;
}

/// <summary>A neighbour, in an open hash table.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = Bytes)]
public unsafe struct NeighbourEntry
{
    public const int Bytes = 32;

    /// <summary>As <c>Endpoint.AddressLow</c> and <c>AddressHigh</c>.</summary>
    [FieldOffset(0)] public ulong AddressLow;
    [FieldOffset(8)] public ulong AddressHigh;
    [FieldOffset(16)] public int InterfaceIndex;

    /// <summary>0 = the slot is empty.</summary>
    [FieldOffset(20)] public byte Family;
    [FieldOffset(21)] public NeighbourState State;
    [FieldOffset(22)] public fixed byte Mac[8];

    public static uint Hash(int interfaceIndex, ulong low, ulong high)
    {
        ulong mixed = unchecked((low ^ (high * 0x9E3779B97F4A7C15) ^ (uint)interfaceIndex) * 0xD6E8FEB86659FD93);
        return (uint)(mixed >> 32) ^ (uint)mixed >> 7;
    }
}
