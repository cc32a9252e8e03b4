namespace Accel.Wire;

/// <summary>An Ethernet II header to be written.</summary>
public struct EthernetHeader
{
    public const int Length = 14;

    public MacAddress Destination;
    public MacAddress Source;
    public EtherType EtherType;

    /// <summary>Returns the bytes written: <see cref="Length"/>, or 0 if there is no room.</summary>
    public readonly int WriteTo(Span<byte> to)
    {
        if (to.Length < Length)
            return 0;
        Destination.WriteTo(to);
        Source.WriteTo(to[MacAddress.Bytes..]);
        Big.Put(to, 12, (ushort)EtherType);
        return Length;
    }
}
