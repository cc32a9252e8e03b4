using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>
/// Loss detection by time (RFC 8985): what was sent well before something that has arrived is lost. And the tail loss
/// probe that makes an ACK come when none would.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 64)]
public struct Rack
{
    /// <summary>RACK.xmit_ts, RACK.end_seq, RACK.rtt: of what was sent last among all that has arrived.</summary>
    [FieldOffset(0)] public long SentNs;
    [FieldOffset(8)] public long RttNs;
    [FieldOffset(16)] public SeqNum End;

    /// <summary>RACK.reo_wnd_mult: quarters of the least round trip to wait for reordered segments.</summary>
    [FieldOffset(20)] public byte WindowSteps;

    /// <summary>RACK.reo_wnd_persist: recoveries until the window shrinks again.</summary>
    [FieldOffset(21)] public byte WindowPersist;

    /// <summary>Something arrived since losses were last looked for.</summary>
    [FieldOffset(22)] public bool Advanced;
    [FieldOffset(23)] public bool DsackSeen;

    /// <summary>Reordering was ever seen, so often; and how far, in segments (Linux's tp->reordering).</summary>
    [FieldOffset(24)] public uint ReorderSeen;
    [FieldOffset(28)] public uint Reordering;

    /// <summary>When the reordering window of some segment ends; 0: none waits.</summary>
    [FieldOffset(32)] public long DeadlineNs;

    /// <summary>Bytes delivered when the window was last widened: not twice in a round trip.</summary>
    [FieldOffset(40)] public ulong WidenedAt;

    /// <summary>TLP.end_seq, meaningful with <see cref="ProbeOut"/>; TLP.is_retrans.</summary>
    [FieldOffset(48)] public SeqNum ProbeEnd;
    [FieldOffset(52)] public bool ProbeOut;
    [FieldOffset(53)] public bool ProbeIsResend;

    /// <summary>RFC 8985 6.2 step 1: DupThresh to begin with; also the most that reordering can raise it to.</summary>
    private const uint DupThresh = 3, MaxReordering = 300;

    /// <summary>RFC 8985 6.2 step 4: recoveries without DSACK until the window shrinks.</summary>
    private const byte PersistRecoveries = 16;

    public void Start()
    {
        WindowSteps = 1;
        Reordering = DupThresh;
    }

    /// <summary>A time as it would stand in a timestamp (before the connection's offset).</summary>
    public static uint Milliseconds(long ns) => (uint)((ulong)ns / 1_000_000);

    /// <summary>
    /// RFC 8985 6.2 steps 1 and 2: a record, up to <paramref name="end"/>, has arrived.
    /// </summary>
    public void OnDelivered(in SegmentRecord record, SeqNum end, long minRtt, in AckInput input)
    {
        long rtt = input.NowNs - record.SentNs;
        if (record.Is(SegmentFlags.EverResent))
        {
            // Which of the transmissions has arrived? Not the last, if the echo is older or the trip was too short.
            if (input.HasEcho && (int)(input.EchoMs - Milliseconds(record.SentNs)) < 0)
                return;
            if (rtt < minRtt)
                return;
        }
        Advanced = true;
        RttNs = rtt;
        if (record.SentNs > SentNs || record.SentNs == SentNs && end > End)
        {
            SentNs = record.SentNs;
            End = end;
        }
    }

    /// <summary>RFC 8985 6.2 step 3: something arrived <paramref name="bytes"/> after what was sent later.</summary>
    public void NoteReordering(uint bytes, uint segmentSize)
    {
        ReorderSeen++;
        uint segments = (bytes + segmentSize - 1) / Math.Max(1, segmentSize);
        Reordering = Math.Clamp(segments, Reordering, MaxReordering);
    }

    /// <summary>
    /// RFC 8985 6.2 step 4: adapts the window to DSACKs. Per ACK; <paramref name="priorDelivered"/>: what had been
    /// delivered when that was sent which is newly known to have arrived.
    /// </summary>
    public void AdaptWindow(bool dsack, ulong delivered, ulong priorDelivered)
    {
        DsackSeen |= dsack;
        if (priorDelivered == 0)
            return;
        // A round trip must have passed since the last widening: what is delivered now was sent after it.
        if (priorDelivered < WidenedAt)
            DsackSeen = false;
        if (DsackSeen)
        {
            WindowSteps = (byte)Math.Min(byte.MaxValue, WindowSteps + 1);
            DsackSeen = false;
            WidenedAt = delivered;
            WindowPersist = PersistRecoveries;
        }
        else if (WindowPersist == 0)
            WindowSteps = 1;
    }

    /// <summary>A recovery ended, or an undo showed that the window had been too small.</summary>
    public void OnRecoveryEnds(bool undone)
    {
        if (undone)
            WindowPersist = (byte)Math.Min(PersistRecoveries, WindowPersist + 1);
        else if (WindowPersist > 0)
            WindowPersist--;
    }

    /// <summary>RFC 8985 6.2 step 4: how long to wait for what may only be reordered.</summary>
    public readonly long Window(in SentQueue sent, RecoveryState state, in RttEstimator rtt, uint segmentSize)
    {
        if (ReorderSeen == 0 && (state >= RecoveryState.Recovery || sent.Sacked > (Reordering - 1) * segmentSize))
            return 0;
        return Math.Min(rtt.MinRtt / 4 * WindowSteps, rtt.Srtt);
    }

    /// <summary>True if a record is not lost yet, should it be, by a window of nothing.</summary>
    public readonly bool IsRecent(in SegmentRecord record, long nowNs) => record.SentNs + RttNs > nowNs;

    /// <summary>
    /// RFC 8985 6.2 step 5: takes for lost what was sent a reordering window before what has arrived. Sets
    /// <see cref="DeadlineNs"/> to when the last that is waited for is lost too. Returns the bytes newly lost.
    /// </summary>
    public uint DetectLosses(
        SegmentPool pool, ref SentQueue sent, long windowNs, long nowNs, out bool retransmissionLost)
    {
        uint lost = 0;
        retransmissionLost = false;
        DeadlineNs = 0;
        Advanced = false;
        for (uint link = sent.Oldest; link != 0;)
        {
            ref SegmentRecord record = ref pool[link];
            uint later = record.Later;
            if (record.SentNs > SentNs)
                break;
            if (record.SentNs < SentNs || record.End < End)
            {
                long lostAt = record.SentNs + RttNs + windowNs;
                if (lostAt <= nowNs)
                {
                    retransmissionLost |= record.Is(SegmentFlags.Resent);
                    lost += sent.MarkLost(pool, link);
                }
                else
                    DeadlineNs = Math.Max(DeadlineNs, lostAt);
            }
            link = later;
        }
        return lost;
    }
}
