namespace Accel.Wire;

/// <summary>An IEEE 802.1Q tag to be written behind an Ethernet header of type <see cref="EtherType.Vlan"/>.</summary>
public struct VlanHeader
{
    public const int Length = 4;

    /// <summary>0 to 7.</summary>
    public byte Priority;
    public bool DropEligible;

    /// <summary>0 to 4095.</summary>
    public ushort Id;
    public EtherType EtherType;

    /// <summary>Returns the bytes written: <see cref="Length"/>, or 0 if there is no room.</summary>
    public readonly int WriteTo(Span<byte> to)
    {
        if (to.Length < Length)
            return 0;
        Big.Put(to, 0, (ushort)((Priority & 7) << 13 | (DropEligible ? 0x1000 : 0) | (Id & 0xFFF)));
        Big.Put(to, 2, (ushort)EtherType);
        return Length;
    }
}
