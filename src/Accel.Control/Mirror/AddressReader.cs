using System.Runtime.InteropServices;
using Accel.Control.Native;
using Accel.Core.Ip;
using Accel.Core.Local;

namespace Accel.Control.Mirror;

/// <summary>struct ifaddrmsg and its attributes (linux/if_addr.h).</summary>
internal static class AddressReader
{
    public const int HeaderBytes = 8;
    private const int Address = 1, Local = 2, Flags = 8;

    public static bool TryRead(in NetlinkMessage message, out AddressEntry entry)
    {
        entry = default;
        ReadOnlySpan<byte> body = message.Body;
        if (body.Length < HeaderBytes || Families.Of(body[0]) is not (> 0 and var family))
            return false;
        entry.Family = family;
        entry.PrefixLength = body[1];
        entry.Flags = body[2];
        entry.Scope = body[3];
        entry.InterfaceIndex = MemoryMarshal.Read<int>(body[4..]);
        bool hasLocal = false;
        foreach (NetlinkAttribute attribute in message.After(HeaderBytes))
        {
            if (attribute.Type == Local)
            {
                (entry.AddressLow, entry.AddressHigh) = attribute.Address;
                hasLocal = true;
            }
            else if (attribute.Type == Address)
                (entry.PeerLow, entry.PeerHigh) = attribute.Address;
            else if (attribute.Type == Flags)
                entry.Flags = attribute.U32;
        }
        // Only a point-to-point address names both.
        if (!hasLocal)
            (entry.AddressLow, entry.AddressHigh) = (entry.PeerLow, entry.PeerHigh);
        return true;
    }
}

/// <summary>Linux's numbers of the address families, and ours.</summary>
internal static class Families
{
    public static byte Of(byte linux) => linux switch
    {
        Libc.AfInet => Endpoint.V4,
        Libc.AfInet6 => Endpoint.V6,
        _ => Endpoint.None,
    };

    public static byte ToLinux(byte family) => (byte)(family == Endpoint.V4 ? Libc.AfInet : Libc.AfInet6);
}
