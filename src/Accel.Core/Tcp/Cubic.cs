using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Tcp;

/// <summary>The state of CUBIC (RFC 9438 4.1) in congestion avoidance: windows in segments, times in seconds.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 64)]
public struct Cubic
{
    /// <summary>RFC 9438 4.6, 5: beta and C.</summary>
    public const double Beta = 0.7, C = 0.4;
    private const double NsPerSecond = 1e9;

    /// <summary>W_max, and K: how long after the epoch's start the curve is back there.</summary>
    [FieldOffset(0)] public double WMax;
    [FieldOffset(8)] public double K;

    /// <summary>W_est: where Reno would be.</summary>
    [FieldOffset(16)] public double WEst;

    /// <summary>When congestion avoidance began; 0: it has not since the last reduction. Moved on by times in which
    /// the window was not used.</summary>
    [FieldOffset(24)] public long EpochNs;

    /// <summary>The last ACK in congestion avoidance.</summary>
    [FieldOffset(32)] public long LastNs;

    /// <summary>cwnd_prior: where Reno's share stops growing faster than one segment in a round trip.</summary>
    [FieldOffset(40)] public double PriorCwnd;

    /// <summary>The part of a byte that the window has grown by.</summary>
    [FieldOffset(48)] public double Fraction;

    /// <summary>W_max before the last reduction, for an undo.</summary>
    [FieldOffset(56)] public double PriorWMax;

    /// <summary>RFC 9438 4.6, 4.7: multiplicative decrease, fast convergence. Returns ssthresh in bytes.</summary>
    public uint Reduce(uint cwndBytes, uint segmentSize)
    {
        double cwnd = (double)cwndBytes / Math.Max(1, segmentSize);
        PriorWMax = WMax;
        WMax = cwnd < WMax ? cwnd * (1 + Beta) / 2 : cwnd;
        PriorCwnd = cwnd;
        EpochNs = 0;
        Fraction = 0;
        return (uint)(cwndBytes * Beta + 0.5);
    }

    /// <summary>RFC 9438 4.8: after a timeout the curve begins at its plateau.</summary>
    public void OnTimeout()
    {
        WMax = 0;
        EpochNs = 0;
    }

    /// <summary>RFC 9438 4.9: the reduction had been wrong.</summary>
    public void Undo()
    {
        WMax = Math.Max(WMax, PriorWMax);
        EpochNs = 0;
    }

    /// <summary>All windows would have been so much larger.</summary>
    public void TakeBack(double factor)
    {
        WMax *= factor;
        PriorWMax *= factor;
        PriorCwnd *= factor;
        EpochNs = 0;
    }

    /// <summary>
    /// The window was not full, or nothing was in flight: the curve stands still (RFC 9438 4.2, 5.8).
    /// </summary>
    public void StandStill(long nowNs)
    {
        if (EpochNs != 0)
            EpochNs += Math.Max(0, nowNs - LastNs);
        LastNs = nowNs;
    }

    /// <summary>
    /// RFC 9438 4.2 to 4.5: bytes that the window grows by for so many acknowledged.
    /// </summary>
    public uint Grow(uint cwndBytes, uint segmentSize, uint ackedBytes, long rttNs, long nowNs)
    {
        double size = Math.Max(1, segmentSize);
        double cwnd = Math.Max(1, cwndBytes / size), acked = ackedBytes / size;
        if (EpochNs == 0)
            BeginEpoch(cwnd, nowNs);
        LastNs = nowNs;
        double t = (nowNs - EpochNs) / NsPerSecond;

        // 4.3: Reno's window after the same losses. Its alpha is 1 once it has made up for the milder decrease.
        double alpha = WEst >= PriorCwnd ? 1 : 3 * (1 - Beta) / (1 + Beta);
        WEst += alpha * acked / cwnd;

        // 4.2: where the curve will be in a round trip, at most half as much again.
        double target = Math.Clamp(At(t + rttNs / NsPerSecond), cwnd, 1.5 * cwnd);
        double grown = At(t) < WEst
            ? WEst - cwnd                           // 4.3
            : (target - cwnd) / cwnd * acked;       // 4.4, 4.5
        grown = Math.Clamp(grown, 0, acked / 2) * size + Fraction;
        uint whole = (uint)grown;
        Fraction = grown - whole;
        return whole;
    }

    /// <summary>W_cubic(t), RFC 9438 figure 1.</summary>
    public readonly double At(double t)
    {
        double d = t - K;
        return C * d * d * d + WMax;
    }

    private void BeginEpoch(double cwnd, long nowNs)
    {
        EpochNs = nowNs;
        WEst = cwnd;
        if (WMax <= cwnd)
        {
            // 4.10: no loss made the window what it is, or it is beyond the last one already.
            WMax = cwnd;
            K = 0;
            PriorCwnd = cwnd;
        }
        else
            K = CubeRoot((WMax - cwnd) / C);
    }

    /// <summary>
    /// By Newton's method from a first guess that is a third of the exponent: Math.Cbrt() would bring libm into every
    /// program. The argument is positive or 0.
    /// </summary>
    public static double CubeRoot(double x)
    {
        if (x <= 0)
            return 0;
        double y = BitConverter.UInt64BitsToDouble(BitConverter.DoubleToUInt64Bits(x) / 3 + 0x2A9F84FE36D22425);
        for (int i = 0; i < 4; i++)
            y -= (y * y * y - x) / (3 * y * y);
        return y;
    }
}
