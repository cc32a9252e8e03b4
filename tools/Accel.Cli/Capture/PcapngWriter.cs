using System.Buffers.Binary;
using System.Text;

namespace Accel.Cli.Capture;

/// <summary>
/// Writes pcapng (draft-ietf-opsawg-pcapng): a section, an interface description when an interface is first met, a
/// block for each packet with its comment, and at the end a statistics block for each interface.
/// </summary>
internal sealed class PcapngWriter : IDisposable
{
    private const uint SectionHeader = 0x0A0D0D0A, ByteOrder = 0x1A2B3C4D, InterfaceDescription = 1,
        InterfaceStatistics = 5, EnhancedPacket = 6;
    private const ushort Ethernet = 1, EndOfOptions = 0, Comment = 1;
    private const ushort IfName = 2, IfTsResol = 9, PacketFlags = 2, DropCount = 4;
    private const ushort UserApplication = 4, IfReceived = 4, IfDropped = 5;
    private const byte Nanoseconds = 9;

    private readonly Stream _to;
    private readonly uint _snapLength;
    private readonly Dictionary<string, (uint Id, ulong Packets)> _interfaces = [];
    private readonly MemoryStream _block = new();

    public PcapngWriter(Stream to, int snapLength)
    {
        _to = to;
        _snapLength = (uint)snapLength;
        Word(ByteOrder);
        Half(1);
        Half(0);
        Long(ulong.MaxValue); // length of the section: not known
        Option(UserApplication, "accel pcap"u8);
        Option(EndOfOptions, []);
        End(SectionHeader);
    }

    /// <summary>Losses so far that no packet has told of.</summary>
    public ulong PendingLoss { get; set; }

    public ulong Lost { get; set; }

    public void Write(in Packet packet)
    {
        (uint id, ulong packets) = _interfaces.GetValueOrDefault(packet.Interface, (uint.MaxValue, 0ul));
        if (id == uint.MaxValue) id = Describe(packet.Interface);
        _interfaces[packet.Interface] = (id, packets + 1);
        Word(id);
        Time(packet.WallNs);
        Word((uint)packet.Bytes.Length);
        Word((uint)packet.Length);
        Padded(packet.Bytes.Span);
        if (packet.Comment.Length > 0) Option(Comment, Encoding.UTF8.GetBytes(packet.Comment));
        Span<byte> flags = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(flags, (uint)packet.Direction);
        if (packet.Direction != Direction.Unknown) Option(PacketFlags, flags);
        if (PendingLoss > 0) Option(DropCount, PendingLoss);
        PendingLoss = 0;
        Option(EndOfOptions, []);
        End(EnhancedPacket);
    }

    public void Flush() => _to.Flush();

    /// <summary>What each interface carried, and what was lost. Losses are of the capture, not of an interface: they
    /// stand at the first.</summary>
    public void Finish(long wallNs)
    {
        foreach ((uint id, ulong packets) in _interfaces.Values.OrderBy(i => i.Id))
        {
            Word(id);
            Time(wallNs);
            Option(IfReceived, packets);
            Option(IfDropped, id == 0 ? Lost : 0);
            Option(EndOfOptions, []);
            End(InterfaceStatistics);
        }
        Flush();
    }

    public void Dispose()
    {
        _block.Dispose();
        _to.Dispose();
    }

    private uint Describe(string name)
    {
        Half(Ethernet);
        Half(0);
        Word(_snapLength);
        Option(IfName, Encoding.UTF8.GetBytes(name));
        Option(IfTsResol, [Nanoseconds]);
        Option(EndOfOptions, []);
        End(InterfaceDescription);
        return (uint)_interfaces.Count;
    }

    private void Time(long wallNs)
    {
        Word((uint)(wallNs >> 32));
        Word((uint)wallNs);
    }

    private void Option(ushort code, ulong value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        Option(code, bytes);
    }

    private void Option(ushort code, ReadOnlySpan<byte> value)
    {
        Half(code);
        Half((ushort)value.Length);
        Padded(value);
    }

    private void Padded(ReadOnlySpan<byte> bytes)
    {
        _block.Write(bytes);
        _block.Write([0, 0, 0], 0, -bytes.Length & 3);
    }

    private void Half(ushort value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(ushort)];
        BinaryPrimitives.WriteUInt16LittleEndian(bytes, value);
        _block.Write(bytes);
    }

    private void Word(uint value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
        _block.Write(bytes);
    }

    private void Long(ulong value)
    {
        Word((uint)value);
        Word((uint)(value >> 32));
    }

    /// <summary>The block that was gathered, between its type and its two lengths.</summary>
    private void End(uint type)
    {
        Span<byte> word = stackalloc byte[sizeof(uint)];
        uint length = (uint)_block.Length + 3 * sizeof(uint);
        BinaryPrimitives.WriteUInt32LittleEndian(word, type);
        _to.Write(word);
        BinaryPrimitives.WriteUInt32LittleEndian(word, length);
        _to.Write(word);
        _to.Write(_block.GetBuffer(), 0, (int)_block.Length);
        _to.Write(word);
        _block.SetLength(0);
    }
}
