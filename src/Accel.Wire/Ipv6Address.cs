using System.Runtime.InteropServices;

namespace Accel.Wire;

/// <summary>An IPv6 address: sixteen bytes in the order of the wire, as two words of memory.</summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
public readonly struct Ipv6Address(ulong low, ulong high) : IEquatable<Ipv6Address>
{
    public const int Bytes = 16;

    /// <summary>The first eight bytes as memory holds them: no number that means something.</summary>
    public ulong Low { get; } = low;

    /// <summary>The last eight bytes.</summary>
    public ulong High { get; } = high;

    /// <summary>The first sixteen bytes; :: if there are fewer.</summary>
    public static Ipv6Address Read(ReadOnlySpan<byte> bytes) =>
        MemoryMarshal.TryRead<Ipv6Address>(bytes, out var address) ? address : default;

    /// <summary>Writes sixteen bytes. Nothing if there is no room.</summary>
    public void WriteTo(Span<byte> to) => MemoryMarshal.TryWrite(to, in this);

    public static bool operator ==(Ipv6Address a, Ipv6Address b) => a.Low == b.Low && a.High == b.High;

    public static bool operator !=(Ipv6Address a, Ipv6Address b) => !(a == b);

    public bool Equals(Ipv6Address other) => this == other;

    public override bool Equals(object? obj) => obj is Ipv6Address other && this == other;

    public override int GetHashCode() => (int)(Low ^ Low >> 32 ^ High ^ High >> 32);

    [ColdPath]
    public override string ToString()
    {
        Span<byte> bytes = stackalloc byte[Bytes];
        WriteTo(bytes);
        return PacketText.Address(bytes);
    }
}
