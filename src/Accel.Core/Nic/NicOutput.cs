using System.Runtime.CompilerServices;
using Accel.Core.Capture;
using Accel.Core.Local;
using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Nic;

/// <summary>
/// Writes frames: what TCP emits becomes one frame, several, or a super-frame that the link cuts up. The payload is
/// copied once, out of the stream, and summed up in the same pass.
/// </summary>
internal sealed unsafe class NicOutput(NicCore core)
{
    private const int MaxHeaders = NicHeaders.MaxLength + TcpHeader.MaxLength;
    private const int MaxPacket = 65535;

    /// <summary>Fewer segments leave sooner with all else that is queued: a super-frame is a system call of its own.
    /// </summary>
    private const int MinSuperSegments = 3;

    /// <summary>RSTs to strangers: so many at once, and in a second.</summary>
    private const long ResetBurst = 500, ResetsPerSecond = 2000;

    /// <summary>The most payload that one emission of a connection may carry.</summary>
    public uint MaxEmission(NicBlock* block)
    {
        uint mss = Math.Max(block->Tcb.SndMss, (ushort)1);
        if (block->Route.Link >= core.Links.Length)
            return mss;
        LinkInfo* info = core.Links[block->Route.Link].Info;
        if ((info->Flags & (uint)LinkFlags.SuperFrames) == 0)
            return mss;
        uint room = Math.Min(info->MaxSuperFrame == 0 ? MaxPacket : info->MaxSuperFrame, MaxPacket) - MaxHeaders;
        return Math.Max(mss, room / mss * mss);
    }

    /// <summary>
    /// Sends what TCP emitted for a connection. False if the link had no buffer for it; nothing has left then. Of a run
    /// of segments, those that find no buffer after the first are lost.
    /// </summary>
    public bool TrySend(NicBlock* block, in NicWire wire, in TcpEmit emit)
    {
        if (block->Route.Link >= core.Links.Length)
        {
            core.Count(NicCounter.TxNoLink);
            return true;
        }
        ILink link = core.Links[block->Route.Link];
        if (emit.Length <= emit.SegmentSize || emit.SegmentSize == 0)
            return TrySendOne(link, ref block->Route, ref block->Headers, in wire, in emit, 0, emit.Length, true);
        if ((link.Info->Flags & (uint)LinkFlags.SuperFrames) != 0 && block->Route.Vlan == 0
            && emit.Length >= MinSuperSegments * emit.SegmentSize
            && TrySendSuper(link, block, in wire, in emit))
            return true;
        for (uint at = 0; at < emit.Length; at += emit.SegmentSize)
        {
            uint length = Math.Min(emit.SegmentSize, emit.Length - at);
            bool last = at + length == emit.Length;
            if (TrySendOne(link, ref block->Route, ref block->Headers, in wire, in emit, at, length, last))
                continue;
            if (at == 0)
                return false;
            core.Add(NicCounter.TxNoBuffer, (emit.Length - at + emit.SegmentSize - 1) / emit.SegmentSize);
            break;
        }
        return true;
    }

    /// <summary>Sends a segment without payload that belongs to no connection.</summary>
    public void SendBare(ref NicRoute route, in TcpEmit emit)
    {
        NicHeaders headers = default;
        if (route.Link < core.Links.Length
            && !TrySendOne(core.Links[route.Link], ref route, ref headers, default, in emit, 0, 0, true))
            core.Count(NicCounter.TxNoBuffer);
    }

    /// <summary>A RST (RFC 9293 3.10.7.1). To strangers only so many in a second.</summary>
    public void SendReset(ref NicRoute route, in TcpEffects fx, bool stranger)
    {
        if (stranger && !TakeResetToken())
        {
            core.Count(NicCounter.ResetsHeldBack);
            return;
        }
        TcpEmit emit = new() { Seq = fx.ResetSeq, Ack = fx.ResetAck, Flags = fx.ResetFlags };
        core.Count(NicCounter.ResetsSent);
        SendBare(ref route, in emit);
    }

    private bool TakeResetToken()
    {
        NicTables* t = core.Head;
        long passed = core.NowNs - t->ResetTokensNs;
        if (passed < 0 || passed > TcpContext.NsPerSecond)
        {
            t->ResetTokens = ResetBurst;
            t->ResetTokensNs = core.NowNs;
        }
        else if (passed >= TcpContext.NsPerSecond / ResetsPerSecond)
        {
            long earned = passed * ResetsPerSecond / TcpContext.NsPerSecond;
            t->ResetTokens = Math.Min(ResetBurst, t->ResetTokens + earned);
            t->ResetTokensNs += earned * (TcpContext.NsPerSecond / ResetsPerSecond);
        }
        if (t->ResetTokens <= 0)
            return false;
        t->ResetTokens--;
        return true;
    }

