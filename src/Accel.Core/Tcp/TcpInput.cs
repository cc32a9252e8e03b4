namespace Accel.Core.Tcp;

/// <summary>RFC 9293 3.10.7: a segment arrives.</summary>
public static class TcpInput
{
    /// <summary>
    /// One step. <paramref name="fx"/> says what to store, how much of it became readable, and whether to call
    /// <see cref="TcpOutput.Next"/>. <paramref name="streams"/> is as it was before the segment.
    /// </summary>
    public static void OnSegment(
        ref Tcb tcb, in TcpSegment seg, in TcpContext ctx, in TcpStreams streams, ref TcpEffects fx)
    {
    }
}
