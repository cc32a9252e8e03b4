namespace Accel.Inspect;

/// <summary>Who is told of what happens to connections.</summary>
public interface IStackEvents
{
    void ConnectionOpened(
        string stack, int pid, string path, string local, string remote, bool accepted, long monotonicNs);

    void ConnectionClosed(string stack, int pid, string path, string local, string remote, long bytesSent,
        long bytesReceived, long monotonicNs);

    /// <summary>A connection took a path; the reason is the sentence that stackdump shows.</summary>
    void PathChosen(
        string stack, int pid, string path, string reason, string local, string remote, long monotonicNs);

    /// <summary>Segments that a connection sent again since the last look at it.</summary>
    void Retransmission(string stack, string local, string remote, long segments, long total);

    /// <summary>Packets that nobody got since the last look, by reason.</summary>
    void Dropped(string stack, string reason, long packets, long total);

    /// <summary>A live connection was given to the kernel, or why it could not be.</summary>
    void Handover(
        string stack, int pid, bool done, string reason, string local, string remote, long monotonicNs);

    /// <summary>Events of a stack's log that were overwritten before they were read.</summary>
    void Missed(string stack, long events);
}
