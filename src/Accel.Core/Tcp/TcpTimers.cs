namespace Accel.Core.Tcp;

/// <summary>What a connection does when time passes.</summary>
public static class TcpTimers
{
    /// <summary>When <see cref="OnTimer"/> should be called next; <see cref="long.MaxValue"/>: not at all. It may move
    /// in either direction in any step.</summary>
    public static long Deadline(in Tcb tcb)
    {
        long least = long.MaxValue;
        if (tcb.SendTimerAt != 0)
            least = tcb.SendTimerAt;
        if (tcb.DelayedAckAt != 0 && tcb.DelayedAckAt < least)
            least = tcb.DelayedAckAt;
        if (tcb.SlowTimerAt != 0 && tcb.SlowTimerAt < least)
            least = tcb.SlowTimerAt;
        return least;
    }

    /// <summary>Does what is due. Harmless when nothing is.</summary>
    public static void OnTimer(ref Tcb tcb, in TcpContext ctx, in TcpStreams streams, ref TcpEffects fx)
    {
    }
}
