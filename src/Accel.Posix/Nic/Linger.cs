using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// A process ends while its connections are not done: what it wrote is still sent, and its FINs, as the kernel would do
/// for it. The process stays a moment for that, which is enough for most; acceld gives the rest to the kernel when it
/// has gone. Without acceld it stays until all is done, or the peers have been silent for some seconds.
/// </summary>
public static unsafe class Linger
{
    private const int StateBegan = 0;
    private const long SilenceNs = 5_000_000_000, MostNs = 120_000_000_000, LookNs = 50_000_000;
    private const long MomentNs = 50_000_000;

    /// <summary>The last call of a process; entered again after each sleep.</summary>
    public static long Exit(PosixStack s, AccelThread* t)
    {
        if (!s.Parked.IsEmpty)
            Handover.BeforeEnd(s, t);
        if (s.Nic is not { } nic || HasSiblings(s))
            return Leave(s, t);
        long now = s.Kernel.NowNs();
        if (t->Wait.Phase == 0 || t->Wait.State[StateBegan] == 0)
        {
            t->Wait.State[StateBegan] = (ulong)now;
            Sockets.ReleaseTable(s, t, s.Slot);
        }
        nic.PumpDry(t);
        long began = (long)t->Wait.State[StateBegan];
        long heard = Math.Max(began, nic.Engine.LastActivityNs);
        long most = nic.Control.IsConnected ? MomentNs : MostNs;
        if (nic.Engine.IsDrained || now - heard > SilenceNs || now - began > most)
            return Leave(s, t);
        nic.Queues.Sleepers.Doze();
        PollFd* fds = (PollFd*)t->Wait.Small;
        t->Wait.FdCount = nic.Queues.Descriptors(fds, AccelWait.SmallFds);
        t->Wait.Fds = fds;
        t->Wait.Deadline = Math.Min(nic.Engine.NextDeadline, Math.Min(now + LookNs, began + most));
        t->Wait.Kind = AccelWait.SleepPoll;
        return AccelResult.Wait;
    }

    private static long Leave(PosixStack s, AccelThread* t)
    {
        s.ProgressGate.Close(s, t);
        return Processes.Leave(s, t, ends: true);
    }

    /// <summary>Another process of the family lives: it goes on with what this one leaves.</summary>
    private static bool HasSiblings(PosixStack s)
    {
        for (int i = 0; i < StackRegion.MaxProcesses; i++)
        {
            ProcessSlot* slot = s.S.ProcessAt(i);
            if (i != s.Slot && slot->State == ProcessSlot.Live && slot->Adopted != 0
                && s.Kernel.StartTime(slot->Pid) == slot->StartTime)
                return true;
        }
        return false;
    }
}
