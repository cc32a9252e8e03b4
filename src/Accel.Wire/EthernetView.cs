namespace Accel.Wire;

/// <summary>An Ethernet II frame as received, without its check sequence.</summary>
public readonly ref struct EthernetView
{
    private readonly ReadOnlySpan<byte> _bytes;

    private EthernetView(ReadOnlySpan<byte> bytes) => _bytes = bytes;

    public static bool TryParse(ReadOnlySpan<byte> bytes, out EthernetView ethernet)
    {
        var valid = bytes.Length >= EthernetHeader.Length;
        ethernet = valid ? new(bytes) : default;
        return valid;
    }

    public MacAddress Destination => MacAddress.Read(_bytes);

    public MacAddress Source => MacAddress.Read(_bytes[MacAddress.Bytes..]);

    public EtherType EtherType => (EtherType)Big.U16(_bytes, 12);

    /// <summary>A short frame's padding is still behind it.</summary>
    public ReadOnlySpan<byte> Payload => _bytes[EthernetHeader.Length..];
}
