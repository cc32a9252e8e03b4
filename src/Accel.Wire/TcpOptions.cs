namespace Accel.Wire;

/// <summary>Which options a header carries.</summary>
[Flags]
public enum TcpOptionKinds : byte
{
    None = 0,
    Mss = 1,
    WindowScale = 2,
    SackPermitted = 4,
    Timestamps = 8,
    Sack = 16,
}

/// <summary>A block of a SACK option (RFC 2018 3): what was received from Left up to, not including, Right.</summary>
public struct SackBlock
{
    public SeqNum Left;
    public SeqNum Right;
}

/// <summary>Up to four blocks, as many as an option can hold.</summary>
[System.Runtime.CompilerServices.InlineArray(Length)]
public struct SackBlocks
{
    public const int Length = 4;
    private SackBlock _first;
}

/// <summary>The options of a TCP header that a stack understands, parsed or to be written.</summary>
public partial struct TcpOptions
{
    public TcpOptionKinds Present;
    public byte WindowScale;
    public byte SackCount;

    /// <summary>Maximum segment size in bytes (RFC 9293 3.7.1).</summary>
    public ushort Mss;

    /// <summary>RFC 7323 3.2: TSval and TSecr.</summary>
    public uint TsVal;
    public uint TsEcr;
    public SackBlocks Sacks;

    public readonly bool Has(TcpOptionKinds kinds) => (Present & kinds) == kinds;
}
