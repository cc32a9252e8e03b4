using Accel.Core.Handover;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// fork() while the stack has no place for a child: the child is born without it, and all that it inherits is the
/// kernel's. Connections go there alive before, in both processes. Listeners and epoll sets stay in the parent what
/// they are: the child has the kernel's listening socket, which is <see cref="Lending">lent</see>, and
/// <see cref="EpollCopies">copies</see> of the sets. What is to be done in the child is written down, since no managed
/// code runs there.
/// </summary>
[ColdPath]
public sealed unsafe class PlainFork
{
    /// <summary>Other threads may connect and accept meanwhile.</summary>
    private const int Attempts = 4;

    /// <summary>So long a connection that is being made is waited for.</summary>
    private const long ConnectingNs = 1_000_000_000;

    private readonly ForkSteps _steps = new();
    private int _loan = -1;

    public AccelStep* Steps => _steps.First;

    /// <summary>
    /// Without any lock. <see cref="AccelResult.Pass"/>: the child goes without the stack, and from now on nothing may
    /// change until <see cref="Done"/>. Else minus an errno: something cannot be given to the kernel.
    /// </summary>
    public long Prepare(PosixStack s, AccelThread* t)
    {
        if (s.Strict is { } strict && Strictness.Refuses(PathReason.NoProcessSlot))
        {
            strict.Say(s, PathReason.NoProcessSlot);
            return -Errno.EAGAIN;
        }
        for (int i = 0; i < Attempts; i++)
        {
            if (!GiveAll(s, t))
                return -Errno.EAGAIN;
            s.ProgressGate.BeginFork(s, t);
            if (!IsAnyLeft(s) && WriteDown(s, t))
            {
                s.Count(t, Counter.PlainForks);
                return AccelResult.Pass;
            }
            Done(s);
            s.ProgressGate.EndFork(t);
        }
        return -Errno.EAGAIN;
    }

    /// <summary>In the parent, after the fork: what was for the child alone goes.</summary>
    public void Done(PosixStack s)
    {
        foreach (ref AccelStep step in _steps.All)
        {
            if (step.What == AccelStep.Put)
                s.Disown((int)step.A);
        }
        _steps.Clear();
        if (_loan >= 0)
            s.Disown(_loan);
        _loan = -1;
    }

    private static bool GiveAll(PosixStack s, AccelThread* t)
    {
        bool all = true;
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = 0; fd < high && all; fd++)
        {
            Socket* socket = s.Find(fd, out int index);
            if (socket != null)
                all = Give(s, t, socket, index, fd);
        }
        LocalArrival.ArriveAll(s, t);
        s.Parked.Sweep(s);
        if (!s.Parked.IsEmpty)
            s.StartKeeper();
        return all;
    }

    private static bool Give(PosixStack s, AccelThread* t, Socket* socket, int index, int fd)
    {
        long end = s.Kernel.NowNs() + ConnectingNs;
        for (int nobody = 0; socket->State == (uint)SocketState.Connecting && !Connector.Retry(s, t, socket);)
        {
            if (s.Kernel.NowNs() > end)
                return false;
            s.Nic?.Pump(t);
            s.Kernel.Sleep(&nobody, 0);
        }
        switch ((SocketState)socket->State)
        {
            case SocketState.Listening:
                return true;
            case SocketState.Connected:
                if (!LocalArrival.TryFollow(s, t, socket, index) && Handover.Give(s, t, fd) != HandoverRefusal.None)
                    return false;
                socket->Reason = (byte)PathReason.NoProcessSlot;
                return true;
            default:
                Departure.Leave(s, t, socket, index, fd, PathReason.NoProcessSlot);
                return true;
        }
    }

    private static bool IsAnyLeft(PosixStack s)
    {
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = 0; fd < high; fd++)
        {
            Socket* socket = s.Find(fd, out _);
            if (socket != null && (SocketState)socket->State
                is SocketState.Connected or SocketState.Connecting or SocketState.Datagram)
                return true;
        }
        return false;
    }

    /// <summary>
    /// What the child does first. False: there is no memory for it, or no descriptor.
    /// </summary>
    private bool WriteDown(PosixStack s, AccelThread* t)
    {
        _steps.Clear();
        s.Nic?.NoteMappings(_steps);
        if (!EpollCopies.Make(s, t, _steps))
            return false;
        _loan = Lending.Lend(s, t, _steps);
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = (int)s.Process->InternalMin; fd < high; fd++)
        {
            if (fd != _loan && DescriptorEntry.Kind(s.Process->FdMap[fd]) == DescriptorEntry.KindInternal)
                _steps.Add(AccelStep.Close, fd);
        }
        return _steps.IsComplete;
    }
}
