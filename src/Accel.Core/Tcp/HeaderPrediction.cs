using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>
/// The short way for the segment that is expected: in order, nothing but ACK and perhaps PSH, the window as before, no
/// gaps, no loss. Does what the long way would.
/// </summary>
public static class HeaderPrediction
{
    private const TcpFlags Looked = ~TcpFlags.Psh;

    private const TcbFlags Unusual = TcbFlags.EchoCongestion | TcbFlags.FinStored | TcbFlags.UrgentSeen;

    public static bool TryTake(
        ref Tcb tcb, in TcpSegment seg, in TcpContext ctx, in TcpStreams streams, ref TcpEffects fx)
    {
        bool expected = tcb.State == TcpState.Established
            && (seg.Flags & Looked) == TcpFlags.Ack
            && seg.Seq == tcb.RcvNxt
            && seg.Ack >= tcb.SndUna && seg.Ack <= tcb.SndNxt
            && (uint)seg.Window << tcb.SndWscale == tcb.SndWnd && tcb.SndWnd != 0
            && (tcb.Flags & Unusual) == 0
            && !seg.CongestionExperienced && !streams.Finished
            && tcb.Reassembly.IsEmpty
            && tcb.Recovery.State == RecoveryState.Open;
        if (!expected)
            return false;
        if ((tcb.Flags & TcbFlags.Timestamps) != 0)
        {
            // RFC 7323 4.3, 5.3: TS.Recent may take what is not older, since the segment begins at RCV.NXT.
            if (seg.Options.Present != TcpOptionKinds.Timestamps || (int)(seg.Options.TsVal - tcb.TsRecent) < 0)
                return false;
            if (seg.Length == 0 && seg.Ack == tcb.SndUna)
                return false;
            if (seg.Length > Room(in tcb, in streams))
                return false;
            if (seg.Seq <= tcb.RcvWup)
            {
                tcb.TsRecent = seg.Options.TsVal;
                tcb.TsRecentAt = ctx.NowNs;
            }
        }
        else if (seg.Options.Present != TcpOptionKinds.None || seg.Length > Room(in tcb, in streams)
            || (seg.Length == 0 && seg.Ack == tcb.SndUna))
            return false;
        tcb.HeardAt = ctx.NowNs;
        if (seg.Ack != tcb.SndUna)
            TcpAck.Take(ref tcb, in seg, in ctx, in streams, windowMoved: false, ref fx);
        if (seg.Length != 0)
        {
            ctx.Count(TcpCounter.PredictedData);
            TcpReceive.TakeInOrder(ref tcb, in seg, 0, seg.Length, in ctx, in streams, ref fx);
            DelayedAck.Decide(ref tcb, in ctx, inOrder: true);
            if ((tcb.Acks & AckFlags.Now) != 0)
                fx.Events |= TcpEvents.Send;
        }
        else
            ctx.Count(TcpCounter.PredictedAcks);
        if (seg.Ack == tcb.SndUna)
            TcpTimers.Sync(ref tcb, in ctx);
        return true;
    }

    private static uint Room(in Tcb tcb, in TcpStreams streams) =>
        Math.Min(Window.Remaining(in tcb), streams.ReceiveSpace);
}
