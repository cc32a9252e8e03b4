using Accel.Core.Local;
using Accel.Core.Nic;

namespace Accel.Os.Control;

/// <summary>
/// An entry of the table that the program on the interfaces looks ports up in (Bpf/steering.h): 0 is the kernel's.
/// </summary>
public readonly record struct PortEntry(ulong Bits)
{
    public const int PortsPerTransport = 65536;
    public const ulong SlotMask = 0xFFFF, Listener = 1 << 16, Mixed = 1 << 17, Exact = 1 << 18, Tagged = 1 << 19;
    public const ulong NotV6 = 1 << 20, NotV4 = 1 << 21, Leaving = 1 << 22;
    public const int TagShift = 32;

    public const long TableBytes = 2 * PortsPerTransport * sizeof(ulong);

    public bool HasSlot => (Bits & SlotMask) != 0;

    public uint Slot => (uint)(Bits & SlotMask) - 1;

    public bool Has(ulong flag) => (Bits & flag) != 0;

    public static int IndexOf(Transport transport, ushort port) =>
        port | (transport == Transport.Udp ? PortsPerTransport : 0);

    /// <summary>The entry for all frames to a port, or for those to one address.</summary>
    public static PortEntry For(uint slot, in Endpoint local, ulong flags)
    {
        ulong bits = (slot + 1) | flags;
        Endpoint plain = local.Unmapped();
        if (plain.Family == Endpoint.V4)
            bits |= NotV6;
        if (!plain.IsAny)
            bits |= Tagged | (plain.Family == Endpoint.V6 ? NotV4 : 0) | (ulong)Fold(plain) << TagShift;
        return new PortEntry(bits);
    }

    /// <summary>An IPv4 address itself; the words of an IPv6 address on top of each other.</summary>
    public static uint Fold(in Endpoint address) => address.Family == Endpoint.V4
        ? (uint)address.AddressLow
        : (uint)(address.AddressLow ^ address.AddressLow >> 32 ^ address.AddressHigh ^ address.AddressHigh >> 32);
}
