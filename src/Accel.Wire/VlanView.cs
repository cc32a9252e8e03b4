namespace Accel.Wire;

/// <summary>An IEEE 802.1Q tag and what follows: the payload of a frame of type <see cref="EtherType.Vlan"/>.</summary>
public readonly ref struct VlanView
{
    private readonly ReadOnlySpan<byte> _bytes;

    private VlanView(ReadOnlySpan<byte> bytes) => _bytes = bytes;

    public static bool TryParse(ReadOnlySpan<byte> bytes, out VlanView vlan)
    {
        var valid = bytes.Length >= VlanHeader.Length;
        vlan = valid ? new(bytes) : default;
        return valid;
    }

    public byte Priority => (byte)(_bytes[0] >> 5);

    public bool DropEligible => (_bytes[0] & 0x10) != 0;

    /// <summary>0 to 4095; 0 means that only the priority counts.</summary>
    public ushort Id => (ushort)(Big.U16(_bytes, 0) & 0xFFF);

    public EtherType EtherType => (EtherType)Big.U16(_bytes, 2);

    public ReadOnlySpan<byte> Payload => _bytes[VlanHeader.Length..];
}
