using Accel.Core.Memory;
using Accel.Core.Tcp;

namespace Accel.Core.Nic;

/// <summary>
/// The connections that a round's segments were for. They are served when all of the round are in, so that one ACK
/// answers many segments; and briefly if there is nothing to send, as after most segments that are expected.
/// </summary>
internal sealed unsafe class NicPending
{
    private readonly NicCore _core;
    private readonly int[] _indices = new int[2 * NicCore.Batch];
    private int _count;

    [ColdPath]
    public NicPending(NicCore core) => _core = core;

    /// <summary>A segment has been dealt with, by a step that had these effects and saw these streams.</summary>
    public void Add(int index, in TcpEffects fx, ref TcpStreams streams)
    {
        NicBlock* block = _core.Region.BlockAt(index);
        if (!IsQuiet(block, in fx, ref streams))
            block->Flags |= NicBlockFlags.ServiceDue;
        if (block->Is(NicBlockFlags.Pending))
            return;
        if (_count == _indices.Length)
            Serve();
        block->Flags |= NicBlockFlags.Pending;
        _indices[_count++] = index;
    }

    /// <summary>
    /// True if a segment left nothing to do but to tell the program of it, and to set the timer. What the program did
    /// meanwhile it says itself.
    /// </summary>
    private static bool IsQuiet(NicBlock* block, in TcpEffects fx, ref TcpStreams streams)
    {
        if (fx.Events != TcpEvents.None || block->Use != NicUse.Live || block->Is(NicBlockFlags.Detached))
            return false;
        streams.Queued -= fx.Acked;
        streams.Unread += fx.Advance;
        streams.ReceiveSpace -= Math.Min(fx.Advance, streams.ReceiveSpace);
        return TcpOutput.IsIdle(in block->Tcb, in streams);
    }

    public void Serve()
    {
        int count = _count;
        for (int i = 0; i < count; i++)
        {
            int index = _indices[i];
            NicBlock* block = _core.Region.BlockAt(index);
            const NicBlockFlags Looked = NicBlockFlags.Pending | NicBlockFlags.ServiceDue;
            if ((block->Flags & Looked) != NicBlockFlags.Pending || block->Use != NicUse.Live
                || !NicWire.TryOf(_core.Local, block, out NicWire wire))
            {
                _core.Connections.Service(index);
                continue;
            }
            _core.Head->InHand = (uint)index + 1;
            block->Flags &= ~NicBlockFlags.Pending;
            _core.Connections.Tell(block, in wire);
            _core.Timers.Arm(index);
            _core.Head->InHand = 0;
        }
        _count = 0;
    }
}
