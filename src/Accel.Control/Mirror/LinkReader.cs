using System.Runtime.InteropServices;
using System.Text;
using Accel.Core.Ip;

namespace Accel.Control.Mirror;

/// <summary>struct ifinfomsg and its attributes (linux/if_link.h).</summary>
internal static unsafe class LinkReader
{
    public const int HeaderBytes = 16;
    private const int Address = 1, Name = 3, Mtu = 4, Lower = 5, Master = 10, Info = 18, AfSpec = 26, TxQueues = 31;
    private const int RxQueues = 32, GsoMaxSegments = 40, GsoMaxSize = 41, InfoKind = 1;
    private const int AfInet6 = 10, Inet6Conf = 2, Loopback = 772;

    /// <summary>Indices into the IPv6 settings (DEVCONF_ of linux/ipv6.h).</summary>
    private const int Mtu6 = 2, UseTemporary = 10, UseOptimistic = 34, UseOifAddressesOnly = 37;

    /// <summary>A request for all links, without their statistics (RTEXT_FILTER_SKIP_STATS).</summary>
    public static byte[] Request()
    {
        byte[] body = new byte[HeaderBytes + 8];
        MemoryMarshal.Write(body.AsSpan(16), (ushort)8);
        MemoryMarshal.Write(body.AsSpan(18), (ushort)29);
        MemoryMarshal.Write(body.AsSpan(20), 1u << 3);
        return body;
    }

    public static bool TryRead(in NetlinkMessage message, out LinkEntry link)
    {
        link = default;
        if (message.Body.Length < HeaderBytes)
            return false;
        link.HardwareType = MemoryMarshal.Read<ushort>(message.Body[2..]);
        link.Index = MemoryMarshal.Read<int>(message.Body[4..]);
        link.Flags = MemoryMarshal.Read<uint>(message.Body[8..]);
        foreach (NetlinkAttribute attribute in message.After(HeaderBytes))
            Take(attribute, ref link);
        if (link.HardwareType == Loopback)
            link.Kind = LinkKind.Loopback;
        // Both ends of a veth are on this host; all the others lead out of it, or may.
        link.PeerOnHost = (byte)(link.Kind is LinkKind.Veth or LinkKind.Loopback ? 1 : 0);
        return link.Index > 0;
    }

    private static void Take(in NetlinkAttribute attribute, ref LinkEntry link)
    {
        switch (attribute.Type)
        {
            case Address when attribute.Value.Length == 6:
                fixed (byte* mac = link.Mac)
                    attribute.Value.CopyTo(new Span<byte>(mac, 6));
                break;
            case Name when attribute.Value.Length <= LinkEntry.NameBytes:
                fixed (byte* name = link.Name)
                    attribute.Value.CopyTo(new Span<byte>(name, LinkEntry.NameBytes));
                break;
            case Mtu:
                link.Mtu = attribute.U32;
                break;
            case Lower:
                link.Lower = (int)attribute.U32;
                break;
            case Master:
                link.Master = (int)attribute.U32;
                break;
            case TxQueues:
                link.TxQueues = attribute.U32;
                break;
            case RxQueues:
                link.RxQueues = attribute.U32;
                break;
            case GsoMaxSegments:
                link.MaxGsoSegments = attribute.U32;
                break;
            case GsoMaxSize:
                link.MaxGsoBytes = attribute.U32;
                break;
            case Info:
                foreach (NetlinkAttribute part in attribute.Nested)
                    if (part.Type == InfoKind)
                        link.Kind = KindOf(Encoding.ASCII.GetString(part.Value).TrimEnd('\0'));
                break;
            case AfSpec:
                foreach (NetlinkAttribute family in attribute.Nested)
                    if (family.Type == AfInet6)
                        TakeIpv6(family, ref link);
                break;
        }
    }

    private static void TakeIpv6(in NetlinkAttribute family, ref LinkEntry link)
    {
        foreach (NetlinkAttribute part in family.Nested)
        {
            if (part.Type != Inet6Conf)
                continue;
            ReadOnlySpan<int> settings = MemoryMarshal.Cast<byte, int>(part.Value);
            link.Mtu6 = (uint)Setting(settings, Mtu6);
            link.Source6 = (ushort)((Setting(settings, UseTemporary) >= 2 ? LinkEntry.PrefersTemporary : 0)
                | (Setting(settings, UseOifAddressesOnly) > 0 ? LinkEntry.OwnAddressesOnly : 0)
                | (Setting(settings, UseOptimistic) > 0 ? LinkEntry.UsesOptimistic : 0));
        }
    }

    private static int Setting(ReadOnlySpan<int> settings, int index) =>
        index < settings.Length ? settings[index] : 0;

    private static LinkKind KindOf(string kind) => kind switch
    {
        "veth" => LinkKind.Veth,
        "bridge" => LinkKind.Bridge,
        "vlan" => LinkKind.Vlan,
        "bond" or "team" => LinkKind.Bond,
        "macvlan" => LinkKind.Macvlan,
        "ipvlan" => LinkKind.Ipvlan,
        "tun" => LinkKind.Tun,
        "vrf" => LinkKind.Vrf,
        _ => LinkKind.Other,
    };
}
