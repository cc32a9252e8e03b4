using Accel.Core.Handover;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Testing.Death;

namespace Accel.Core.Tests.Nic;

/// <summary>The regions of a stack that was killed, where reading beyond them ends the test.</summary>
sealed unsafe class DeadMemory : IDisposable
{
    readonly GuardedMemory _nic = new(NicRegion.SizeBytes), _local = new(LocalBytes);

    public DeadMemory()
    {
        Dead = new DeadRegions(new NicRegion(_nic.Address), new LocalRegion(_local.Address));
        Dead.Nic.Format(1, 2, 3, 4, 5);
        Dead.Local.Format(6, 2, LocalBytes, 3, 4, 5);
    }

    public static long LocalBytes => LocalRegion.FixedBytes + (32 << 20);

    public DeadRegions Dead { get; }

    /// <summary>Of the last one that was to be closed.</summary>
    public TcpImage Image { get; private set; }

    /// <summary>What acceld would do, and with <see cref="NicDuty.Close"/> the bytes of the queue.</summary>
    public NicDuty DutyOf(int index, out byte[]? queue)
    {
        queue = null;
        Dead.Local.Confine(LocalBytes);
        var duty = NicRemainder.DutyOf(Dead.Nic, Dead.Local, index, 12345, out var remains);
        if (duty != NicDuty.Close)
            return duty;
        Image = remains.Image;
        queue = new byte[remains.Image.QueueBytes];
        fixed (byte* to = queue)
            return NicRemainder.TryCopy(Dead.Local, in remains, to) ? NicDuty.Close : NicDuty.Reset;
    }

    public void Dispose()
    {
        _nic.Dispose();
        _local.Dispose();
    }
}
