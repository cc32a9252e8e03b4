using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Core.Nic;

/// <summary>
/// Every event of the network path that is not TCP's own. The order is the order of <see cref="NicCounterTable.Rows"/>.
/// </summary>
public enum NicCounter
{
    RxFrames,
    RxSuperFrames,
    RxBytes,
    RxNotOurs,
    RxMalformed,
    RxFragments,
    RxNotTcp,
    RxMartian,
    RxBadChecksum,
    RxPartialChecksum,
    RxNoListener,
    RxStray,
    RxTooManyParts,
    ListenSyns,
    ListenSynDropped,
    ListenOverflows,
    ListenCookiesSent,
    ListenCookiesTaken,
    ListenNoMemory,
    ListenHalfOpenExpired,
    TxFrames,
    TxSuperFrames,
    TxBytes,
    TxNoBuffer,
    TxStalled,
    TxNoNeighbour,
    TxNoLink,
    ResetsSent,
    ResetsHeldBack,
    ResetsReceivedUnknown,
    NeighboursAsked,
    NeighboursChanged,
    IcmpTaken,
    IcmpUnknown,
    ConnectFailed,
    NoBlocks,
    NoBuffers,
    ReceiveGrowths,
    ReceiveGrowthsFailed,
    ReceivePressure,
    TimeWaitOverflows,
    TimersFired,
    Polls,
    PollsEmpty,
    Kicks,
    KickRounds,
    LockBusy,
    LocksRecovered,
    RecoveryResets,
    CorruptStreams,
    UdpReceived,
    UdpNoSocket,
    UdpFull,
    UdpSent,
    UdpKernelRoute,
    UdpKernelNeighbour,
    UdpKernelSize,
    UdpKernelBuffer,
    HandoversBegun,
    HandoversDone,
    RxHandedOver,
    LockWaits,
    Count,
}

/// <summary>The one declaration of these counters: stackdump, JSON and documents follow it.</summary>
[ColdPath]
public static class NicCounterTable
{
    /// <summary>A counter's name and one-line meaning.</summary>
    public readonly record struct Row(NicCounter Counter, string Name, string Meaning);

