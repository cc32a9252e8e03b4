using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>What HyStart++ says of slow start.</summary>
public enum SlowStartAdvice : byte
{
    /// <summary>Go on.</summary>
    Grow = 0,

    /// <summary>Grow at a quarter of the pace: this may have been too much.</summary>
    GrowSlowly,

    /// <summary>Enough: congestion avoidance begins here.</summary>
    Leave,
}

/// <summary>
/// HyStart++ (RFC 9406): leaves the first slow start when round trips grow, after a time of doubt (CSS) in which it
/// looks whether they stay so.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 40)]
public struct HyStart
{
    private const long MinThresholdNs = 4_000_000, MaxThresholdNs = 16_000_000;
    private const int Divisor = 8;
    private const uint RoundSamples = 8, MaxCssRounds = 5;

    /// <summary>lastRoundMinRTT, currentRoundMinRTT, cssBaselineMinRtt; 0: none.</summary>
    [FieldOffset(0)] public long LastRoundMin;
    [FieldOffset(8)] public long CurrentRoundMin;
    [FieldOffset(16)] public long CssBaselineMin;

    /// <summary>windowEnd: the round ends when it is acknowledged.</summary>
    [FieldOffset(24)] public SeqNum RoundEnd;
    [FieldOffset(28)] public uint Samples;

    /// <summary>Rounds of conservative slow start, with <see cref="InCss"/>.</summary>
    [FieldOffset(32)] public uint CssRounds;
    [FieldOffset(36)] public bool InCss;
    [FieldOffset(37)] public bool Started;

    /// <summary>An ACK in slow start. <paramref name="rttNs"/>: -1 if it brings no sample.</summary>
    public SlowStartAdvice OnAck(SeqNum una, SeqNum nxt, long rttNs)
    {
        bool roundEnded = !Started || una >= RoundEnd;
        if (roundEnded)
        {
            // RFC 9406 4.2: a round begins.
            Started = true;
            RoundEnd = nxt;
            LastRoundMin = CurrentRoundMin;
            CurrentRoundMin = 0;
            Samples = 0;
            if (InCss && ++CssRounds >= MaxCssRounds)
                return SlowStartAdvice.Leave;
        }
        if (rttNs > 0)
        {
            CurrentRoundMin = CurrentRoundMin == 0 ? rttNs : Math.Min(CurrentRoundMin, rttNs);
            Samples++;
        }
        if (Samples < RoundSamples || LastRoundMin == 0)
            return InCss ? SlowStartAdvice.GrowSlowly : SlowStartAdvice.Grow;
        if (InCss)
        {
            // The growth was spurious: back to slow start.
            if (CurrentRoundMin < CssBaselineMin)
                InCss = false;
        }
        else
        {
            long threshold = Math.Clamp(LastRoundMin / Divisor, MinThresholdNs, MaxThresholdNs);
            if (CurrentRoundMin >= LastRoundMin + threshold)
            {
                CssBaselineMin = CurrentRoundMin;
                CssRounds = 0;
                InCss = true;
            }
        }
        return InCss ? SlowStartAdvice.GrowSlowly : SlowStartAdvice.Grow;
    }
}
