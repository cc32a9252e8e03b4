using Accel.Core.Memory;
using Accel.Core.Tcp;

namespace Accel.Core.Nic;

/// <summary>
/// One timer a block, in the wheel of the region. It is moved only when the deadline comes nearer; when it fires too
/// early it is armed again, which is cheaper than moving it with each segment.
/// </summary>
internal sealed unsafe class NicTimers(NicCore core)
{
    /// <summary>Timers that are served in one round, so that frames wait no longer than that.</summary>
    private const int MaxFires = 4096;

    public void Arm(int index)
    {
        NicBlock* block = core.Region.BlockAt(index);
        long deadline = Deadline(block);
        if (deadline == long.MaxValue)
            return;
        ulong tick = NicCore.TickAfter(deadline);
        if (block->Timer.List != 0 && block->Timer.Deadline <= tick)
            return;
        TimerWheel.Arm(core.Region.Wheel, core.Region.Timers, sizeof(NicBlock), index, tick);
    }

    public void Cancel(int index) =>
        TimerWheel.Cancel(core.Region.Wheel, core.Region.Timers, sizeof(NicBlock), index);

    private static long Deadline(NicBlock* block)
    {
        long deadline = TcpTimers.Deadline(in block->Tcb);
        return block->ResolveSince != 0 ? Math.Min(deadline, block->ResolveAgainAt) : deadline;
    }

    /// <summary>Does what is due. Returns how many connections had something due.</summary>
    public int Run()
    {
        int fired = 0;
        ulong now = NicCore.TickBefore(core.NowNs);
        for (int i = 0; i < MaxFires; i++)
        {
            int index = TimerWheel.TryPop(core.Region.Wheel, core.Region.Timers, sizeof(NicBlock), now);
            if ((uint)index >= NicRegion.MaxBlocks)
                break;
            NicBlock* block = core.Region.BlockAt(index);
            if (block->Use == NicUse.Free)
                continue;
            if (Deadline(block) > core.NowNs)
            {
                Arm(index);
                continue;
            }
            fired++;
            core.Connections.OnTimer(index);
        }
        core.Add(NicCounter.TimersFired, (ulong)fired);
        return fired;
    }

    /// <summary>When <see cref="Run"/> should be called next.</summary>
    public long Next()
    {
        ulong tick = TimerWheel.NextTick(core.Region.Wheel);
        return tick == ulong.MaxValue ? long.MaxValue : NicCore.TimeOf(tick);
    }
}
