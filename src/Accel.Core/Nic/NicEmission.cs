using Accel.Core.Local;
using Accel.Core.Tcp;

namespace Accel.Core.Nic;

/// <summary>
/// From what TCP has to send to frames on a link. What finds no buffer there is kept: TCP takes it for sent.
/// </summary>
internal sealed unsafe class NicEmission(NicCore core)
{
    /// <summary>Emissions of one connection at a time; then others have their turn.</summary>
    private const int MaxEmissions = 256;

    /// <summary>A connection's streams, as TCP sees them that sends nothing now.</summary>
    public TcpStreams Streams(NicBlock* block) => NicWire.TryOf(core.Local, block, out NicWire wire)
        ? NicStreams.Of(block, in wire) : NicStreams.None(block);

    /// <summary>Sends what TCP has to send.</summary>
    public void Run(int index)
    {
        NicBlock* block = core.Region.BlockAt(index);
        if (!core.Paths.IsReady(index))
        {
            core.Count(NicCounter.TxNoNeighbour);
            return;
        }
        bool hasStreams = NicWire.TryOf(core.Local, block, out NicWire wire);
        if (block->Is(NicBlockFlags.Holds) && !TrySendHeld(block, in wire))
            return;
        TcpStreams streams = hasStreams ? NicStreams.Of(block, in wire) : NicStreams.None(block);
        streams.MaxEmission = core.Output.MaxEmission(block);
        streams.OfferMost = core.Head->OfferMost;
        for (int n = 0; n < MaxEmissions; n++)
        {
            if (!TcpOutput.Next(ref block->Tcb, core.Context, in streams, out TcpEmit emit))
                return;
            if ((emit.Flags & Wire.TcpFlags.Rst) != 0)
                core.Count(NicCounter.ResetsSent);
            if (!core.Output.TrySend(block, in wire, in emit))
            {
                Hold(block, in emit);
                return;
            }
            if (TcpOutput.IsIdle(in block->Tcb, in streams))
                return;
        }
        if (block->Conn != 0)
            NicSet.Add(core.Region.Kicked, (int)block->Conn - 1);
    }

    private void Hold(NicBlock* block, in TcpEmit emit)
    {
        core.Count(NicCounter.TxStalled);
        if (block->Conn == 0)
            return;
        block->Held = emit;
        block->Flags |= NicBlockFlags.Holds;
        NicSet.Add(core.Region.Stalled, (int)block->Conn - 1);
    }

    private bool TrySendHeld(NicBlock* block, in NicWire wire)
    {
        // What is acknowledged meanwhile was on its way already; its bytes are no longer there.
        int offset = block->Held.Seq - block->Tcb.SndUna;
        if (block->Held.Length > 0)
        {
            if (offset < 0)
            {
                block->Flags &= ~NicBlockFlags.Holds;
                return true;
            }
            block->Held.Offset = (uint)offset;
        }
        if (!core.Output.TrySend(block, in wire, in block->Held))
        {
            NicSet.Add(core.Region.Stalled, (int)block->Conn - 1);
            return false;
        }
        block->Flags &= ~NicBlockFlags.Holds;
        return true;
    }
}
