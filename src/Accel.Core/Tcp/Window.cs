using System.Numerics;
using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>
/// The two windows: what we may send and what we offer. Both without silly windows (RFC 9293 3.8.6.2); the right edge
/// that we offer never moves back (3.8.6.2.1 and 3.10.7.4).
/// </summary>
public static class Window
{
    /// <summary>RFC 7323 2.3.</summary>
    public const int MaxScale = 14;
    public const uint MaxUnscaled = 65535;

    /// <summary>RFC 7323 2: the smallest shift with which a window of this size can be offered.</summary>
    public static byte ScaleFor(uint receiveMax) =>
        (byte)Math.Clamp(BitOperations.Log2(receiveMax | 1) - 15, 0, MaxScale);

    /// <summary>What is left of the window that was offered last.</summary>
    public static uint Remaining(in Tcb tcb) => (uint)Math.Max(0, tcb.RcvWup + tcb.RcvWnd - tcb.RcvNxt);

    /// <summary>RFC 9293 3.10.7.4: first, whether any of it lies within the window.</summary>
    /// <remarks>
    /// As Linux: from what the last ACK acknowledged on, since an ACK of ours may still be on its way, and right up to
    /// the window's edge, so that a zero window lets ACKs, RSTs and window probes through.
    /// </remarks>
    public static bool Accepts(in Tcb tcb, in TcpSegment seg) =>
        seg.Seq + seg.SequenceLength >= tcb.RcvWup && seg.Seq <= tcb.RcvNxt + Remaining(in tcb);

    /// <summary>The window that the buffer's state suggests, the old right edge left aside.</summary>
    public static uint Choose(in Tcb tcb, in TcpStreams streams)
    {
        uint space = streams.ReceiveSpace, unread = streams.Unread, size = space + unread;
        uint clamp = tcb.Options.WindowClamp;
        if (clamp == 0 || (streams.OfferMost != 0 && streams.OfferMost < clamp))
            clamp = streams.OfferMost;
        if (clamp != 0)
        {
            size = Math.Min(size, clamp);
            space = clamp > unread ? Math.Min(space, clamp - unread) : 0;
        }
        uint mss = Math.Min(tcb.RcvMss, size);
        // RFC 9293 3.8.6.2.2: nothing rather than little.
        if (space < size >> 4 || space < mss || space == 0)
            return 0;
        if (tcb.RcvWscale != 0)
            return Math.Min(space, MaxUnscaled << tcb.RcvWscale);
        uint window = Math.Min(tcb.RcvWnd, MaxUnscaled);
        if (window + mss <= space || window > space)
            window = mss == 0 ? space : space / mss * mss;
        else if (mss == size && space > window + (size >> 1))
            window = space;
        return Math.Min(window, MaxUnscaled);
    }

    /// <summary>The window field of a segment that is sent now, which is an offer from now on.</summary>
    public static ushort Offer(ref Tcb tcb, in TcpStreams streams)
    {
        uint held = Remaining(in tcb);
        uint window = Math.Max(held, Choose(in tcb, in streams));
        int shift = tcb.RcvWscale;
        uint unit = 1u << shift;
        // RFC 7323 2.4: the field is coarse. Rounded up, so that the edge does not move back, if there is that room.
        uint field = (window + unit - 1) >> shift;
        if (field << shift > Math.Max(streams.ReceiveSpace, held))
            field = window >> shift;
        field = Math.Min(field, MaxUnscaled);
        tcb.RcvWup = tcb.RcvNxt;
        tcb.RcvWnd = Math.Max(held, field << shift);
        return (ushort)field;
    }

    /// <summary>True if the reader has made so much room that the peer should hear of it.</summary>
    public static bool IsUpdateDue(in Tcb tcb, in TcpStreams streams)
    {
        uint held = Remaining(in tcb);
        if (2ul * held > (ulong)streams.ReceiveSpace + streams.Unread)
            return false;
        uint window = Choose(in tcb, in streams);
        return window != 0 && window >= 2 * held;
    }

    /// <summary>Bytes that the peer's window still lets us send.</summary>
    public static uint Sendable(in Tcb tcb) => (uint)Math.Max(0, tcb.SndUna + tcb.SndWnd - tcb.SndNxt);

    /// <summary>RFC 9293 3.10.7.4, SND.WND: takes the window of an acceptable ACK if it is newer.</summary>
    /// <returns>True if the window changed.</returns>
    public static bool Update(ref Tcb tcb, in TcpSegment seg)
    {
        uint window = (uint)seg.Window << tcb.SndWscale;
        // As Linux: at the same place, a window may be larger or closed, but a smaller one is an older one.
        bool newer = seg.Ack > tcb.SndUna || seg.Seq > tcb.SndWl1
            || (seg.Seq == tcb.SndWl1 && (window > tcb.SndWnd || window == 0));
        if (!newer)
            return false;
        tcb.SndWl1 = seg.Seq;
        if (window == tcb.SndWnd)
            return false;
        tcb.SndWnd = window;
        if (window > tcb.MaxWindow)
            tcb.MaxWindow = window;
        return true;
    }
}
