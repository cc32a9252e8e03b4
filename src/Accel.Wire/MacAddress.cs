using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Accel.Wire;

/// <summary>An Ethernet address: six bytes in the order of the wire.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 2, Size = Bytes)]
public readonly struct MacAddress : IEquatable<MacAddress>
{
    public const int Bytes = 6;

    // As they lie in memory, so that reading and writing are a move each.
    private readonly uint _first;
    private readonly ushort _last;

    private MacAddress(uint first, ushort last)
    {
        _first = first;
        _last = last;
    }

    public static MacAddress Broadcast => new(uint.MaxValue, ushort.MaxValue);

    public bool IsBroadcast => this == Broadcast;

    /// <summary>Multicast or broadcast: the lowest bit of the first byte.</summary>
    public bool IsGroup => (_first & 1) != 0;

    public bool IsZero => _first == 0 && _last == 0;

    /// <summary>The first six bytes; the zero address if there are fewer.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static MacAddress Read(ReadOnlySpan<byte> bytes) => bytes.Length < Bytes
        ? default
        : new(BinaryPrimitives.ReadUInt32LittleEndian(bytes), BinaryPrimitives.ReadUInt16LittleEndian(bytes[4..]));

    /// <summary>Writes six bytes. Nothing if there is no room.</summary>
    public void WriteTo(Span<byte> to)
    {
        if (to.Length < Bytes)
            return;
        BinaryPrimitives.WriteUInt32LittleEndian(to, _first);
        BinaryPrimitives.WriteUInt16LittleEndian(to[4..], _last);
    }

    public static bool operator ==(MacAddress a, MacAddress b) => a._first == b._first && a._last == b._last;

    public static bool operator !=(MacAddress a, MacAddress b) => !(a == b);

    public bool Equals(MacAddress other) => this == other;

    public override bool Equals(object? obj) => obj is MacAddress other && this == other;

    public override int GetHashCode() => (int)(_first ^ ((uint)_last << 13));

    [ColdPath]
    public override string ToString() => PacketText.Mac(this);
}
