using System.Runtime.CompilerServices;
using Accel.Core.Memory;

namespace Accel.Core.Tcp;

/// <summary>Every event that the TCP machine counts. The order is the order of <see cref="TcpCounterTable.Rows"/>.
/// </summary>
public enum TcpCounter
{
    ActiveOpens,
    PassiveOpens,
    CookieOpens,
    AttemptFails,
    EstablishedResets,
    SegmentsIn,
    SegmentsOut,
    Retransmitted,
    Timeouts,
    ProbesSent,
    LossProbes,
    SpuriousTimeouts,
    PredictedAcks,
    PredictedData,
    DelayedAcks,
    CompressedAcks,
    DelayedAckLost,
    DuplicateData,
    OutOfOrder,
    OutOfWindow,
    ZeroWindowDrops,
    NoReassembly,
    PawsRejected,
    OldAcks,
    UnsentAcked,
    ChallengeAcks,
    ChallengeSkipped,
    SynChallenges,
    CookieRefused,
    AbortOnClose,
    AbortOnData,
    AbortOnTimeout,
    AbortOnLinger,
    KeepaliveProbes,
    KeepaliveFails,
    TimeWaits,
    TimeWaitReopened,
    MtuReduced,
    MtuProbeFails,
    MtuRaised,
    IcmpIgnored,
    EcnReduced,
    UrgentReceived,
    NoRecords,
    WindowUpdates,
    Count,
}

/// <summary>The counters of a stack's TCP, indexed by <see cref="TcpCounter"/>.</summary>
[SharedLayout, InlineArray(Length)]
public struct TcpCounters
{
    public const int Length = 64;
    private ulong _first;
}

/// <summary>A counter's name and one-line meaning.</summary>
public readonly record struct TcpCounterRow(TcpCounter Counter, string Name, string Meaning);

/// <summary>The one declaration of the counters: stackdump, JSON and documents follow it.</summary>
[ColdPath]
public static class TcpCounterTable
{
    public static readonly TcpCounterRow[] Rows =
    [
        new(TcpCounter.ActiveOpens, "tcp_active_opens", "Connections begun with a SYN of ours."),
        new(TcpCounter.PassiveOpens, "tcp_passive_opens", "Connections established on a listener."),
        new(TcpCounter.CookieOpens, "tcp_cookie_opens", "Of those, from a SYN cookie."),
        new(TcpCounter.AttemptFails, "tcp_attempt_fails", "Handshakes that failed."),
        new(TcpCounter.EstablishedResets, "tcp_established_resets", "Established connections ended by a RST."),
        new(TcpCounter.SegmentsIn, "tcp_segments_in", "Segments that reached a connection."),
        new(TcpCounter.SegmentsOut, "tcp_segments_out", "Segments sent, retransmissions and ACKs among them."),
        new(TcpCounter.Retransmitted, "tcp_retransmitted", "Segments sent again."),
        new(TcpCounter.Timeouts, "tcp_timeouts", "Retransmission timeouts."),
        new(TcpCounter.ProbesSent, "tcp_window_probes", "Probes of a window that was closed."),
        new(TcpCounter.LossProbes, "tcp_loss_probes", "Tail loss probes sent."),
        new(TcpCounter.SpuriousTimeouts, "tcp_spurious_timeouts", "Retransmissions that proved needless."),
        new(TcpCounter.PredictedAcks, "tcp_predicted_acks", "ACKs without data that took the short way."),
        new(TcpCounter.PredictedData, "tcp_predicted_data", "Data segments that took the short way."),
        new(TcpCounter.DelayedAcks, "tcp_delayed_acks", "ACKs sent by the delayed-ACK timer."),
        new(TcpCounter.CompressedAcks, "tcp_compressed_acks", "ACKs that reported several segments beyond a gap."),
        new(TcpCounter.DelayedAckLost, "tcp_delayed_ack_lost", "Old data came again: an ACK of ours was lost."),
        new(TcpCounter.DuplicateData, "tcp_duplicate_data", "Segments that brought nothing new."),
        new(TcpCounter.OutOfOrder, "tcp_out_of_order", "Segments kept until a gap before them is filled."),
        new(TcpCounter.OutOfWindow, "tcp_out_of_window", "Segments outside of the window."),
        new(TcpCounter.ZeroWindowDrops, "tcp_zero_window_drops", "Data that came while the window was closed."),
        new(TcpCounter.NoReassembly, "tcp_no_reassembly", "Out-of-order data dropped: too many gaps, or no record."),
        new(TcpCounter.PawsRejected, "tcp_paws_rejected", "Segments with a timestamp of the past."),
        new(TcpCounter.OldAcks, "tcp_old_acks", "ACKs below the window that RFC 5961 allows."),
        new(TcpCounter.UnsentAcked, "tcp_unsent_acked", "ACKs of what was never sent."),
        new(TcpCounter.ChallengeAcks, "tcp_challenge_acks", "Challenge ACKs sent (RFC 5961)."),
        new(TcpCounter.ChallengeSkipped, "tcp_challenge_skipped", "ACKs of invalid segments held back by their rate."),
        new(TcpCounter.SynChallenges, "tcp_syn_challenges", "SYNs in a synchronized state."),
        new(TcpCounter.CookieRefused, "tcp_cookie_refused", "ACKs that matched no SYN cookie."),
        new(TcpCounter.AbortOnClose, "tcp_abort_on_close", "Closed with data unread: reset."),
        new(TcpCounter.AbortOnData, "tcp_abort_on_data", "Data came for a closed socket: reset."),
        new(TcpCounter.AbortOnTimeout, "tcp_abort_on_timeout", "Given up: the peer did not answer."),
        new(TcpCounter.AbortOnLinger, "tcp_abort_on_linger", "Abandoned in FIN-WAIT-2 for too long."),
        new(TcpCounter.KeepaliveProbes, "tcp_keepalive_probes", "Keepalive probes sent."),
        new(TcpCounter.KeepaliveFails, "tcp_keepalive_fails", "Connections that keepalive found dead."),
        new(TcpCounter.TimeWaits, "tcp_time_waits", "Connections that came to TIME-WAIT."),
        new(TcpCounter.TimeWaitReopened, "tcp_time_wait_reopened", "SYNs that a TIME-WAIT gave way to."),
        new(TcpCounter.MtuReduced, "tcp_mtu_reduced", "Path MTUs lowered by ICMP."),
        new(TcpCounter.MtuProbeFails, "tcp_mtu_black_holes", "Path MTUs lowered since nothing came through."),
        new(TcpCounter.MtuRaised, "tcp_mtu_raised", "Path MTUs raised again."),
        new(TcpCounter.IcmpIgnored, "tcp_icmp_ignored", "ICMP errors that quoted nothing in flight."),
        new(TcpCounter.EcnReduced, "tcp_ecn_reduced", "Congestion reported by ECN."),
        new(TcpCounter.UrgentReceived, "tcp_urgent_received", "Urgent marks received."),
        new(TcpCounter.NoRecords, "tcp_no_records", "Sending held back: no segment record was free."),
        new(TcpCounter.WindowUpdates, "tcp_window_updates", "ACKs sent since the reader made room."),
    ];
}
