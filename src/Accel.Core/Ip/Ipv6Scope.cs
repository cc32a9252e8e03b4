using Accel.Core.Local;

namespace Accel.Core.Ip;

/// <summary>Kinds of IPv6 addresses, as the choice of a source address needs them (RFC 6724, RFC 4291).</summary>
internal static class Ipv6Scope
{
    public const int Host = 1, Link = 2, Site = 5, Global = 14;

    private static bool IsLinkLocal(in Prefix address) => address.High >> 54 == 0xFE80 >> 6;

    public static bool IsMulticast(in Prefix address) => address.High >> 56 == 0xFF;

    /// <summary>RFC 6724 3.1, of a unicast address.</summary>
    public static int Of(in Prefix address)
    {
        if (IsLinkLocal(address))
            return Link;
        // RFC 3879: deprecated, but Linux still orders by it.
        if (address.High >> 54 == 0xFEC0 >> 6)
            return Site;
        return IsLoopback(address) ? Host : Global;
    }

    public static bool IsLoopback(in Prefix address) => address.High == 0 && address.Low == 1;

    /// <summary>RFC 6724 2.1, with the additions of Linux's own default table.</summary>
    public static int Label(in Prefix a)
    {
        if (a.High == 0)
        {
            if (a.Low == 1)
                return 0;
            return a.Low >> 32 == 0 ? 3 : a.Low >> 32 == 0xFFFF ? 4 : 1;
        }
        if (a.High >> 57 == 0xFC >> 1)
            return 5;
        if (a.High >> 54 == 0xFEC0 >> 6)
            return 11;
        return (a.High >> 48) switch
        {
            0x2002 => 2,
            0x3FFE => 12,
            0x2001 when (a.High >> 32 & 0xFFFF) == 0 => 6,
            0x2001 when (a.High >> 36 & 0xFFF) == 1 => 7,
            _ => 1,
        };
    }

    /// <summary>RFC 4843: 2001:10::/28.</summary>
    public static bool IsOrchid(in Prefix a) => a.High >> 36 == 0x2001001;
}
