using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>
/// Round-trip time of a path and the retransmission timeout that follows from it (RFC 6298). As Linux does, the
/// variance is the largest that was smoothed within a round trip, so that a sample for each of many ACKs does not wear
/// it off (RFC 7323 appendix G), and the minimum stands for it, not for the whole timeout. All zero: no sample yet.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 64)]
public struct RttEstimator
{
    private const long NsPerSecond = 1_000_000_000;

    /// <summary>Linux's TCP_RTO_MIN, TCP_RTO_MAX and TCP_TIMEOUT_INIT.</summary>
    public const long MinRtoNs = NsPerSecond / 5, MaxRtoNs = 120 * NsPerSecond, InitialRtoNs = NsPerSecond;

    /// <summary>Linux's TCP_TIMEOUT_FALLBACK.</summary>
    private const long UnmeasuredRtoNs = 3 * NsPerSecond;

    /// <summary>The minimum is that of the last 150 to 300 seconds (Linux: 300).</summary>
    private const uint MinWindowSeconds = 150;
    private const int MaxBackoff = 20;

    /// <summary>SRTT; 0 before the first sample.</summary>
    [FieldOffset(0)] public long Srtt;

    /// <summary>RTTVAR, as the timeout uses it. Without a sample: a quarter of the timeout, 0 for the initial one.
    /// </summary>
    [FieldOffset(8)] public long RttVar;
    [FieldOffset(16)] public long Deviation;
    [FieldOffset(24)] public long MaxDeviation;

    /// <summary>A round trip is over when more than this is acknowledged.</summary>
    [FieldOffset(32)] public SeqNum RoundEnds;

    /// <summary>The least of the present and of the last window, as far as 32 bits go; 0: none.</summary>
    [FieldOffset(40)] public uint MinNow;
    [FieldOffset(44)] public uint MinBefore;
    [FieldOffset(48)] public uint MinSinceSeconds;
    [FieldOffset(52)] public uint Latest;

    /// <summary>How often the timeout was doubled since the last sample.</summary>
    [FieldOffset(56)] public byte Backoffs;

    public readonly bool HasSample => Srtt != 0;

    /// <summary>The least round trip lately; 0 before the first sample.</summary>
    public readonly long MinRtt => MinBefore != 0 && MinBefore < MinNow ? MinBefore : MinNow;

    /// <summary>RFC 6298 2: the timeout before back-off.</summary>
    public readonly long BaseRto =>
        Srtt == 0 ? (RttVar == 0 ? InitialRtoNs : 4 * RttVar)
        : Math.Min(MaxRtoNs, Srtt + Math.Max(MinRtoNs, 4 * RttVar));

    /// <summary>RFC 6298 5.5: the timeout now.</summary>
    public readonly long Rto => Math.Min(MaxRtoNs, BaseRto << Backoffs);

    /// <summary>RFC 6298 5.7: a SYN was sent again, nothing could be measured: data starts with 3 seconds.</summary>
    public void StartUnmeasured() => RttVar = UnmeasuredRtoNs / 4;

    /// <summary>A round trip of a segment that was sent once. Ends the back-off (RFC 6298 5).</summary>
    /// <param name="rttNs">In nanoseconds; of the first of the segments that an ACK is about.</param>
    /// <param name="lastRttNs">Of the last: what the ACK was held back for is in the timeout, but not in the minimum.
    /// </param>
    /// <param name="una">SND.UNA, after this ACK.</param>
    /// <param name="next">SND.NXT.</param>
    /// <param name="nowNs">For the age of the minimum.</param>
    public void Sample(long rttNs, long lastRttNs, SeqNum una, SeqNum next, long nowNs)
    {
        long rtt = Math.Clamp(rttNs, 1, MaxRtoNs);
        Latest = (uint)Math.Clamp(Math.Min(rttNs, lastRttNs), 1, uint.MaxValue);
        NoteMin(Latest, nowNs);
        Backoffs = 0;
        if (Srtt == 0)
        {
            // RFC 6298 2.2.
            Srtt = rtt;
            Deviation = RttVar = MaxDeviation = Math.Max(rtt / 2, 1);
            RoundEnds = next;
            return;
        }
        // RFC 6298 2.3: beta = 1/4, alpha = 1/8.
        long error = rtt - Srtt;
        Srtt = Math.Max(1, Srtt + error / 8);
        if (error < 0)
        {
            // A shorter trip than usual is good news: as Linux, it hardly makes the variance grow.
            error = -error - Deviation;
            Deviation += error > 0 ? error / 32 : error / 4;
        }
        else
            Deviation += (error - Deviation) / 4;
        if (Deviation > MaxDeviation)
        {
            MaxDeviation = Deviation;
            RttVar = Math.Max(RttVar, MaxDeviation);
        }
        // Not by the clock: after one long sample, as of a handshake that was held up, the trips are shorter than SRTT.
        if (una <= RoundEnds)
            return;
        if (MaxDeviation < RttVar)
            RttVar -= (RttVar - MaxDeviation) / 4;
        RoundEnds = next;
        MaxDeviation = 0;
    }

    /// <summary>RFC 6298 5.5: doubles the timeout.</summary>
    public void Backoff()
    {
        if (Backoffs < MaxBackoff)
            Backoffs++;
    }

    public void ResetBackoff() => Backoffs = 0;

    private void NoteMin(uint rtt, long nowNs)
    {
        uint seconds = (uint)(nowNs / NsPerSecond);
        if (MinNow == 0 || seconds - MinSinceSeconds >= MinWindowSeconds)
        {
            MinBefore = MinNow;
            MinNow = rtt;
            MinSinceSeconds = seconds;
        }
        else if (rtt < MinNow)
            MinNow = rtt;
    }
}
