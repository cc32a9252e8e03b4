namespace Accel.Core.Tcp;

/// <summary>What to send: the counterpart of RFC 9293 3.10.2 and of all that says "send".</summary>
public static class TcpOutput
{
    /// <summary>
    /// The next segment, or run of segments, that is due. To be called until it says no, after anything that may have
    /// made something due: an event with <see cref="TcpEvents.Send"/>, a write, a read that made room, a shutdown.
    /// </summary>
    public static bool Next(ref Tcb tcb, in TcpContext ctx, in TcpStreams streams, out TcpEmit emit)
    {
        emit = default;
        return false;
    }
}
