using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>
/// How much new data goes now, if any: the peer's window, the congestion window, Nagle's rule as Linux has it
/// (RFC 9293 3.7.4, 3.8.6.2.1), and the FIN that follows the last byte.
/// </summary>
public static class NewData
{
    /// <summary>
    /// So much in flight, in full emissions, says that a stream is bulk; and so near is a peer whose ACK comes before
    /// anybody misses the end of a write (Linux' tcp_tso_should_defer() knows the same millisecond).
    /// </summary>
    private const uint BulkEmissions = 2;
    private const long NearNs = TcpContext.NsPerMs;

    public static bool Next(ref Tcb tcb, in TcpContext ctx, in TcpStreams streams, ref TcpEmit emit)
    {
        if ((tcb.Flags & TcbFlags.FinSent) != 0)
            return false;
        uint flight = (uint)(tcb.SndNxt - tcb.SndUna);
        uint unsent = streams.Queued > flight ? streams.Queued - flight : 0;
        if (unsent == 0 && !streams.Finished)
            return false;
        uint room = Window.Sendable(in tcb);
        uint mss = TcpOutput.Mss(in tcb);
        uint length = 0;
        if (unsent != 0)
        {
            uint wanted = Wanted(in tcb, in streams, unsent, room, mss);
            if (wanted == 0)
                return false;
            uint probe = tcb.Path.SearchLow == 0 ? 0
                : Pmtu.ProbeSize(ref tcb, in ctx, unsent, tcb.Recovery.Congestion.Cwnd);
            if (probe != 0)
                mss = wanted = probe;
            length = tcb.Recovery.Quota(ctx.Pool, wanted, mss, ctx.NowNs);
            if (probe != 0 && length < probe)
                tcb.Path.ProbeMtu = 0;
            if (length == 0)
                return false;
        }
        else if (room == 0)
            return false;
        // As Linux: the FIN goes with the last data if the window has room for it, whatever the congestion window says.
        bool fin = streams.Finished && length == unsent && room > length;
        return Send(ref tcb, in ctx, in streams, length, mss, fin, ref emit);
    }

    /// <summary>Payload of the next emission as far as window and Nagle's rule allow; 0: wait.</summary>
    private static uint Wanted(in Tcb tcb, in TcpStreams streams, uint unsent, uint room, uint mss)
    {
        uint most = Math.Max(streams.MaxEmission / mss * mss, mss);
        if (unsent < most && IsDeferred(in tcb, in streams, most))
            return 0;
        uint length = Math.Min(unsent, most);
        if (length > room)
            // Nothing rather than a part of a segment: what does not fit waits for the window, or the persist timer.
            length = room / mss * mss;
        uint tail = length % mss;
        if (tail == 0 || (length == unsent && MayBeShort(in tcb, in streams)))
            return length;
        return length - tail;
    }

    /// <summary>
    /// True if what ends a write waits for the next write or the next ACK, and leaves with more in one emission: in a
    /// stream that is bulk, to a peer so near that the ACK is all but here. What Linux does by tcp_tso_should_defer()
    /// and automatic corking. Where Nagle's rule is off nothing waits.
    /// </summary>
    private static bool IsDeferred(in Tcb tcb, in TcpStreams streams, uint most) =>
        (uint)(tcb.SndNxt - tcb.SndUna) >= BulkEmissions * most && most > tcb.SndMss
        && !streams.NoDelay && tcb.Recovery.Rtt.HasSample && tcb.Recovery.Rtt.MinRtt <= NearNs
        && !streams.Finished && streams.UrgentEnd <= (uint)(tcb.SndNxt - tcb.SndUna)
        && tcb.Recovery.ProbeDue == LossProbe.None;

    /// <summary>
    /// RFC 9293 3.7.4 with Minshall's change: a short segment waits while another short one is not acknowledged. FIN
    /// and urgent data do not wait.
    /// </summary>
    private static bool MayBeShort(in Tcb tcb, in TcpStreams streams)
    {
        if (streams.Finished || streams.UrgentEnd > (uint)(tcb.SndNxt - tcb.SndUna))
            return true;
        // RFC 8985 7.3: a loss probe does not wait for company.
        if (tcb.Recovery.ProbeDue != 0)
            return true;
        if (streams.MoreComes)
            return false;
        return streams.NoDelay || tcb.SndUna == tcb.SndNxt || tcb.SndSml <= tcb.SndUna;
    }

    /// <summary>A segment, or a run of them, of new data leaves.</summary>
    internal static bool Send(
        ref Tcb tcb, in TcpContext ctx, in TcpStreams streams, uint length, uint mss, bool fin, ref TcpEmit emit)
    {
        uint span = length + (fin ? 1u : 0u);
        // Not RFC 8985's: an ACK is all that a loss probe is for, and Linux does not delay that of what was pushed.
        bool isProbe = tcb.Recovery.ProbeDue == LossProbe.New;
        if (!tcb.Recovery.OnSent(ctx.Pool, tcb.SndNxt, span, mss, ctx.NowNs))
        {
            ctx.Count(TcpCounter.NoRecords);
            return false;
        }
        emit.Seq = tcb.SndNxt;
        emit.Offset = (uint)(tcb.SndNxt - tcb.SndUna);
        emit.Length = length;
        emit.SegmentSize = (ushort)mss;
        if (length != 0 && (isProbe || emit.Offset + length == streams.Queued))
            emit.Flags |= TcpFlags.Psh;
        if (fin)
        {
            emit.Flags |= TcpFlags.Fin;
            tcb.Flags |= TcbFlags.FinSent;
            tcb.FinSeq = tcb.SndNxt + length;
        }
        tcb.SndNxt += span;
        if (length % mss != 0)
            tcb.SndSml = tcb.SndNxt;
        TcpOutput.Complete(ref tcb, in ctx, in streams, ref emit);
        if (length == 0)
            return true;
        DelayedAck.OnSent(ref tcb, in ctx);
        tcb.SentAt = ctx.NowNs;
        return true;
    }
}
