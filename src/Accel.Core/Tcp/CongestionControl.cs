using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>
/// The congestion window in bytes and how it moves: slow start and congestion avoidance by the chosen algorithm,
/// proportional rate reduction in recovery (RFC 6937), validation when it is not used (RFC 7661 as Linux does).
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 192)]
public struct CongestionControl
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

    /// <summary>The most that a window falls to by not being used, in segments.</summary>
    [FieldOffset(56)] public uint InitialSegments;

    /// <summary>A reduction is going on (RFC 6937).</summary>
    [FieldOffset(60)] public bool Reducing;

    [FieldOffset(64)] public Cubic Cubic;
    [FieldOffset(128)] public HyStart HyStart;

    public readonly bool IsSlowStart => Cwnd < Ssthresh;

    /// <summary>
    /// RFC 6928 2, RFC 5681 3.1. As Linux, the initial window is so many segments however large they are.
    /// </summary>
    public void Start(CongestionAlgorithm algorithm, uint initialSegments, uint segmentSize, SeqNum next, long nowNs)
    {
        Algorithm = algorithm;
        InitialSegments = initialSegments;
        Cwnd = initialSegments * segmentSize;
        Ssthresh = Infinite;
        UsageEnd = next;
        UsedSinceNs = nowNs;
    }

    /// <summary>Linux's tcp_is_cwnd_limited: only a window that was used may grow.</summary>
    public readonly bool IsLimited => Limited || IsSlowStart && Cwnd < 2 * (ulong)MaxOutstanding;

    /// <summary>tcp_current_ssthresh: what ssthresh would be if the window were only validated.</summary>
    public readonly uint CurrentSsthresh => Reducing ? Ssthresh : Math.Max(Ssthresh, (Cwnd >> 1) + (Cwnd >> 2));

    /// <summary>
    /// New data was acknowledged and nothing speaks against growing. <paramref name="delivered"/>: bytes newly known
    /// to have arrived.
    /// </summary>
    public void Grow(
        uint delivered, uint segmentSize, in SentQueue sent, long lastRttNs, in RttEstimator rtt, long nowNs)
    {
        if (!IsLimited)
        {
            Cubic.StandStill(nowNs);
            return;
        }
        if (IsSlowStart)
            delivered = SlowStart(delivered, in sent, lastRttNs, rtt.MinRtt, nowNs);
        if (delivered == 0)
            return;
        if (Algorithm == CongestionAlgorithm.Cubic)
            Raise(Cubic.Grow(Cwnd, segmentSize, delivered, rtt.Srtt, nowNs));
        else
        {
            // RFC 3465 2.1: a segment for each window that is acknowledged.
            Credit += delivered;
            while (Credit >= Cwnd)
            {
                Credit -= Cwnd;
                Raise(segmentSize);
            }
        }
    }

    /// <summary>Something was lost, or marked: the window is reduced (RFC 5681 3.2, 9438 4.6, 6937).</summary>
    public void BeginReduction(uint segmentSize, bool mayUndo)
    {
        PriorSsthresh = mayUndo ? CurrentSsthresh : 0;
        PriorCwnd = PrrFlight = Cwnd;
        PrrDelivered = PrrOut = 0;
        Ssthresh = Reduced(segmentSize);
        Reducing = true;
    }

    /// <summary>
    /// RFC 6937 3.1: the window follows what is delivered, down to ssthresh when all of the flight is through.
    /// </summary>
    public void OnAckInReduction(uint delivered, bool lossFree, uint inFlight, uint segmentSize)
    {
        if (delivered == 0 || PrrFlight == 0)
            return;
        PrrDelivered += delivered;
        ulong quota;
        if (inFlight > Ssthresh)
        {
            ulong through = ((ulong)Ssthresh * PrrDelivered + PrrFlight - 1) / PrrFlight;
            quota = through > PrrOut ? through - PrrOut : 0;
        }
        else
        {
            // Slow start reduction bound, while no more is being lost.
            quota = Math.Max(PrrDelivered > PrrOut ? PrrDelivered - PrrOut : 0, delivered);
            if (lossFree)
                quota += segmentSize;
            quota = Math.Min(quota, Ssthresh - inFlight);
        }
        // One retransmission leaves at once.
        if (PrrOut == 0)
            quota = Math.Max(quota, segmentSize);
        Cwnd = inFlight + (uint)quota;
    }

    /// <summary>The reduction is complete.</summary>
    public void EndReduction(bool atSsthresh, long nowNs)
    {
        if (Reducing && atSsthresh && Ssthresh < Infinite)
            Cwnd = Ssthresh;
        Reducing = false;
        UsedSinceNs = nowNs;
    }

    /// <summary>RFC 5681 3.1 (4), RFC 9438 4.8: a retransmission timeout. Once per flight.</summary>
    public void ReduceForTimeout(uint segmentSize)
    {
        PriorSsthresh = CurrentSsthresh;
        PriorCwnd = Cwnd;
        Ssthresh = Reduced(segmentSize);
        Cubic.OnTimeout();
    }

    /// <summary>After a timeout: one segment more than is still taken to be in flight.</summary>
    public void Collapse(uint inFlight, uint segmentSize, long nowNs)
    {
        Reducing = false;
        Cwnd = inFlight + segmentSize;
        Credit = 0;
        UsedSinceNs = nowNs;
    }

    /// <summary>The reduction had been wrong (RFC 3522, 5682, 9438 4.9).</summary>
    public void Undo(long nowNs)
    {
        if (PriorSsthresh != 0)
        {
            Cwnd = Math.Max(Cwnd, PriorCwnd);
            Ssthresh = Math.Max(Ssthresh, PriorSsthresh);
            Cubic.Undo();
        }
        Reducing = false;
        UsedSinceNs = nowNs;
    }

    /// <summary>
    /// A reduction before the last had been wrong: the window becomes what it would be without it. In the midst of
    /// another one (RFC 6937) it goes towards ssthresh by itself.
    /// </summary>
    /// <param name="wrong">What is taken back.</param>
    /// <param name="lastFrom">SND.UNA when the last one began.</param>
    /// <param name="nowNs">The time.</param>
    public void TakeBack(in PastReduction wrong, SeqNum lastFrom, long nowNs)
    {
        if (!Reducing)
            Cwnd = PastReductions.Without(in wrong, Cwnd);
        Ssthresh = PastReductions.Without(in wrong, Ssthresh);
        PriorCwnd = PastReductions.Without(in wrong, PriorCwnd);
        if (PriorSsthresh != 0)
            PriorSsthresh = PastReductions.SsthreshWithout(in wrong, lastFrom, PriorSsthresh);
        Cubic.TakeBack((double)wrong.Cwnd / Math.Max(1, wrong.Reduced));
        UsedSinceNs = nowNs;
    }

    /// <summary>
    /// Something was sent, or could not be because of the window: <paramref name="limited"/> (tcp_cwnd_validate).
    /// </summary>
    public void Validate(
        bool limited, in SentQueue sent, RecoveryState state, uint segmentSize, long rtoNs, long nowNs)
    {
        if (sent.Una >= UsageEnd || limited || !Limited && sent.Outstanding > MaxOutstanding)
        {
            Limited = limited;
            MaxOutstanding = sent.Outstanding;
            UsageEnd = sent.Nxt;
        }
        if (IsLimited)
        {
            Used = 0;
            UsedSinceNs = nowNs;
            return;
        }
        Used = Math.Max(Used, sent.Outstanding);
        if (!SlowStartAfterIdle || nowNs - UsedSinceNs < rtoNs)
            return;
        // RFC 7661 (as RFC 2861 3.2): half-way down to what was used, in a round trip time out.
        uint used = Math.Max(Used, InitialSegments * segmentSize);
        if (state == RecoveryState.Open && used < Cwnd)
        {
            Ssthresh = CurrentSsthresh;
            Cwnd = (Cwnd + used) >> 1;
        }
        Used = 0;
        UsedSinceNs = nowNs;
    }

    /// <summary>RFC 5681 4.1 (as RFC 2861 3.2): nothing was sent for longer than a timeout.</summary>
    public void OnIdle(long idleNs, long rtoNs, uint segmentSize, long nowNs)
    {
        Cubic.StandStill(nowNs);
        if (!SlowStartAfterIdle || idleNs <= rtoNs || rtoNs <= 0)
            return;
        uint least = Math.Min(InitialSegments * segmentSize, Cwnd);
        Ssthresh = CurrentSsthresh;
        while ((idleNs -= rtoNs) > 0 && Cwnd > least)
            Cwnd >>= 1;
        Cwnd = Math.Max(Cwnd, least);
        Used = 0;
        UsedSinceNs = nowNs;
    }

    /// <summary>
    /// Grows by what was delivered, up to ssthresh. Returns the bytes that are left for congestion avoidance.
    /// DEVIATION: one ACK may open the window by any number of segments, where RFC 3465 and RFC 9406 say 2 and 8
    /// without pacing: Linux does so too, and an ACK of a super-frame stands for many.
    /// </summary>
    private uint SlowStart(uint delivered, in SentQueue sent, long lastRttNs, long minRttNs, long nowNs)
    {
        uint grown = delivered;
        // RFC 9406 4.2: the first slow start only.
        if (Ssthresh == Infinite)
        {
            SlowStartAdvice advice = HyStart.OnAck(sent.Una, sent.Nxt, lastRttNs, minRttNs, nowNs);
            if (advice == SlowStartAdvice.Leave)
            {
                Ssthresh = Cwnd;
                return delivered;
            }
            if (advice == SlowStartAdvice.GrowSlowly)
                grown = Math.Max(1, delivered / 4);
        }
        uint room = Ssthresh - Cwnd;
        Raise(Math.Min(grown, room));
        return grown <= room ? 0 : grown - room;
    }

    private uint Reduced(uint segmentSize)
    {
        Credit = 0;
        uint least = 2 * segmentSize;
        return Algorithm == CongestionAlgorithm.Cubic
            ? Math.Max(Cubic.Reduce(Cwnd, segmentSize), least)
            : Math.Max(Cwnd / 2, least);
    }

    private void Raise(uint bytes) => Cwnd = Math.Min(Cwnd + bytes, Infinite - 1);
}
