using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Accel.Control.Mirror;

/// <summary>
/// A message of rtnetlink: its type, and what follows the header. Numbers are in the machine's order.
/// </summary>
internal readonly ref struct NetlinkMessage
{
    public const int HeaderBytes = 16;
    public const ushort Error = 2, Done = 3;
    public const ushort NewLink = 16, DelLink = 17, GetLink = 18, NewAddress = 20, DelAddress = 21, GetAddress = 22;
    public const ushort NewRoute = 24, DelRoute = 25, GetRoute = 26, NewNeighbour = 28, DelNeighbour = 29;
    public const ushort GetNeighbour = 30, NewRule = 32, DelRule = 33, GetRule = 34, NewNexthop = 104;
    public const ushort DelNexthop = 105;

    /// <summary>NLM_F_: flags of a request, and that a dump met a change.</summary>
    public const ushort Request = 1, DumpInterrupted = 0x10, Create = 0x400, Dump = 0x300;

    public readonly ushort Type;
    public readonly ushort Flags;
    public readonly uint Sequence;
    public readonly ReadOnlySpan<byte> Body;

    private NetlinkMessage(ReadOnlySpan<byte> bytes)
    {
        Type = MemoryMarshal.Read<ushort>(bytes[4..]);
        Flags = MemoryMarshal.Read<ushort>(bytes[6..]);
        Sequence = MemoryMarshal.Read<uint>(bytes[8..]);
        Body = bytes[HeaderBytes..];
    }

    /// <summary>Takes the next message from what was received. False at the end, and where it makes no sense.</summary>
    public static bool TryTake(ref ReadOnlySpan<byte> rest, out NetlinkMessage message)
    {
        message = default;
        if (rest.Length < HeaderBytes)
            return false;
        int length = MemoryMarshal.Read<int>(rest);
        if (length < HeaderBytes || length > rest.Length)
            return false;
        message = new NetlinkMessage(rest[..length]);
        rest = rest[Math.Min(rest.Length, (length + 3) & ~3)..];
        return true;
    }

    /// <summary>The attributes after a fixed part of the body.</summary>
    public NetlinkAttributes After(int fixedBytes) => new(Body.Length < fixedBytes ? default : Body[fixedBytes..]);
}

/// <summary>A list of attributes, to be walked with foreach.</summary>
internal readonly ref struct NetlinkAttributes(ReadOnlySpan<byte> bytes)
{
    private readonly ReadOnlySpan<byte> _bytes = bytes;

    public Enumerator GetEnumerator() => new(_bytes);

    public ref struct Enumerator(ReadOnlySpan<byte> rest)
    {
        private ReadOnlySpan<byte> _rest = rest;

        public NetlinkAttribute Current { get; private set; }

        public bool MoveNext()
        {
            if (_rest.Length < 4)
                return false;
            int length = MemoryMarshal.Read<ushort>(_rest);
            if (length < 4 || length > _rest.Length)
                return false;
            // NLA_F_NESTED and NLA_F_NET_BYTEORDER are no part of the type.
            Current = new NetlinkAttribute((ushort)(MemoryMarshal.Read<ushort>(_rest[2..]) & 0x3FFF), _rest[4..length]);
            _rest = _rest[Math.Min(_rest.Length, (length + 3) & ~3)..];
            return true;
        }
    }
}

/// <summary>An attribute. A value that is too short reads as zero.</summary>
internal readonly ref struct NetlinkAttribute(ushort type, ReadOnlySpan<byte> value)
{
    public readonly ushort Type = type;
    public readonly ReadOnlySpan<byte> Value = value;

    public uint U32 => Value.Length >= 4 ? MemoryMarshal.Read<uint>(Value) : 0;

    public NetlinkAttributes Nested => new(Value);

    /// <summary>An address, as the halves of an Endpoint.</summary>
    public (ulong Low, ulong High) Address => AddressIn(Value);

    public static (ulong Low, ulong High) AddressIn(ReadOnlySpan<byte> bytes) => bytes.Length switch
    {
        4 => (BinaryPrimitives.ReadUInt32LittleEndian(bytes), 0),
        16 => (BinaryPrimitives.ReadUInt64LittleEndian(bytes), BinaryPrimitives.ReadUInt64LittleEndian(bytes[8..])),
        _ => (0, 0),
    };
}
