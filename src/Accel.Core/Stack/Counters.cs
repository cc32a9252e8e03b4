using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Stack;

/// <summary>Every event that a stack counts. The order is the order of <see cref="CounterTable.Rows"/>.</summary>
public enum Counter
{
    SocketsCreated,
    SocketsKernel,
    LocalConnects,
    LocalAccepts,
    KernelAccepts,
    ConnectRefused,
    BacklogFull,
    ResetsSent,
    FinsSent,
    RingGrowths,
    RingFull,
    SendCalls,
    ReceiveCalls,
    EpollWaits,
    EpollEvents,
    EpollKernelChecks,
    PollCalls,
    SpinHits,
    SpinMisses,
    Sleeps,
    WakesSent,
    WakesReceived,
    WakesMissed,
    Interrupted,
    Forks,
    PlainForks,
    ProcessesReaped,
    Audits,
    PeersLost,
    RegionsAttached,
    AttachRefused,
    NoBuffers,
    NoSockets,
    NoEpollItems,
    NoDoorbells,
    Handovers,
    CorruptNeighbour,
    LocksRecovered,
    NicAttached,
    NicConnects,
    NicAccepts,
    NicListens,
    NicRefused,
    NicDatagramSockets,
    Execs,
    LiveHandovers,
    LiveHandoversRefused,
    HandoversFollowed,
    HandoversLost,
    BytesSent,
    BytesReceived,
    SpinNs,
    NicRoundNs,
    LockWaits,
    Count,
}

/// <summary>A counter's name and one-line meaning.</summary>
public readonly record struct CounterRow(Counter Counter, string Name, string Meaning);

