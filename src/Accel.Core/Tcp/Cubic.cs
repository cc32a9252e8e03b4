using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Tcp;

/// <summary>The state of CUBIC (RFC 9438 4.1), windows in segments, times in seconds.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 64)]
public partial struct Cubic
{
    /// <summary>W_max, and K: how long after the epoch's start the curve is back there.</summary>
    [FieldOffset(0)] public double WMax;
    [FieldOffset(8)] public double K;

    /// <summary>W_est: where Reno would be.</summary>
    [FieldOffset(16)] public double WEst;
    [FieldOffset(24)] public double CwndEpoch;

    /// <summary>When congestion avoidance began; 0: it has not since the last reduction.</summary>
    [FieldOffset(32)] public long EpochNs;

    /// <summary>What is needed to undo a reduction.</summary>
    [FieldOffset(40)] public double PriorWMax;

    /// <summary>The part of a segment that the window has grown by, less than 1.</summary>
    [FieldOffset(48)] public double Fraction;
    [FieldOffset(56)] public double PriorCwnd;
}
