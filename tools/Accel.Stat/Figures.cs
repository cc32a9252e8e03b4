using Accel.Inspect;

namespace Accel.Stat;

/// <summary>How a figure is told for an interval: a counter by its rate, a gauge as it stands.</summary>
public enum FigureKind
{
    Counter,
    Gauge,
}

/// <summary>
/// One figure of a stack: its name in JSON and CSV and for --sort, its title on the screen, its unit. People see the
/// rate of a time in percent of one CPU, scripts as nanoseconds of each second.
/// </summary>
public sealed record Figure(
    string Name, string Title, FigureKind Kind, string Unit, string Meaning, Func<StackReading, long> Of);

/// <summary>The one declaration of the figures: screen, tables, JSON, CSV, --sort and help follow it.</summary>
public static class Figures
{
    public const string Nanoseconds = "ns", Bytes = "bytes";

    public static readonly Figure[] All =
    [
        Gauge("nic", "nic", "", "Connections over network interfaces.", r => r.NicConnections),
        Gauge("local", "local", "", "Connections over shared memory.", r => r.LocalConnections),
        Gauge("kernel", "kernel", "", "Sockets on the kernel path.", r => r.KernelSockets),
        Gauge("listeners", "listen", "", "Listening sockets.", r => r.Listeners),
        Count("accepts", "acc", "", "Connections that accept() gave, over all paths.",
            "local_accepts", "kernel_accepts", "nic_accepts"),
        Count("connects", "conn", "", "Connections that connect() made over shared memory or an interface.",
            "local_connects", "nic_connects"),
        Count("segments_in", "seg in", "", "TCP segments that reached a connection.", "tcp_segments_in"),
        Count("segments_out", "seg out", "", "TCP segments sent.", "tcp_segments_out"),
        Count("bytes_in", "in", Bytes, "Bytes that the programs received on accelerated connections.",
            "bytes_received"),
        Count("bytes_out", "out", Bytes, "Bytes that the programs sent on accelerated connections.", "bytes_sent"),
        Count("calls_in", "reads", "", "Calls that received them.", "receive_calls"),
        Count("calls_out", "writes", "", "Calls that sent them.", "send_calls"),
        Count("retransmits", "rexmit", "", "Segments sent again.", "tcp_retransmitted"),
        new("drops", "drops", FigureKind.Counter, "",
            "Packets that nobody got; by reason in JSON and in a stack's page.", r => Sum(r.Dropped.Values)),
        Count("doorbells", "bells", "", "System calls that told a link of frames to send.", "link_doorbells"),
        Count("wakeups", "wakes", "", "Sleepers woken here or in another process.", "wakes_sent"),
        Count("sleeps", "sleeps", "", "Times a thread went to sleep in the kernel.", "sleeps"),
        new("cpu", "cpu", FigureKind.Counter, Nanoseconds, "CPU time of the processes, user and system.",
            r => r.Processes.Sum(p => p.CpuNs)),
        Count("spin", "spin", Nanoseconds, "Of that, time in which threads looked at their sockets in vain.",
            "spin_ns"),
        new("useful", "useful", FigureKind.Counter, Nanoseconds, "The rest: programs, protocol and kernel at work.",
            r => Math.Max(0, r.Processes.Sum(p => p.CpuNs) - r.Counters["spin_ns"])),
        Count("rounds", "rounds", Nanoseconds, "Of useful, time in rounds of the network path.", "nic_round_ns"),
        Count("lock_waits", "locks", "", "Locks found taken, so that a thread waited or left its work to the holder.",
            "lock_waits", "lock_busy", "engine_lock_waits"),
        Gauge("buffers", "buffers", Bytes, "Bytes of the ring buffers that connections hold.", r => r.BufferBytes),
        Gauge("records", "records", "", "Segments that wait to be acknowledged or put in order.",
            r => r.SegmentRecords),
    ];

    public static Figure? Find(string name) => All.FirstOrDefault(f => f.Name == name);

    private static Figure Gauge(string name, string title, string unit, string meaning, Func<StackReading, long> of) =>
        new(name, title, FigureKind.Gauge, unit, meaning, of);

    private static Figure Count(string name, string title, string unit, string meaning, params string[] counters) =>
        new(name, title, FigureKind.Counter, unit, meaning, r => Sum(counters.Select(c => r.Counters[c])));

    /// <summary>Wraps where the numbers of a damaged region are beyond all measure.</summary>
    private static long Sum(IEnumerable<long> values) => values.Aggregate(0L, (a, b) => unchecked(a + b));
}