    public static readonly Row[] Rows =
    [
        new(NicCounter.RxFrames, "rx_frames", "Frames taken from the links."),
        new(NicCounter.RxSuperFrames, "rx_super_frames", "Of those, ones of more than one buffer."),
        new(NicCounter.RxBytes, "rx_bytes", "Bytes of these frames."),
        new(NicCounter.RxNotOurs, "rx_not_ours", "Frames for another hardware address, or for a group."),
        new(NicCounter.RxMalformed, "rx_malformed", "Frames whose headers make no sense."),
        new(NicCounter.RxFragments, "rx_fragments", "Parts of IP packets, which are the kernel's."),
        new(NicCounter.RxNotTcp, "rx_not_tcp", "Packets of a protocol that this stack does not speak."),
        new(NicCounter.RxMartian, "rx_martian", "Packets from, or to, an address that cannot be."),
        new(NicCounter.RxBadChecksum, "rx_bad_checksum", "Packets with a wrong checksum (TcpInCsumErrors)."),
        new(NicCounter.RxPartialChecksum, "rx_csum_partial",
            "Segments whose checksum their sender, on this host, had left to a device."),
        new(NicCounter.RxNoListener, "rx_no_listener", "Segments for a port that nobody listens on."),
        new(NicCounter.RxStray, "rx_stray", "Segments for a listener that belong to no connection."),
        new(NicCounter.RxTooManyParts, "rx_too_many_parts", "Frames of more buffers than any link makes."),
        new(NicCounter.ListenSyns, "listen_syns", "SYNs for listeners."),
        new(NicCounter.ListenSynDropped, "listen_drops", "Of those, ones that were dropped (TcpExtListenDrops)."),
        new(NicCounter.ListenOverflows, "listen_overflows",
            "Handshakes held up by a full accept queue (TcpExtListenOverflows)."),
        new(NicCounter.ListenCookiesSent, "syncookies_sent", "SYNs answered with a cookie (TcpExtSyncookiesSent)."),
        new(NicCounter.ListenCookiesTaken, "syncookies_recv", "Connections from cookies (TcpExtSyncookiesRecv)."),
        new(NicCounter.ListenNoMemory, "listen_no_memory", "Handshakes held up since a table was full."),
        new(NicCounter.ListenHalfOpenExpired, "listen_expired", "Half-open connections that were never completed."),
        new(NicCounter.TxFrames, "tx_frames", "Frames given to the links."),
        new(NicCounter.TxSuperFrames, "tx_super_frames", "Super-frames given to the links."),
        new(NicCounter.TxBytes, "tx_bytes", "Bytes of both."),
        new(NicCounter.TxNoBuffer, "tx_no_buffer", "Segments lost on their way out since a link had no buffer."),
        new(NicCounter.TxStalled, "tx_stalled", "Times a connection waited for a link's buffers."),
        new(NicCounter.TxNoNeighbour, "tx_no_neighbour", "Segments not sent since the next hop's address is unknown."),
        new(NicCounter.TxNoLink, "tx_no_link", "Segments not sent since their link has gone."),
        new(NicCounter.ResetsSent, "tcp_out_rsts", "RSTs sent (TcpOutRsts)."),
        new(NicCounter.ResetsHeldBack, "tcp_rsts_held_back", "RSTs to strangers held back by their rate."),
        new(NicCounter.ResetsReceivedUnknown, "rx_stray_resets", "RSTs for no connection."),
        new(NicCounter.NeighboursAsked, "neighbours_asked", "Times the kernel was asked to find a neighbour."),
        new(NicCounter.NeighboursChanged, "neighbours_changed", "Next hops that got another hardware address."),
        new(NicCounter.IcmpTaken, "icmp_taken", "ICMP errors that named a connection."),
        new(NicCounter.IcmpUnknown, "icmp_unknown", "ICMP errors that named none."),
        new(NicCounter.ConnectFailed, "connect_failed", "connect() calls that could not be begun."),
        new(NicCounter.NoBlocks, "no_blocks", "Connections refused since the table of blocks was full."),
        new(NicCounter.NoBuffers, "no_conns", "Connections held up since the region of streams was full."),
        new(NicCounter.ReceiveGrowths, "receive_growths", "Receiving buffers that grew."),
        new(NicCounter.ReceiveGrowthsFailed, "receive_growths_failed", "Times a receiving buffer could not grow."),
        new(NicCounter.ReceivePressure, "receive_pressure",
            "Times all windows were made smaller because the ring of frames filled."),
        new(NicCounter.TimeWaitOverflows, "time_wait_overflows",
            "Connections whose TIME-WAIT was cut since there were too many (TcpExtTCPTimeWaitOverflow)."),
        new(NicCounter.TimersFired, "timers_fired", "Connections whose timer came due."),
        new(NicCounter.Polls, "polls", "Looks at the links."),
        new(NicCounter.PollsEmpty, "polls_empty", "Of those, ones that found nothing."),
        new(NicCounter.Kicks, "kicks", "Connections looked at since their program did something."),
        new(NicCounter.KickRounds, "kick_rounds", "Rounds over these."),
        new(NicCounter.LockBusy, "lock_busy", "Times the engine was left to the thread that has it already."),
        new(NicCounter.LocksRecovered, "locks_recovered", "Times the engine was taken over from a dead thread."),
        new(NicCounter.RecoveryResets, "recovery_resets", "Connections reset since a thread died at work on them."),
        new(NicCounter.CorruptStreams, "corrupt_streams", "Connections reset since shared state made no sense."),
        new(NicCounter.UdpReceived, "udp_received", "Datagrams put into a socket's ring (UdpInDatagrams)."),
        new(NicCounter.UdpNoSocket, "udp_no_socket", "Datagrams for which there was no socket (UdpNoPorts)."),
        new(NicCounter.UdpFull, "udp_full", "Datagrams that found their socket's ring full (UdpRcvbufErrors)."),
        new(NicCounter.UdpSent, "udp_sent", "Datagrams sent by a link (UdpOutDatagrams)."),
        new(NicCounter.UdpKernelRoute, "udp_kernel_route",
            "Datagrams left to the kernel: no link of ours leads there."),
        new(NicCounter.UdpKernelNeighbour, "udp_kernel_neighbour",
            "Datagrams left to the kernel: the next hop was not known yet."),
        new(NicCounter.UdpKernelSize, "udp_kernel_size", "Datagrams left to the kernel: larger than the MTU."),
        new(NicCounter.UdpKernelBuffer, "udp_kernel_buffer", "Datagrams left to the kernel: the link had no buffer."),
        new(NicCounter.HandoversBegun, "handovers_begun", "Connections frozen to be given to the kernel."),
        new(NicCounter.HandoversDone, "handovers_done", "Of those, ones that the kernel took."),
        new(NicCounter.RxHandedOver, "rx_handed_over",
            "Segments for a connection that was just then given to the kernel: its peer repeats them."),
        new(NicCounter.LockWaits, "engine_lock_waits", "Times a thread had to wait for the engine."),
    ];
}

/// <summary>The counters in the region, indexed by <see cref="NicCounter"/>. Written under the engine's lock.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 768)]
public unsafe struct NicCounters
{
    public const int Length = 96;

    [FieldOffset(0)] public fixed ulong Values[Length];
}
