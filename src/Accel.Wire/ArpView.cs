namespace Accel.Wire;

/// <summary>An ARP packet for IPv4 over Ethernet (RFC 826). No other kind is taken.</summary>
public readonly ref struct ArpView
{
    public const int Length = 28;
    public const ushort Request = 1, Reply = 2;

    // Hardware type 1, protocol 0x0800, address lengths 6 and 4.
    private const uint EthernetIpv4 = 0x0001_0800;
    private const ushort Lengths = 0x0604;

    private readonly ReadOnlySpan<byte> _bytes;

    private ArpView(ReadOnlySpan<byte> bytes) => _bytes = bytes;

    public static bool TryParse(ReadOnlySpan<byte> bytes, out ArpView arp)
    {
        var valid = bytes.Length >= Length && Big.U32(bytes, 0) == EthernetIpv4 && Big.U16(bytes, 4) == Lengths;
        arp = valid ? new(bytes) : default;
        return valid;
    }

    public ushort Operation => Big.U16(_bytes, 6);

    public MacAddress SenderHardware => MacAddress.Read(_bytes[8..]);

    public ReadOnlySpan<byte> SenderAddress => _bytes.Slice(14, 4);

    public MacAddress TargetHardware => MacAddress.Read(_bytes[18..]);

    public ReadOnlySpan<byte> TargetAddress => _bytes.Slice(24, 4);
}
