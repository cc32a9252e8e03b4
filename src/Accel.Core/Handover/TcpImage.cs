using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Handover;

/// <summary>What a connection has that another TCP has to know.</summary>
[Flags]
public enum ImageFlags : uint
{
    None = 0,
    Timestamps = 1,
    Sack = 2,

    /// <summary>Our FIN is behind the last byte and has been sent, or is still to be.</summary>
    FinSent = 4,
    FinDue = 8,

    /// <summary>The peer's FIN is behind the last unread byte.</summary>
    FinReceived = 16,

    /// <summary>The program's socket is of IPv6, whatever the addresses are.</summary>
    V6Socket = 32,
}

/// <summary>
/// A synchronized connection in the terms of Linux's TCP_REPAIR: where its two streams stand, what lies in the two
/// queues, what was agreed on. The bytes of the queues go beside it: unread, then sent, then unsent.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 64)]
public struct TcpImage
{
    /// <summary>Of the first byte in the sending queue, and of the first that the program has not read.</summary>
    [FieldOffset(0)] public uint SendSeq;
    [FieldOffset(4)] public uint ReceiveSeq;

    /// <summary>Bytes that wait for their ACK, that wait to be sent, and that wait to be read.</summary>
    [FieldOffset(8)] public uint Sent;
    [FieldOffset(12)] public uint Unsent;
    [FieldOffset(16)] public uint Unread;

    /// <summary>struct tcp_repair_window: SND.WL1, SND.WND, the largest window of the peer, RCV.WND, and RCV.NXT when
    /// that window was offered.</summary>
    [FieldOffset(20)] public uint SndWl1;
    [FieldOffset(24)] public uint SndWnd;
    [FieldOffset(28)] public uint MaxWindow;
    [FieldOffset(32)] public uint RcvWnd;
    [FieldOffset(36)] public uint RcvWup;

    /// <summary>The value that the timestamp of a segment sent now would have.</summary>
    [FieldOffset(40)] public uint TsVal;
    [FieldOffset(44)] public ushort PeerMss;
    [FieldOffset(46)] public byte SndWscale;
    [FieldOffset(47)] public byte RcvWscale;
    [FieldOffset(48)] public ImageFlags Flags;

    public readonly bool Has(ImageFlags flags) => (Flags & flags) == flags;

    public readonly ulong QueueBytes => (ulong)Unread + Sent + Unsent;

    /// <summary>What the peer's window field would have to be not to change what it has offered.</summary>
    public readonly ushort WindowField => (ushort)Math.Min(SndWnd >> SndWscale, ushort.MaxValue);

    /// <summary>
    /// The image of a connection; false if it is in no state that can be told so: not yet synchronized, or over.
    /// </summary>
    public static bool TryOf(in Tcb tcb, in TcpStreams streams, uint nowMs, out TcpImage image)
    {
        image = default;
        if (!tcb.State.IsSynchronized())
            return false;
        bool finSent = (tcb.Flags & TcbFlags.FinSent) != 0;
        bool finReceived = (tcb.Flags & TcbFlags.FinReceived) != 0;
        // RFC 9293 3.4: a FIN takes a number, but is no byte of a stream. One that is acknowledged is taken back: the
        // other TCP sends it once more, and hears that the peer has it.
        SeqNum sendEnd = finSent ? tcb.FinSeq : tcb.SndNxt;
        SeqNum sendBegin = tcb.SndUna > sendEnd ? sendEnd : tcb.SndUna;
        SeqNum receiveEnd = finReceived ? tcb.FinAt : tcb.RcvNxt;
        uint sent = (uint)(sendEnd - sendBegin);
        if (sent > streams.Queued)
            return false;
        image.SendSeq = sendBegin.Value;
        image.Sent = sent;
        image.Unsent = streams.Queued - sent;
        image.Unread = streams.Unread;
        image.ReceiveSeq = (receiveEnd - streams.Unread).Value;
        image.SndWl1 = (tcb.SndWl1 > receiveEnd ? receiveEnd : tcb.SndWl1).Value;
        image.SndWnd = tcb.SndWnd;
        image.MaxWindow = Math.Max(tcb.MaxWindow, tcb.SndWnd);
        SeqNum offered = tcb.RcvWup > receiveEnd ? receiveEnd : tcb.RcvWup;
        image.RcvWup = offered.Value;
        image.RcvWnd = (uint)Math.Max(0, tcb.RcvWup + tcb.RcvWnd - offered);
        image.TsVal = nowMs + tcb.TsOffset;
        image.PeerMss = tcb.PeerMss;
        image.SndWscale = tcb.SndWscale;
        image.RcvWscale = tcb.RcvWscale;
        image.Flags = ((tcb.Flags & TcbFlags.Timestamps) != 0 ? ImageFlags.Timestamps : 0)
            | ((tcb.Flags & TcbFlags.Sack) != 0 ? ImageFlags.Sack : 0)
            | (finSent ? ImageFlags.FinSent : streams.Finished ? ImageFlags.FinDue : 0)
            | (finReceived ? ImageFlags.FinReceived : 0);
        return true;
    }
}
