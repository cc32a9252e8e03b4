using System.Diagnostics.Tracing;
using Accel.Inspect;

namespace Accel.Daemon.Telemetry;

/// <summary>What happens to connections, as events with fields, for dotnet-trace and whoever listens like it.</summary>
[EventSource(Name = "Accel")]
public sealed class AccelEvents : EventSource, IStackEvents
{
    public static readonly AccelEvents Log = new();

    private AccelEvents()
    {
    }

    /// <summary>Somebody begins to listen. Static, since an instance's methods are taken for events.</summary>
    public static event Action? Wanted;

    [Event(1, Level = EventLevel.Informational)]
    public void ConnectionOpened(
        string stack, int pid, string path, string local, string remote, bool accepted, long monotonicNs) =>
        WriteEvent(1, stack, pid, path, local, remote, accepted, monotonicNs);

    [Event(2, Level = EventLevel.Informational)]
    public void ConnectionClosed(string stack, int pid, string path, string local, string remote, long bytesSent,
        long bytesReceived, long monotonicNs) =>
        WriteEvent(2, stack, pid, path, local, remote, bytesSent, bytesReceived, monotonicNs);

    [Event(3, Level = EventLevel.Informational)]
    public void PathChosen(
        string stack, int pid, string path, string reason, string local, string remote, long monotonicNs) =>
        WriteEvent(3, stack, pid, path, reason, local, remote, monotonicNs);

    [Event(4, Level = EventLevel.Warning)]
    public void Retransmission(string stack, string local, string remote, long segments, long total) =>
        WriteEvent(4, stack, local, remote, segments, total);

    [Event(5, Level = EventLevel.Warning)]
    public void Dropped(string stack, string reason, long packets, long total) =>
        WriteEvent(5, stack, reason, packets, total);

    [Event(6, Level = EventLevel.Informational)]
    public void Handover(
        string stack, int pid, bool done, string reason, string local, string remote, long monotonicNs) =>
        WriteEvent(6, stack, pid, done, reason, local, remote, monotonicNs);

    [Event(7, Level = EventLevel.Warning)]
    public void Missed(string stack, long events) => WriteEvent(7, stack, events);

    protected override void OnEventCommand(EventCommandEventArgs command)
    {
        if (command.Command == EventCommand.Enable) Wanted?.Invoke();
    }
}
