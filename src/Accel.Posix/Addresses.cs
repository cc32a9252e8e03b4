using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Accel.Core.Local;

namespace Accel.Posix;

/// <summary>Between struct sockaddr and <see cref="Endpoint"/>.</summary>
public static unsafe class Addresses
{
    public const uint V4Bytes = 16, V6Bytes = 28;

    /// <summary>Reads an IPv4 or IPv6 address. False for any other family or a short one.</summary>
    public static bool TryRead(byte* address, uint length, out Endpoint endpoint)
    {
        endpoint = default;
        if ((ulong)address < 4096 || length < 2)
            return false;
        ushort family = *(ushort*)address;
        if (family == Af.INET && length >= V4Bytes)
        {
            endpoint.Family = Endpoint.V4;
            endpoint.Port = BinaryPrimitives.ReverseEndianness(*(ushort*)(address + 2));
            endpoint.AddressLow = *(uint*)(address + 4);
            return true;
        }
        if (family == Af.INET6 && length >= 24)
        {
            endpoint.Family = Endpoint.V6;
            endpoint.Port = BinaryPrimitives.ReverseEndianness(*(ushort*)(address + 2));
            endpoint.AddressLow = *(ulong*)(address + 8);
            endpoint.AddressHigh = *(ulong*)(address + 16);
            endpoint.ScopeId = length >= V6Bytes ? *(uint*)(address + 24) : 0;
            return true;
        }
        return false;
    }

    /// <summary>Writes a full sockaddr. Returns its length.</summary>
    public static uint Write(in Endpoint endpoint, byte* address)
    {
        NativeMemory.Clear(address, V6Bytes);
        *(ushort*)(address + 2) = BinaryPrimitives.ReverseEndianness(endpoint.Port);
        if (endpoint.Family == Endpoint.V4)
        {
            *(ushort*)address = Af.INET;
            *(uint*)(address + 4) = (uint)endpoint.AddressLow;
            return V4Bytes;
        }
        *(ushort*)address = Af.INET6;
        *(ulong*)(address + 8) = endpoint.AddressLow;
        *(ulong*)(address + 16) = endpoint.AddressHigh;
        *(uint*)(address + 24) = endpoint.ScopeId;
        return V6Bytes;
    }

    /// <summary>
    /// Gives an address to a caller as accept() and getpeername() do: cut to the room there is, the full length told.
    /// </summary>
    public static int Give(in Endpoint endpoint, byte* address, uint* length)
    {
        if ((ulong)length < 4096)
            return -Errno.EFAULT;
        if ((int)*length < 0)
            return -Errno.EINVAL;
        byte* full = stackalloc byte[(int)V6Bytes];
        uint bytes = Write(endpoint, full);
        uint room = Math.Min(*length, bytes);
        if (room > 0 && (ulong)address < 4096)
            return -Errno.EFAULT;
        new ReadOnlySpan<byte>(full, (int)room).CopyTo(new Span<byte>(address, (int)room));
        *length = bytes;
        return 0;
    }

    public static byte FamilyOf(int domain) => domain == Af.INET ? Endpoint.V4 : Endpoint.V6;
}
