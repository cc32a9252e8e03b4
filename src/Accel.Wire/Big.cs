using System.Buffers.Binary;

namespace Accel.Wire;

/// <summary>Big-endian fields at an offset. A view has checked its length before it asks.</summary>
internal static class Big
{
    public static ushort U16(ReadOnlySpan<byte> bytes, int at) =>
        BinaryPrimitives.ReadUInt16BigEndian(bytes.Slice(at, 2));

    public static uint U32(ReadOnlySpan<byte> bytes, int at) =>
        BinaryPrimitives.ReadUInt32BigEndian(bytes.Slice(at, 4));

    public static void Put(Span<byte> bytes, int at, ushort value) =>
        BinaryPrimitives.WriteUInt16BigEndian(bytes.Slice(at, 2), value);

    public static void Put(Span<byte> bytes, int at, uint value) =>
        BinaryPrimitives.WriteUInt32BigEndian(bytes.Slice(at, 4), value);
}
