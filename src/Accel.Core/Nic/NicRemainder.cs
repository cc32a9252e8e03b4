using Accel.Core.Handover;
using Accel.Core.Local;
using Accel.Core.Tcp;

namespace Accel.Core.Nic;

/// <summary>What there is to do for a connection whose program has died.</summary>
public enum NicDuty
{
    /// <summary>Nothing: the peer has our FIN, never had an answer, or the kernel has the connection; or its name is
    /// one that no frame has.</summary>
    None,

    /// <summary>RFC 9293 3.10.5 ABORT: bytes that nobody read, a connection that nobody accepted, one that is half
    /// changed or that the kernel cannot be told of.</summary>
    Reset,

    /// <summary>RFC 9293 3.10.4 CLOSE: what was written is still sent, and a FIN after it.</summary>
    Close,
}

/// <summary>
/// How a stack's connections stand after its last process was killed: for acceld, which does for them what the kernel
/// does for its own. Trusts no word of the regions, which another user wrote, and may be writing still: a word that is
/// used is copied first.
/// </summary>
public static unsafe class NicRemainder
{
    /// <summary>RFC 7323 2.3: the largest shift, and with it the largest window.</summary>
    private const byte MostScale = 14;
    private const uint MostWindow = ushort.MaxValue << MostScale;

    /// <summary>
    /// What a block's connection needs.
    /// </summary>
    /// <param name="region">The stack's network region.</param>
    /// <param name="local">Its local region, which has the bytes. Not mapped: then it can only be reset.</param>
    /// <param name="index">Of the block.</param>
    /// <param name="nowMs">The clock that its time stamps are of.</param>
    /// <param name="remains">What is left of it.</param>
    public static NicDuty DutyOf(NicRegion region, LocalRegion local, int index, uint nowMs, out NicRemains remains)
    {
        remains = default;
        if (region.BlockAt(index)->Use != NicUse.Live)
            return NicDuty.None;
        NicBlock block = *region.BlockAt(index);
        if (block.Use != NicUse.Live || block.Tcb.State is TcpState.None or TcpState.Closed or TcpState.SynSent
            or TcpState.FinWait2 or TcpState.TimeWait || !IsName(in block.Route))
            return NicDuty.None;
        remains.Route = block.Route;
        remains.HasMac = block.Is(NicBlockFlags.HasMac);
        (remains.SndNxt, remains.RcvNxt) = (block.Tcb.SndNxt, block.Tcb.RcvNxt);
        // Whoever was killed had it in hand: what is written there may be half of a change.
        Conn conn;
        if (!local.IsMapped || region.Tables->InHand == (uint)index + 1
            || !NicWire.TryOf(local, &block, &conn, out NicWire wire) || conn.State != (uint)ConnState.Accepted
            || region.ConnBlocks[wire.Index] != (uint)index + 1
            || wire.In->Tail != wire.In->Head || PipeOps.IsNonsense(wire.Out))
            return NicDuty.Reset;
        TcpStreams streams = NicStreams.Of(&block, in wire);
        if (!TcpImage.TryOf(in block.Tcb, in streams, nowMs, out TcpImage image)
            || !CanBe(in block.Tcb, in image) || !Agree(&block, in wire, in image))
            return NicDuty.Reset;
        remains.Image = image;
        remains.Out = *wire.Out;
        return NicDuty.Close;
    }

    /// <summary>The bytes that the peer has not acknowledged. False if the ring's words make no sense.</summary>
    public static bool TryCopy(LocalRegion local, in NicRemains remains, byte* to)
    {
        Pipe pipe = remains.Out;
        return PipeOps.TryCopy(local, &pipe, (ulong)remains.Image.Sent + remains.Image.Unsent, to);
    }

    /// <summary>Two ends of one connection that has gone over an interface.</summary>
    private static bool IsName(in NicRoute route) =>
        route.Local.Family == route.Remote.Family && IsName(in route.Local) && IsName(in route.Remote);

    /// <summary>
    /// One that the kernel takes for what it says: it would put an address of its own in the place of an unspecified
    /// one, and others have a meaning of their own.
    /// </summary>
    private static bool IsName(in Endpoint end)
    {
        if (end.Port == 0 || end.ScopeId != 0 || end.IsAny || end.IsLoopback)
            return false;
        const uint broadcast = uint.MaxValue;
        const byte multicastV4 = 0xE, multicastV6 = 0xFF;
        return end.Family switch
        {
            Endpoint.V4 => end.AddressLow < broadcast && end.AddressHigh == 0
                && (byte)end.AddressLow >> 4 != multicastV4,
            Endpoint.V6 => !end.IsMapped && (byte)end.AddressLow != multicastV6,
            _ => false,
        };
    }

    /// <summary>Nothing in it is what no handshake and no segment makes.</summary>
    private static bool CanBe(in Tcb tcb, in TcpImage image) =>
        tcb.State <= TcpState.Closing && tcb.SndUna <= tcb.SndNxt
        && (!image.Has(ImageFlags.FinSent) || (tcb.SndNxt == tcb.FinSeq + 1 && image.Unsent == 0))
        && (!image.Has(ImageFlags.FinReceived) || tcb.RcvNxt == tcb.FinAt + 1)
        && tcb is { PeerMss: > 0, SndWscale: <= MostScale, RcvWscale: <= MostScale }
        && tcb is { SndWnd: <= MostWindow, MaxWindow: <= MostWindow, RcvWnd: <= MostWindow };

    /// <summary>
    /// TCP's block and the rings count the same bytes: if one was changed and the other not yet, bytes would go out
    /// under the numbers of others.
    /// </summary>
    private static bool Agree(NicBlock* block, in NicWire wire, in TcpImage image) =>
        image.SendSeq == block->Tcb.Iss.Value + 1 + (uint)wire.Out->Head
        && image.ReceiveSeq == block->Tcb.Irs.Value + 1 + (uint)wire.In->Tail;
}
