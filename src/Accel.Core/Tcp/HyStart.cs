using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>HyStart++ (RFC 9406): leaves slow start when round trips grow, and looks whether that was right.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 64)]
public partial struct HyStart
{
    /// <summary>lastRoundMinRTT, currentRoundMinRTT, cssBaselineMinRtt; 0: none.</summary>
    [FieldOffset(0)] public long LastRoundMin;
    [FieldOffset(8)] public long CurrentRoundMin;
    [FieldOffset(16)] public long CssBaselineMin;

    /// <summary>windowEnd: the round ends when it is acknowledged.</summary>
    [FieldOffset(24)] public SeqNum RoundEnd;
    [FieldOffset(28)] public uint Samples;

    /// <summary>Rounds of conservative slow start; 0: not in it.</summary>
    [FieldOffset(32)] public uint CssRounds;
    [FieldOffset(36)] public bool InCss;
    [FieldOffset(37)] public bool Started;
}
