using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Local;

/// <summary>
/// An IPv4 or IPv6 address with a port, as it lies in shared memory. IPv4 uses the first four address bytes.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 24)]
public unsafe struct Endpoint
{
    public const byte None = 0, V4 = 4, V6 = 6;

    [FieldOffset(0)] public byte Family;

    /// <summary>Host byte order.</summary>
    [FieldOffset(2)] public ushort Port;
    [FieldOffset(4)] public uint ScopeId;

    /// <summary>Network byte order.</summary>
    [FieldOffset(8)] public fixed byte Address[16];

    [FieldOffset(8)] public ulong AddressLow;
    [FieldOffset(16)] public ulong AddressHigh;

    public readonly bool IsAny => AddressLow == 0 && AddressHigh == 0;

    /// <summary>127.0.0.0/8, ::1, or a v4-mapped loopback address.</summary>
    public readonly bool IsLoopback =>
        Family == V4 ? (byte)AddressLow == 127
        : (AddressLow == 0 && AddressHigh == 0x0100000000000000) || (IsMapped && (byte)(AddressHigh >> 32) == 127);

    /// <summary>fe80::/10 (RFC 4291 2.5.6): means something on its link only.</summary>
    public readonly bool IsLinkLocal => Family == V6 && (AddressLow & 0xC0FF) == 0x80FE;

    /// <summary>::ffff:a.b.c.d</summary>
    public readonly bool IsMapped => Family == V6 && AddressLow == 0 && (uint)AddressHigh == 0xFFFF0000;

    public readonly bool SameAddress(in Endpoint other) =>
        Family == other.Family && AddressLow == other.AddressLow && AddressHigh == other.AddressHigh;

    /// <summary>The IPv4 form of a v4-mapped IPv6 address; anything else unchanged.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly Endpoint Unmapped() => IsMapped ? InIpv4() : this;

    private readonly Endpoint InIpv4() => new() { Family = V4, Port = Port, AddressLow = AddressHigh >> 32 };

    /// <summary>The v4-mapped IPv6 form of an IPv4 address; anything else unchanged.</summary>
    public readonly Endpoint Mapped()
    {
        if (Family != V4)
            return this;
        return new Endpoint { Family = V6, Port = Port, AddressHigh = AddressLow << 32 | 0xFFFF0000 };
    }

    /// <summary>127.0.0.1 or ::1 with a port.</summary>
    public static Endpoint Loopback(byte family, ushort port) => family == V4
        ? new Endpoint { Family = V4, Port = port, AddressLow = 0x0100007F }
        : new Endpoint { Family = V6, Port = port, AddressHigh = 0x0100000000000000 };
}
