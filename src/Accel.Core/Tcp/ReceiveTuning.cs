using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>
/// Finds out when a receiving buffer limits its peer: what comes in one round trip is measured, and the buffer should
/// hold twice that (dynamic right-sizing, as Linux does it).
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 48)]
public struct ReceiveTuning
{
    private const uint Most = int.MaxValue;

    /// <summary>The most for a path whose round trip is a millisecond or less: 1 GB/s and more, and its bytes stay in a
    /// cache. What lies in a larger buffer has to be fetched from memory again.</summary>
    private const uint ShortMost = 1 << 20;

    /// <summary>Where and when the current measurement began.</summary>
    [FieldOffset(0)] public long BeganAt;
    [FieldOffset(8)] public SeqNum BeganSeq;
    [FieldOffset(12)] public uint LastEcho;

    /// <summary>Round trip as the receiver sees it: smoothed, eight times the value.</summary>
    [FieldOffset(16)] public long Rtt8;

    /// <summary>Without timestamps: a window's worth of data takes a round trip, or longer.</summary>
    [FieldOffset(24)] public SeqNum WindowEnd;
    [FieldOffset(32)] public long WindowBeganAt;

    /// <summary>The size that was last asked for.</summary>
    [FieldOffset(40)] public uint Wanted;

    /// <summary>Payload of the last segment that was shorter than full.</summary>
    [FieldOffset(44)] public uint LastLength;

    public readonly long RttNs => Rtt8 >> 3;

    /// <summary>Data has come in order. Returns the size that the buffer should have; 0: it does.</summary>
    public uint OnData(ref Tcb tcb, in TcpSegment seg, in TcpContext ctx, in TcpStreams streams)
    {
        MeasureRtt(ref tcb, in seg, in ctx);
        if (BeganAt == 0)
            Begin(in tcb, in ctx);
        uint size = streams.ReceiveSpace + streams.Unread;
        uint came = (uint)(tcb.RcvNxt - BeganSeq);
        uint wanted = 0;
        uint most = IsShort(in tcb) ? Math.Min(ShortMost, ctx.Settings.ReceiveMax) : ctx.Settings.ReceiveMax;
        if (came >= size >> 1 && size < most && streams.Unread <= size - (size >> 2))
            wanted = (uint)Math.Min(2ul * Math.Max(came, size), most);
        long rtt = Math.Max(RttNs == 0 ? tcb.Recovery.Rtt.Srtt : RttNs, TcpContext.NsPerMs);
        if (ctx.NowNs - BeganAt >= rtt)
            Begin(in tcb, in ctx);
        if (wanted != 0)
            Wanted = wanted;
        return wanted;
    }

    /// <summary>The least of all round trips counts: what waits for a slow reader makes others long.</summary>
    private readonly bool IsShort(in Tcb tcb)
    {
        long least = tcb.Recovery.Rtt.MinRtt;
        if (least == 0 || (RttNs != 0 && RttNs < least))
            least = RttNs;
        return least is > 0 and <= TcpContext.NsPerMs;
    }

    private void Begin(in Tcb tcb, in TcpContext ctx)
    {
        BeganAt = ctx.NowNs;
        BeganSeq = tcb.RcvNxt;
    }

    private void MeasureRtt(ref Tcb tcb, in TcpSegment seg, in TcpContext ctx)
    {
        if (seg.Options.Has(TcpOptionKinds.Timestamps))
        {
            // RFC 7323 4: only a full segment answers at once what it echoes.
            if (seg.Options.TsEcr == LastEcho || seg.Options.TsEcr == 0 || seg.Length < tcb.RcvMss)
                return;
            LastEcho = seg.Options.TsEcr;
            uint ms = ctx.NowMs + tcb.TsOffset - seg.Options.TsEcr;
            if (ms < Most / TcpContext.NsPerMs)
                Take(Math.Max(ms, 1) * TcpContext.NsPerMs, smooth: true);
            return;
        }
        if (WindowBeganAt != 0)
        {
            if (tcb.RcvNxt < WindowEnd)
                return;
            Take(ctx.NowNs - WindowBeganAt, smooth: false);
        }
        WindowEnd = tcb.RcvNxt + tcb.RcvWnd;
        WindowBeganAt = ctx.NowNs;
    }

    private void Take(long sample, bool smooth)
    {
        if (Rtt8 == 0)
            Rtt8 = sample << 3;
        else if (smooth)
            Rtt8 += sample - (Rtt8 >> 3);
        else
            Rtt8 = Math.Min(Rtt8, sample << 3);
    }
}
