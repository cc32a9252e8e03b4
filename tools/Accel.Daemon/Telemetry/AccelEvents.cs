using System.Diagnostics.Tracing;

namespace Accel.Daemon.Telemetry;

/// <summary>What happens to connections, as events with fields, for dotnet-trace and whoever listens in that way.</summary>
[EventSource(Name = "Accel")]
public sealed class AccelEvents : EventSource
{
    public static readonly AccelEvents Log = new();

    private AccelEvents()
    {
    }

    /// <summary>Raised when somebody begins to listen. Static, since an instance's methods are taken for events.</summary>
    public static event Action? Wanted;

    [Event(1, Level = EventLevel.Informational)]
    public void ConnectionOpened(
        string stack, int pid, string path, string local, string remote, bool accepted, long monotonicNs) =>
        WriteEvent(1, stack, pid, path, local, remote, accepted, monotonicNs);

    [Event(2, Level = EventLevel.Informational)]
    public void ConnectionClosed(string stack, int pid, string path, string local, string remote, long bytesSent,
        long bytesReceived, long monotonicNs) =>
        WriteEvent(2, stack, pid, path, local, remote, bytesSent, bytesReceived, monotonicNs);

    /// <summary>A socket went to the kernel path; the reason is the sentence that stackdump shows.</summary>
    [Event(3, Level = EventLevel.Informational)]
    public void PathChosen(
        string stack, int pid, string path, string reason, string local, string remote, long monotonicNs) =>
        WriteEvent(3, stack, pid, path, reason, local, remote, monotonicNs);

    /// <summary>Segments that a connection sent again since the last look at it.</summary>
    [Event(4, Level = EventLevel.Warning)]
    public void Retransmission(string stack, string local, string remote, long segments, long total) =>
        WriteEvent(4, stack, local, remote, segments, total);

    /// <summary>Packets that nobody got since the last look, by reason.</summary>
    [Event(5, Level = EventLevel.Warning)]
    public void Dropped(string stack, string reason, long packets, long total) =>
        WriteEvent(5, stack, reason, packets, total);

    /// <summary>A live connection was given to the kernel, or why it could not be.</summary>
    [Event(6, Level = EventLevel.Informational)]
    public void Handover(
        string stack, int pid, bool done, string reason, string local, string remote, long monotonicNs) =>
        WriteEvent(6, stack, pid, done, reason, local, remote, monotonicNs);

    /// <summary>Events of a stack's log that were overwritten before they were read.</summary>
    [Event(7, Level = EventLevel.Warning)]
    public void Missed(string stack, long events) => WriteEvent(7, stack, events);

    protected override void OnEventCommand(EventCommandEventArgs command)
    {
        if (command.Command == EventCommand.Enable) Wanted?.Invoke();
    }
}
