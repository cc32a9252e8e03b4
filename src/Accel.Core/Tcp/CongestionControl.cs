using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>
/// The congestion window in bytes and how it moves: slow start and congestion avoidance by the chosen algorithm,
/// proportional rate reduction in recovery (RFC 6937), validation when it is not used (RFC 7661 as Linux does).
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 192)]
public partial struct CongestionControl
{
    /// <summary>ssthresh before anything was lost.</summary>
    public const uint Infinite = 0x7FFF_FFFF;

    [FieldOffset(0)] public uint Cwnd;
    [FieldOffset(4)] public uint Ssthresh;
    [FieldOffset(8)] public CongestionAlgorithm Algorithm;

    /// <summary>Sending stopped at the window in the flight that ends at <see cref="UsageEnd"/>.</summary>
    [FieldOffset(9)] public bool Limited;

    /// <summary>tcp_slow_start_after_idle.</summary>
    [FieldOffset(10)] public bool SlowStartAfterIdle;
    [FieldOffset(12)] public SeqNum UsageEnd;

    /// <summary>The most that was outstanding in that flight, and since <see cref="UsedSinceNs"/>.</summary>
    [FieldOffset(16)] public uint MaxOutstanding;
    [FieldOffset(20)] public uint Used;
    [FieldOffset(24)] public long UsedSinceNs;

    /// <summary>Bytes acknowledged that have not made the window grow yet (RFC 3465).</summary>
    [FieldOffset(32)] public uint Credit;

    /// <summary>What the window goes back to if the reduction turns out to be wrong; PriorSsthresh 0: not at all.
    /// </summary>
    [FieldOffset(36)] public uint PriorCwnd;
    [FieldOffset(40)] public uint PriorSsthresh;

    /// <summary>RFC 6937: RecoverFS, prr_delivered, prr_out.</summary>
    [FieldOffset(44)] public uint PrrFlight;
    [FieldOffset(48)] public uint PrrDelivered;
    [FieldOffset(52)] public uint PrrOut;
    [FieldOffset(56)] public uint InitialSegments;

    [FieldOffset(64)] public Cubic Cubic;
    [FieldOffset(128)] public HyStart HyStart;

    public readonly bool IsSlowStart => Cwnd < Ssthresh;
}
