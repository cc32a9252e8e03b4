using System.Runtime.InteropServices;
using Accel.Core.Ip;
using Accel.Core.Local;

namespace Accel.Control.Mirror;

/// <summary>struct ndmsg and its attributes (linux/neighbour.h).</summary>
internal static unsafe class NeighbourReader
{
    public const int HeaderBytes = 12;
    private const int Target = 1, LinkAddress = 2;
    private const byte Use = 1, Proxy = 8;

    public static bool TryRead(in NetlinkMessage message, out NeighbourEntry entry)
    {
        entry = default;
        ReadOnlySpan<byte> body = message.Body;
        if (body.Length < HeaderBytes || Families.Of(body[0]) is not (> 0 and var family) || (body[10] & Proxy) != 0)
            return false;
        entry.Family = family;
        entry.InterfaceIndex = MemoryMarshal.Read<int>(body[4..]);
        entry.State = (NeighbourState)MemoryMarshal.Read<ushort>(body[8..]);
        bool hasAddress = false;
        foreach (NetlinkAttribute attribute in message.After(HeaderBytes))
        {
            if (attribute.Type == Target)
                (entry.AddressLow, entry.AddressHigh) = attribute.Address;
            else if (attribute.Type == LinkAddress && attribute.Value.Length == 6)
            {
                fixed (byte* mac = entry.Mac)
                    attribute.Value.CopyTo(new Span<byte>(mac, 6));
                hasAddress = true;
            }
        }
        // A state that says "usable" is of no use without an Ethernet address (tunnels, loopback).
        if (!hasAddress)
            entry.State &= ~NeighbourState.Usable;
        return true;
    }

    /// <summary>A request that makes the kernel look for a neighbour as if it had something to send.</summary>
    public static byte[] RequestUse(int interfaceIndex, in Endpoint neighbour)
    {
        int addressBytes = neighbour.Family == Endpoint.V4 ? 4 : 16;
        byte[] body = new byte[HeaderBytes + 4 + addressBytes];
        body[0] = Families.ToLinux(neighbour.Family);
        MemoryMarshal.Write(body.AsSpan(4), interfaceIndex);
        body[10] = Use;
        MemoryMarshal.Write(body.AsSpan(12), (ushort)(4 + addressBytes));
        MemoryMarshal.Write(body.AsSpan(14), (ushort)Target);
        fixed (byte* address = neighbour.Address)
            new ReadOnlySpan<byte>(address, addressBytes).CopyTo(body.AsSpan(16));
        return body;
    }
}
