using System.Globalization;
using System.Text.Json.Nodes;
using Accel.Inspect;
using Accel.Inspect.Look;

namespace Accel.Stat;

/// <summary>`accelstat events`: what happens to connections, a line for each.</summary>
public sealed class EventLines(TextWriter output, bool isJson) : IStackEvents
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(100);

    /// <summary>Follows until the time is over; null: until it is interrupted.</summary>
    public static int Run(int? pid, TimeSpan? time, bool isJson, TextWriter output)
    {
        var lines = new EventLines(output, isJson);
        var feed = new EventFeed();
        var index = new RegionIndex();
        using var others = new OtherStacks();
        string? told = null;
        long? end = time is null ? null : Environment.TickCount64 + (long)time.Value.TotalMilliseconds;
        do
        {
            using (Machine machine = Machine.Look(index, others))
            {
                if (machine.Unseen is { } unseen && told != unseen)
                    Console.Error.WriteLine($"accelstat: {told = unseen}");
                feed.Look(machine, machine.Stacks.Where(s => pid is null || s.Processes.Any(p => p.Pid == pid)), lines);
            }
            output.Flush();
            Thread.Sleep(Interval);
        }
        while (end is null || Environment.TickCount64 < end);
        return 0;
    }

    public void ConnectionOpened(
        string stack, int pid, string path, string local, string remote, bool accepted, long monotonicNs) =>
        Write("opened", ("stack", stack), ("pid", pid), ("path", path), ("local", local), ("peer", remote),
            ("accepted", accepted), ("monotonic_ns", monotonicNs));

    public void ConnectionClosed(string stack, int pid, string path, string local, string remote, long bytesSent,
        long bytesReceived, long monotonicNs) =>
        Write("closed", ("stack", stack), ("pid", pid), ("path", path), ("local", local), ("peer", remote),
            ("bytes_sent", bytesSent), ("bytes_received", bytesReceived), ("monotonic_ns", monotonicNs));

    public void PathChosen(
        string stack, int pid, string path, string reason, string local, string remote, long monotonicNs) =>
        Write("path", ("stack", stack), ("pid", pid), ("path", path), ("local", local), ("peer", remote),
            ("why", reason), ("monotonic_ns", monotonicNs));

    public void Retransmission(string stack, string local, string remote, long segments, long total) =>
        Write("retransmission", ("stack", stack), ("local", local), ("peer", remote), ("segments", segments),
            ("total", total));

    public void Dropped(string stack, string reason, long packets, long total) =>
        Write("dropped", ("stack", stack), ("why", reason), ("packets", packets), ("total", total));

    public void Handover(
        string stack, int pid, bool done, string reason, string local, string remote, long monotonicNs) =>
        Write("handover", ("stack", stack), ("pid", pid), ("done", done), ("local", local), ("peer", remote),
            ("why", reason), ("monotonic_ns", monotonicNs));

    public void Missed(string stack, long events) => Write("missed", ("stack", stack), ("events", events));

    private void Write(string name, params (string Name, object Value)[] fields)
    {
        if (!isJson)
        {
            output.WriteLine($"{name,-14} {string.Join(' ', fields.Select(f => string.Create(
                CultureInfo.InvariantCulture, $"{f.Name}={(f.Name == "why" ? $"\"{f.Value}\"" : f.Value)}")))}");
            return;
        }
        var json = new JsonObject { ["event"] = name };
        foreach ((string field, object value) in fields) json[field] = JsonValue.Create(value);
        output.WriteLine(json.ToJsonString());
    }
}
