using System.Runtime.InteropServices;
using Accel.Core.Handover;
using Accel.Core.Local;
using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Nic;

/// <summary>What there is to do for a connection whose program has died.</summary>
public enum NicDuty
{
    /// <summary>Nothing: the peer has our FIN, never had an answer, or the kernel has the connection.</summary>
    None,

    /// <summary>RFC 9293 3.10.5 ABORT: bytes that nobody read, a connection that nobody accepted, one that is half
    /// changed or that the kernel cannot be told of.</summary>
    Reset,

    /// <summary>RFC 9293 3.10.4 CLOSE: what was written is still sent, and a FIN after it.</summary>
    Close,
}

/// <summary>
/// How a stack's connections stand after its last process was killed: for acceld, which does for them what the kernel
/// does for its own. Trusts no word of the regions, which another user wrote.
/// </summary>
public static unsafe class NicRemainder
{
    /// <summary>
    /// What a block's connection needs; with <see cref="NicDuty.Close"/> its image too.
    /// </summary>
    /// <param name="region">The stack's network region.</param>
    /// <param name="local">Its local region, which has the bytes.</param>
    /// <param name="index">Of the block.</param>
    /// <param name="nowMs">The clock that its time stamps are of.</param>
    /// <param name="image">How it stands, with nothing to be read.</param>
    public static NicDuty DutyOf(NicRegion region, LocalRegion local, int index, uint nowMs, out TcpImage image)
    {
        image = default;
        NicBlock* block = region.BlockAt(index);
        if (block->Use != NicUse.Live || block->Tcb.State is TcpState.None or TcpState.Closed or TcpState.SynSent
            or TcpState.FinWait2 or TcpState.TimeWait)
            return NicDuty.None;
        // Whoever was killed had it in hand: what is written there may be half of a change.
        if (region.Tables->InHand == (uint)index + 1 || !NicWire.TryOf(local, block, out NicWire wire)
            || wire.Conn->State != (uint)ConnState.Accepted || PipeOps.Readable(wire.In) != 0)
            return NicDuty.Reset;
        TcpStreams streams = NicStreams.Of(block, in wire);
        if (!TcpImage.TryOf(in block->Tcb, in streams, nowMs, out image) || !Agree(block, in wire, in image))
            return NicDuty.Reset;
        return NicDuty.Close;
    }

    /// <summary>The bytes that the peer has not acknowledged. False if the ring's words make no sense.</summary>
    public static bool TryCopy(NicRegion region, LocalRegion local, int index, in TcpImage image, byte* to)
    {
        if (!NicWire.TryOf(local, region.BlockAt(index), out NicWire wire))
            return false;
        ulong count = image.Sent + image.Unsent;
        for (ulong done = 0; done < count;)
        {
            byte* from = PipeOps.PeekRun(local, wire.Out, done, count - done, out ulong run);
            if (run == 0)
                return false;
            NativeMemory.Copy(from, to + done, (nuint)run);
            done += run;
        }
        return true;
    }

    /// <summary>
    /// TCP's block and the rings count the same bytes: if one was changed and the other not yet, bytes would go out
    /// under the numbers of others.
    /// </summary>
    private static bool Agree(NicBlock* block, in NicWire wire, in TcpImage image) =>
        image.SendSeq == block->Tcb.Iss.Value + 1 + (uint)wire.Out->Head
        && image.ReceiveSeq == block->Tcb.Irs.Value + 1 + (uint)wire.In->Tail;
}