    private bool TrySendOne(ILink link, ref NicRoute route, ref NicHeaders headers, in NicWire wire, in TcpEmit emit,
        uint at, uint length, bool last)
    {
        if (!link.TryTakeBuffer(out FrameRef frame))
            return false;
        Span<byte> to = new(frame.Data, frame.Length);
        TcpHeader tcp = Header(in route, in emit, at, last);
        int tcpLength = tcp.Length + (int)length;
        Prepare(link, ref headers, in route);
        int ip = headers.WriteTo(to, tcpLength, route.Identification++, emit.Ecn, out uint pseudoSum);
        if (ip == 0 || ip + tcpLength > to.Length)
        {
            link.Return(in frame);
            core.Count(NicCounter.TxNoBuffer);
            return true;
        }
        WriteTcp(to[ip..], pseudoSum, in wire, in tcp, emit.Offset + at, length, out bool complete);
        if (!complete)
        {
            link.Return(in frame);
            core.Count(NicCounter.CorruptStreams);
            return true;
        }
        frame.Length = ip + tcpLength;
        core.Count(NicCounter.TxFrames);
        core.Add(NicCounter.TxBytes, (ulong)frame.Length);
        if (core.Tap is { } tap && tap.IsOn(CapturePaths.Nic))
            tap.Sent(in frame, route.Link, wire.Program);
        link.Send(in frame);
        return true;
    }

    private void WriteTcp(Span<byte> to, uint pseudoSum, in NicWire wire, in TcpHeader tcp, uint offset,
        uint length, out bool complete)
    {
        int header = tcp.WriteTo(to);
        uint sum = Checksum.Add(to[..header], pseudoSum);
        uint copied = 0;
        while (copied < length)
        {
            byte* from = PipeOps.PeekRun(core.Local, wire.Out, offset + copied, length - copied, out ulong run);
            if (run == 0)
            {
                complete = false;
                return;
            }
            sum = Checksum.CopyAndAdd(new ReadOnlySpan<byte>(from, (int)run), to[(header + (int)copied)..], sum,
                (int)copied);
            copied += (uint)run;
        }
        TcpHeader.SetChecksum(to, Checksum.Fold(sum));
        complete = true;
    }

    private bool TrySendSuper(ILink link, NicBlock* block, in NicWire wire, in TcpEmit emit)
    {
        byte* run1 = PipeOps.PeekRun(core.Local, wire.Out, emit.Offset, emit.Length, out ulong length1);
        byte* run2 = null;
        ulong length2 = 0;
        if (length1 < emit.Length)
            run2 = PipeOps.PeekRun(
                core.Local, wire.Out, emit.Offset + length1, emit.Length - length1, out length2);
        // A third run, where one ring ends and the next begins, is rare.
        if (length1 == 0 || length1 + length2 != emit.Length)
            return false;
        byte* header = stackalloc byte[MaxHeaders];
        Span<byte> to = new(header, MaxHeaders);
        ref NicRoute route = ref block->Route;
        TcpHeader tcp = Header(in route, in emit, 0, last: true);
        int tcpLength = tcp.Length + (int)emit.Length;
        if (tcpLength + Ipv6Header.Length > MaxPacket)
            return false;
        Prepare(link, ref block->Headers, in route);
        int ip = block->Headers.WriteTo(to, tcpLength, route.Identification, emit.Ecn, out uint pseudo);
        int headers = ip + tcp.WriteTo(to[ip..]);
        TcpHeader.SetChecksum(to[ip..], Checksum.Partial(pseudo));
        if (!link.TrySendSuper(header, headers, run1, (int)length1, run2, (int)length2, emit.SegmentSize))
            return false;
        route.Identification += (ushort)(emit.Length / emit.SegmentSize + 1);
        core.Count(NicCounter.TxSuperFrames);
        core.Add(NicCounter.TxBytes, (ulong)headers + emit.Length);
        if (core.Tap is { } tap && tap.IsOn(CapturePaths.Nic))
            tap.Sent(new CaptureSpan(header, (ulong)headers), new CaptureSpan(run1, length1),
                new CaptureSpan(run2, length2), route.Link, wire.Program, emit.SegmentSize);
        return true;
    }

    /// <summary>The header of one segment of a run: what ends the run stands in the last.</summary>
    private static TcpHeader Header(in NicRoute route, in TcpEmit emit, uint at, bool last)
    {
        TcpHeader tcp = new()
        {
            SourcePort = route.Local.Port,
            DestinationPort = route.Remote.Port,
            Seq = emit.Seq + at,
            Ack = emit.Ack,
            Flags = emit.Flags,
            Window = emit.Window,
            Options = emit.Options,
        };
        if (!last)
            tcp.Flags &= ~(TcpFlags.Fin | TcpFlags.Psh);
        // RFC 3168 6.1.2: CWR once.
        if (at != 0)
            tcp.Flags &= ~TcpFlags.Cwr;
        if ((emit.Flags & TcpFlags.Urg) != 0 && emit.Urgent > at)
            tcp.Urgent = (ushort)(emit.Urgent - at);
        else
            tcp.Flags &= ~TcpFlags.Urg;
        return tcp;
    }

    /// <summary>The headers of a route, made anew if it has changed.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prepare(ILink link, ref NicHeaders headers, in NicRoute route)
    {
        MacAddress own = MacAddress.Read(new ReadOnlySpan<byte>(link.Info->Mac, MacAddress.Bytes));
        if (!headers.Are(in route, own))
            headers.Make(in route, own);
    }
}
