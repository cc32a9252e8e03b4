using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Wire;

namespace Accel.Core.Nic;

/// <summary>
/// What stands before the TCP header in every frame of a connection, ready to be copied: Ethernet, a VLAN tag if there
/// is one, IP. Made anew when one of the fields is another that it was made from; names never are.
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = 104)]
public unsafe struct NicHeaders
{
    /// <summary>Of Ethernet, a VLAN tag and IP. Always copied whole: two moves.</summary>
    public const int MaxLength = EthernetHeader.Length + VlanHeader.Length + Ipv6Header.Length;
    private const int Room = 64;
    private const byte DefaultTtl = 64;

    /// <summary>RFC 3168 5: the two bits that each packet has for itself.</summary>
    private const int EcnMask = 3;

    [FieldOffset(0)] private fixed byte _bytes[Room];

    /// <summary>0: there is nothing yet.</summary>
    [FieldOffset(64)] private byte _length;
    [FieldOffset(65)] private byte _ipAt;
    [FieldOffset(66)] private bool _isV6;

    /// <summary>Sum of what never changes in the IPv4 header, and of TCP's pseudo header without the length.</summary>
    [FieldOffset(68)] private uint _ipSum;
    [FieldOffset(72)] private uint _pseudoSum;

    // What they were made from.
    [FieldOffset(76)] private uint _vlan;
    [FieldOffset(80)] private MacAddress _to;
    [FieldOffset(86)] private MacAddress _from;
    [FieldOffset(92)] private uint _flowLabel;
    [FieldOffset(96)] private byte _ttl;
    [FieldOffset(97)] private byte _tos;

    /// <summary>True if they are those of a route of the same names, as it is now.</summary>
    public readonly bool Are(in NicRoute route, MacAddress from) =>
        _length != 0 && _to == route.Mac && _from == from && _vlan == route.Vlan && _flowLabel == route.FlowLabel
        && _ttl == route.Ttl && _tos == route.Tos;

    public void Make(in NicRoute route, MacAddress from)
    {
        (_to, _from, _vlan, _flowLabel) = (route.Mac, from, route.Vlan, route.FlowLabel);
        (_ttl, _tos) = (route.Ttl, route.Tos);
        _isV6 = route.Local.Family == Endpoint.V6;
        Span<byte> to = MemoryMarshal.CreateSpan(ref _bytes[0], Room);
        int at = WriteEthernet(to, in route, from, _isV6 ? EtherType.Ipv6 : EtherType.Ipv4);
        _ipAt = (byte)at;
        byte tos = (byte)(route.Tos & ~EcnMask);
        byte ttl = route.Ttl == 0 ? DefaultTtl : route.Ttl;
        at += _isV6 ? WriteV6(to[at..], in route, tos, ttl) : WriteV4(to[at..], in route, tos, ttl);
        _ipSum = _isV6 ? 0 : Ipv4Header.ConstantSum(to[_ipAt..]);
        _pseudoSum = _isV6
            ? Checksum.PseudoV6(AddressOf(in route.Local), AddressOf(in route.Remote), IpProtocol.Tcp, 0)
            : Checksum.PseudoV4(
                (uint)route.Local.AddressLow, (uint)route.Remote.AddressLow, IpProtocol.Tcp, 0);
        to[at..].Clear();
        _length = (byte)at;
    }

    /// <summary>
    /// Writes them before a TCP segment of so many bytes. Returns their length, 0 if there is not room for the longest.
    /// The sum is that of TCP's pseudo header.
    /// </summary>
    public readonly int WriteTo(Span<byte> to, int segment, ushort identification, byte ecn, out uint pseudoSum)
    {
        pseudoSum = Checksum.AddWord(_pseudoSum, (ushort)segment);
        if (to.Length < Room || _length > MaxLength || _ipAt >= _length)
            return 0;
        Unsafe.CopyBlockUnaligned(ref to[0], in _bytes[0], Room);
        if (_isV6)
            Ipv6Header.Adapt(to[_ipAt..], segment, (byte)(ecn & EcnMask));
        else
            Ipv4Header.Adapt(to[_ipAt..], _ipSum, segment, identification, (byte)(ecn & EcnMask));
        return _length;
    }

    private static int WriteEthernet(Span<byte> to, in NicRoute route, MacAddress from, EtherType type)
    {
        EthernetHeader ethernet = new()
        {
            Destination = route.Mac,
            Source = from,
            EtherType = route.Vlan != 0 ? EtherType.Vlan : type,
        };
        int at = ethernet.WriteTo(to);
        if (route.Vlan == 0)
            return at;
        VlanHeader vlan = new()
        {
            Priority = (byte)(route.Vlan >> 13 & 7),
            Id = (ushort)(route.Vlan & 0xFFF),
            EtherType = type,
        };
        return at + vlan.WriteTo(to[at..]);
    }

    private static int WriteV4(Span<byte> to, in NicRoute route, byte tos, byte ttl)
    {
        Ipv4Header ip = new()
        {
            Tos = tos,
            DontFragment = true,
            Ttl = ttl,
            Protocol = IpProtocol.Tcp,
            Source = (uint)route.Local.AddressLow,
            Destination = (uint)route.Remote.AddressLow,
        };
        return ip.WriteTo(to);
    }

    private static int WriteV6(Span<byte> to, in NicRoute route, byte tos, byte ttl)
    {
        Ipv6Header ip = new()
        {
            TrafficClass = tos,
            FlowLabel = route.FlowLabel,
            NextHeader = IpProtocol.Tcp,
            HopLimit = ttl,
            Source = AddressOf(in route.Local),
            Destination = AddressOf(in route.Remote),
        };
        return ip.WriteTo(to);
    }

    private static Ipv6Address AddressOf(in Endpoint end) => new(end.AddressLow, end.AddressHigh);
}