/// <summary>The one declaration of the counters: memory, stackdump, JSON and documents follow it.</summary>
[ColdPath]
public static class CounterTable
{
    public static readonly CounterRow[] Rows =
    [
        new(Counter.SocketsCreated, "sockets_created", "Sockets that came under the stack's care."),
        new(Counter.SocketsKernel, "sockets_kernel", "Sockets that went to the kernel path (see their reason)."),
        new(Counter.LocalConnects, "local_connects", "Connections made over shared memory by connect()."),
        new(Counter.LocalAccepts, "local_accepts", "Connections taken over shared memory by accept()."),
        new(Counter.KernelAccepts, "kernel_accepts", "Connections that accept() took from the kernel's queue."),
        new(Counter.ConnectRefused, "connect_refused", "connect() calls that found no accelerated listener."),
        new(Counter.BacklogFull, "backlog_full", "connect() calls that found the accept queue full and waited."),
        new(Counter.ResetsSent, "resets_sent", "Connections ended by a reset from this side."),
        new(Counter.FinsSent, "fins_sent", "Orderly ends of a sending direction."),
        new(Counter.RingGrowths, "ring_growths", "Moves of a sender to a larger ring."),
        new(Counter.RingFull, "ring_full", "Sends that found no room."),
        new(Counter.SendCalls, "send_calls",
            "Calls that sent on connections that are closed now (accelstat adds the open ones)."),
        new(Counter.ReceiveCalls, "receive_calls", "Calls that received on connections that are closed now."),
        new(Counter.EpollWaits, "epoll_waits", "epoll_wait() calls on sets with accelerated members."),
        new(Counter.EpollEvents, "epoll_events", "Events of accelerated members that were reported."),
        new(Counter.EpollKernelChecks, "epoll_kernel_checks",
            "Looks at the kernel's part of an epoll set without sleeping."),
        new(Counter.PollCalls, "poll_calls", "poll() and select() calls with accelerated descriptors."),
        new(Counter.SpinHits, "spin_hits", "Waits that ended while spinning."),
        new(Counter.SpinMisses, "spin_misses", "Spins that ended without an event."),
        new(Counter.Sleeps, "sleeps", "Times a thread went to sleep in the kernel."),
        new(Counter.WakesSent, "wakes_sent", "Sleepers woken in this or another process."),
        new(Counter.WakesReceived, "wakes_received", "Wake datagrams taken."),
        new(Counter.WakesMissed, "wakes_missed",
            "Events found by the watchdog after a sleep: a wake was lost (should stay 0)."),
        new(Counter.Interrupted, "interrupted", "Sleeps ended by a signal."),
        new(Counter.Forks, "forks", "Processes forked with sockets open."),
        new(Counter.PlainForks, "plain_forks",
            "Processes forked while the stack had no place for another: their sockets are the kernel's."),
        new(Counter.ProcessesReaped, "processes_reaped",
            "Dead processes of this stack whose descriptors were given up for them."),
        new(Counter.Audits, "audits",
            "Times that all references were counted anew, since a process was killed in the middle of a change."),
        new(Counter.PeersLost, "peers_lost", "Processes of neighbouring stacks that died."),
        new(Counter.RegionsAttached, "regions_attached", "Neighbours' local regions mapped."),
        new(Counter.AttachRefused, "attach_refused", "Neighbours' regions that could not be used."),
        new(Counter.NoBuffers, "no_buffers", "Connections or ring moves refused because the region was full."),
        new(Counter.NoSockets, "no_sockets", "Sockets left to the kernel because the socket table was full."),
        new(Counter.NoEpollItems, "no_epoll_items", "epoll_ctl() calls refused because the item table was full."),
        new(Counter.NoDoorbells, "no_doorbells", "Waits without a doorbell because the table was full."),
        new(Counter.Handovers, "handovers",
            "Sockets given to the kernel after they had been watched or configured here."),
        new(Counter.CorruptNeighbour, "corrupt_neighbour", "Connections reset because shared state made no sense."),
        new(Counter.LocksRecovered, "locks_recovered", "Locks taken over from a holder that died."),
        new(Counter.NicAttached, "nic_attached", "Times the stack joined acceld's network interfaces."),
        new(Counter.NicConnects, "nic_connects", "Connections begun over a network interface by connect()."),
        new(Counter.NicAccepts, "nic_accepts", "Connections taken over a network interface by accept()."),
        new(Counter.NicListens, "nic_listens", "Listening sockets that take connections from network interfaces."),
        new(Counter.NicRefused, "nic_refused", "Ports that acceld would not steer to this stack."),
        new(Counter.NicDatagramSockets, "nic_datagram_sockets", "UDP sockets that received over a network interface."),
        new(Counter.Execs, "execs", "Images that took over from the one before them in exec()."),
        new(Counter.LiveHandovers, "live_handovers", "Live connections given to the kernel without losing a byte."),
        new(Counter.LiveHandoversRefused, "live_handovers_refused",
            "Live connections that could not be (see handover_refusal)."),
        new(Counter.HandoversFollowed, "handovers_followed",
            "Descriptors of connections that another process of the family gave to the kernel, exchanged here."),
        new(Counter.HandoversLost, "handovers_lost",
            "Of those, ones that could not be fetched from that process: their socket is not connected any more."),
        new(Counter.BytesSent, "bytes_sent",
            "Bytes sent on connections that are closed now (accelstat adds the open ones)."),
        new(Counter.BytesReceived, "bytes_received", "Bytes received on connections that are closed now."),
        new(Counter.SpinNs, "spin_ns",
            "Nanoseconds that threads looked at their sockets in vain before a sleep or an event."),
        new(Counter.NicRoundNs, "nic_round_ns",
            "Nanoseconds in rounds of the network path that had something to do (not part of spin_ns)."),
        new(Counter.LockWaits, "lock_waits", "Locks that were found taken, so that a thread had to wait."),
    ];
}

/// <summary>One cache-line aligned copy of all counters; threads use different shards, readers add them up.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 512)]
public unsafe struct CounterShard
{
    public const int Shards = 8;

    [FieldOffset(0)] public fixed long Values[64];
}
