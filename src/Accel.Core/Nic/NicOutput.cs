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
    private const int MaxHeaders = EthernetHeader.Length + VlanHeader.Length + Ipv6Header.Length + TcpHeader.MaxLength;
    private const int MaxPacket = 65535;
    private const int EcnMask = 3;

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
            return TrySendOne(link, ref block->Route, wire, in emit, 0, emit.Length, true);
        if ((link.Info->Flags & (uint)LinkFlags.SuperFrames) != 0 && block->Route.Vlan == 0
            && emit.Length >= MinSuperSegments * emit.SegmentSize
            && TrySendSuper(link, ref block->Route, wire, in emit))
            return true;
        for (uint at = 0; at < emit.Length; at += emit.SegmentSize)
        {
            uint length = Math.Min(emit.SegmentSize, emit.Length - at);
            if (TrySendOne(link, ref block->Route, wire, in emit, at, length, at + length == emit.Length))
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
        if (route.Link < core.Links.Length
            && !TrySendOne(core.Links[route.Link], ref route, default, in emit, 0, 0, true))
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

    private bool TrySendOne(
        ILink link, ref NicRoute route, in NicWire wire, in TcpEmit emit, uint at, uint length, bool last)
    {
        if (!link.TryTakeBuffer(out FrameRef frame))
            return false;
        Span<byte> to = new(frame.Data, frame.Length);
        TcpHeader tcp = Header(in route, in emit, at, last);
        int tcpLength = tcp.Length + (int)length;
        int ip = to.Length < MaxHeaders ? 0 : WriteLower(to, ref route, tcpLength, emit.Ecn, out uint _);
        if (ip == 0 || ip + tcpLength > to.Length)
        {
            link.Return(in frame);
            core.Count(NicCounter.TxNoBuffer);
            return true;
        }
        WriteTcp(to[ip..], in route, wire, in tcp, emit.Offset + at, length, out bool complete);
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

    private void WriteTcp(Span<byte> to, in NicRoute route, in NicWire wire, in TcpHeader tcp, uint offset,
        uint length, out bool complete)
    {
        int header = tcp.WriteTo(to);
        uint sum = Checksum.Add(to[..header], PseudoSum(in route, header + (int)length));
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

    private bool TrySendSuper(ILink link, ref NicRoute route, in NicWire wire, in TcpEmit emit)
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
        TcpHeader tcp = Header(in route, in emit, 0, last: true);
        int tcpLength = tcp.Length + (int)emit.Length;
        if (tcpLength + Ipv6Header.Length > MaxPacket)
            return false;
        int ip = WriteLower(to, ref route, tcpLength, emit.Ecn, out uint pseudo);
        int headers = ip + tcp.WriteTo(to[ip..]);
        TcpHeader.SetChecksum(to[ip..], Checksum.Partial(pseudo));
        if (!link.TrySendSuper(header, headers, run1, (int)length1, run2, (int)length2, emit.SegmentSize))
            return false;
        route.Identification += (ushort)(emit.Length / emit.SegmentSize);
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

    /// <summary>Ethernet and IP header. Returns their length.</summary>
    private int WriteLower(Span<byte> to, ref NicRoute route, int payload, byte ecn, out uint pseudo)
    {
        bool v6 = route.Local.Family == Endpoint.V6;
        EtherType type = v6 ? EtherType.Ipv6 : EtherType.Ipv4;
        LinkInfo* info = core.Links[route.Link].Info;
        EthernetHeader ethernet = new()
        {
            Destination = route.Mac,
            Source = MacAddress.Read(new ReadOnlySpan<byte>(info->Mac, MacAddress.Bytes)),
            EtherType = route.Vlan != 0 ? EtherType.Vlan : type,
        };
        int at = ethernet.WriteTo(to);
        if (route.Vlan != 0)
        {
            VlanHeader vlan = new()
            {
                Priority = (byte)(route.Vlan >> 13 & 7),
                Id = (ushort)(route.Vlan & 0xFFF),
                EtherType = type,
            };
            at += vlan.WriteTo(to[at..]);
        }
        pseudo = PseudoSum(in route, payload);
        byte tos = (byte)((route.Tos & ~EcnMask) | (ecn & EcnMask));
        byte ttl = route.Ttl == 0 ? DefaultTtl : route.Ttl;
        return at + (v6
            ? WriteV6(to[at..], in route, payload, tos, ttl) : WriteV4(to[at..], ref route, payload, tos, ttl));
    }

    private const byte DefaultTtl = 64;

    private static int WriteV4(Span<byte> to, ref NicRoute route, int payload, byte tos, byte ttl)
    {
        Ipv4Header ip = new()
        {
            Tos = tos,
            PayloadLength = payload,
            Identification = route.Identification++,
            DontFragment = true,
            Ttl = ttl,
            Protocol = IpProtocol.Tcp,
            Source = (uint)route.Local.AddressLow,
            Destination = (uint)route.Remote.AddressLow,
        };
        return ip.WriteTo(to);
    }

    private static int WriteV6(Span<byte> to, in NicRoute route, int payload, byte tos, byte ttl)
    {
        Ipv6Header ip = new()
        {
            TrafficClass = tos,
            FlowLabel = route.FlowLabel,
            PayloadLength = payload,
            NextHeader = IpProtocol.Tcp,
            HopLimit = ttl,
            Source = new Ipv6Address(route.Local.AddressLow, route.Local.AddressHigh),
            Destination = new Ipv6Address(route.Remote.AddressLow, route.Remote.AddressHigh),
        };
        return ip.WriteTo(to);
    }

    private static uint PseudoSum(in NicRoute route, int length) => route.Local.Family == Endpoint.V6
        ? Checksum.PseudoV6(new Ipv6Address(route.Local.AddressLow, route.Local.AddressHigh),
            new Ipv6Address(route.Remote.AddressLow, route.Remote.AddressHigh), IpProtocol.Tcp, length)
        : Checksum.PseudoV4(
            (uint)route.Local.AddressLow, (uint)route.Remote.AddressLow, IpProtocol.Tcp, length);
}
