using System.Text.Json;
using Accel.Core.Nic;
using Accel.Core.Stack;
using Accel.Core.Tcp;
using Accel.Inspect;

namespace Accel.Daemon.Telemetry;

/// <summary>
/// The one declaration of the metrics: meters, the OpenMetrics text and documents follow it. Every counter of a stack
/// is one, under its own name; those that OpenTelemetry's semantic conventions have words for use these words.
/// </summary>
public static class Metrics
{
    public static readonly Metric[] All = [.. Common(), .. Daemon(), .. Counters()];

    private static IEnumerable<Metric> Common() =>
    [
        new("accel.network.io", MetricKind.Counter, "By", "Bytes that programs moved on accelerated connections.",
            o => o.Stacks.SelectMany(s => Directions(s, s.Counters["bytes_received"], s.Counters["bytes_sent"]))),
        new("accel.network.packets", MetricKind.Counter, "{packet}", "TCP segments of connections over interfaces.",
            o => o.Stacks.SelectMany(s =>
                Directions(s, s.Counters["tcp_segments_in"], s.Counters["tcp_segments_out"]))),
        new("accel.network.dropped", MetricKind.Counter, "{packet}", "Packets that nobody got, by reason.",
            o => o.Stacks.SelectMany(s => s.Dropped.Select(d => At(s, d.Value, ("accel.drop.reason", d.Key))))),
        new("accel.network.connections", MetricKind.Gauge, "{connection}", "Connections, by the path they take.",
            o => o.Stacks.SelectMany(s => (MetricValue[])[At(s, s.NicConnections, ("accel.path", "nic")),
                At(s, s.LocalConnections, ("accel.path", "local")), At(s, s.KernelSockets, ("accel.path", "kernel"))])),
        new("accel.network.kernel_sockets", MetricKind.Gauge, "{socket}", "Sockets on the kernel path, by reason.",
            o => o.Stacks.SelectMany(s =>
                s.KernelReasons.Select(r => At(s, r.Value, ("accel.path.reason", r.Key))))),
        new("accel.network.listeners", MetricKind.Gauge, "{socket}", "Listening sockets.",
            o => o.Stacks.Select(s => At(s, s.Listeners))),
        new("accel.memory.buffers", MetricKind.Gauge, "By", "Ring buffers that connections hold.",
            o => o.Stacks.Select(s => At(s, s.BufferBytes))),
        new("accel.process.cpu.time", MetricKind.Counter, "s", "CPU time of a stack's processes, user and system.",
            o => o.Stacks.Select(s => At(s, s.Processes.Sum(p => p.CpuNs) / 1e9))),
    ];

    private static IEnumerable<Metric> Daemon() =>
    [
        new("accel.stacks", MetricKind.Gauge, "{stack}", "Stacks of this network namespace that can be read.",
            o => [new(o.Stacks.Count)]),
        new("accel.stacks_unreadable", MetricKind.Gauge, "{region}",
            "Regions of processes that cannot: of another build, damaged, or not permitted.",
            o => [new(o.Refusals.Count)]),
        new("accel.acceld.clients", MetricKind.Gauge, "{connection}", "Conversations that acceld has with processes.",
            o => o.Daemon is { } d ? [new(d.GetProperty("connections").GetDouble())] : []),
        new("accel.acceld.stacks_buried", MetricKind.Counter, "{stack}", "Stacks whose last process has died.",
            o => o.Daemon is { } d ? [new(d.GetProperty("stacks_buried").GetDouble())] : []),
        new("accel.interface.frames", MetricKind.Counter, "{frame}", "Frames that the XDP program saw, by what came of "
            + "them; steered_bytes are bytes.", o => Interfaces(o).SelectMany(i =>
                i.Json.GetProperty("frames").EnumerateObject().Select(f => new MetricValue(f.Value.GetDouble(),
                    new("network.interface.name", i.Name), new("accel.disposition", f.Name))))),
        new("accel.interface.free_buffers", MetricKind.Gauge, "{buffer}", "Packet buffers of a queue that nobody has.",
            o => Interfaces(o).SelectMany(i => i.Json.GetProperty("queues").EnumerateArray()
                .Where(q => q.TryGetProperty("free", out _)).Select(q => new MetricValue(
                    q.GetProperty("free").GetDouble(), new("network.interface.name", i.Name),
                    new("accel.queue", q.GetProperty("queue").ToString()))))),
    ];

    /// <summary>Every counter that stacks keep.</summary>
    private static IEnumerable<Metric> Counters()
    {
        foreach (CounterRow row in CounterTable.Rows) yield return Counter(row.Name, row.Name, row.Meaning);
        foreach (NicCounterTable.Row row in NicCounterTable.Rows)
        {
            string name = StackReading.NicName(row);
            yield return Counter(name, name, row.Meaning);
        }
        foreach (TcpCounterRow row in TcpCounterTable.Rows) yield return Counter(row.Name, row.Name, row.Meaning);
        yield return Counter("link_doorbells", "link_doorbells", "System calls that told a link of frames to send.");
        yield return Counter("link_frames", "link_frames", "Frames received and sent by links.");
    }

    private static Metric Counter(string counter, string name, string meaning)
    {
        bool isTime = name.EndsWith("_ns", StringComparison.Ordinal);
        bool isBytes = name.StartsWith("bytes_", StringComparison.Ordinal)
            || name.EndsWith("_bytes", StringComparison.Ordinal);
        string text = isTime ? $"{meaning.Replace("Nanoseconds", "Seconds", StringComparison.Ordinal)}" : meaning;
        return new($"accel.stack.{(isTime ? name[..^3] : name)}", MetricKind.Counter,
            isTime ? "s" : isBytes ? "By" : "{count}", text,
            o => o.Stacks.Select(s => At(s, isTime ? s.Counters[counter] / 1e9 : s.Counters[counter])));
    }

    private static IEnumerable<(string Name, JsonElement Json)> Interfaces(Observation o) => o.Daemon is not { } daemon
        ? [] : daemon.GetProperty("interfaces").EnumerateArray().Select(i => (i.GetProperty("name").GetString()!, i));

    private static IEnumerable<MetricValue> Directions(StackReading stack, long received, long sent) =>
    [
        At(stack, received, ("network.io.direction", "receive")),
        At(stack, sent, ("network.io.direction", "transmit")),
    ];

    private static MetricValue At(
        StackReading stack, double value, params (string Name, string Value)[] more) =>
        new(value, [
            new("accel.stack.id", stack.Id),
            new("process.pid", stack.Processes.Count == 0 ? "" : $"{stack.Processes[0].Pid}"),
            new("process.executable.name", stack.Processes.Count == 0 ? "" : stack.Processes[0].Name),
            .. more.Select(m => new KeyValuePair<string, string>(m.Name, m.Value)),
        ]);
}
