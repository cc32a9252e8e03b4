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
/// looks whether they stay so. Without pacing, a window of less than the path holds goes out as a burst behind an empty
/// queue: its first segments, which the least round trip of a round is of, show nothing before there is twice as much
/// under way as there should be. So, as in Linux and in HyStart as it was first (Ha and Rhee, 2008), a train of ACKs
/// that lasts for half of the least round trip is taken for a sign too: what is in flight fills half of the path.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 64)]
public struct HyStart
{
    private const long MinThresholdNs = 4_000_000, MaxThresholdNs = 16_000_000;
    private const int Divisor = 8;
    private const uint RoundSamples = 8, MaxCssRounds = 5;

    /// <summary>Linux's hystart_ack_delta_us: ACKs of one train are not further apart.</summary>
    private const long TrainGapNs = 2_000_000;

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

    /// <summary>When the round began, and the last ACK of the train that began with it.</summary>
    [FieldOffset(40)] public long RoundNs;
    [FieldOffset(48)] public long TrainNs;

    /// <summary>
    /// An ACK in slow start. <paramref name="rttNs"/>: -1 if it brings no sample; <paramref name="minRttNs"/>: the
    /// least of the connection, 0 if there is none.
    /// </summary>
    public SlowStartAdvice OnAck(SeqNum una, SeqNum nxt, long rttNs, long minRttNs, long nowNs)
    {
        // Beyond the end, not at it: the ACK that ends a round is of the first segment that was sent in it, so rounds
        // begin where bursts do.
        bool roundEnded = !Started || una > RoundEnd;
        if (roundEnded)
        {
            // RFC 9406 4.2: a round begins.
            Started = true;
            RoundEnd = nxt;
            RoundNs = TrainNs = nowNs;
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
        // Of a train no round trip can say that it was spurious.
        if (IsTrain(minRttNs, nowNs) && !InCss)
            EnterCss(baseline: 0);
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
                EnterCss(CurrentRoundMin);
        }
        return InCss ? SlowStartAdvice.GrowSlowly : SlowStartAdvice.Grow;
    }

    private void EnterCss(long baseline)
    {
        CssBaselineMin = baseline;
        CssRounds = 0;
        InCss = true;
    }

    /// <summary>On a path that is shorter than two gaps any two ACKs would be a train and say nothing.</summary>
    private bool IsTrain(long minRttNs, long nowNs)
    {
        if (nowNs - TrainNs > TrainGapNs || minRttNs < 2 * TrainGapNs)
            return false;
        TrainNs = nowNs;
        return nowNs - RoundNs > minRttNs / 2;
    }
}
