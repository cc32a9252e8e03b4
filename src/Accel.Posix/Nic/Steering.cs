using Accel.Core.Handover;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;

namespace Accel.Posix;

/// <summary>
/// The conversation with acceld, one thread at a time: an answer is for whoever asked, and the library's thread, which
/// wakes when anything can be read, must not take it. Taken inside the stack's lock, never around it.
/// </summary>
public sealed unsafe class Steering(PosixStack s, INicControl control)
{
    private int _lock;

    public NicRefusal Steer(AccelThread* t, Transport transport, in Endpoint local, int descriptor, bool listener,
        in SynAnswer answer = default)
    {
        s.Lock(ref _lock, t);
        NicRefusal refusal = control.Steer(transport, local, descriptor, listener, answer);
        PosixStack.Unlock(ref _lock);
        return refusal;
    }

    public void Leave(AccelThread* t, in Endpoint local)
    {
        s.Lock(ref _lock, t);
        control.Leave(local);
        PosixStack.Unlock(ref _lock);
    }

    public void Unsteer(AccelThread* t, Transport transport, in Endpoint local)
    {
        s.Lock(ref _lock, t);
        control.Unsteer(transport, local);
        PosixStack.Unlock(ref _lock);
    }

    public void Unsteer(AccelThread* t, Transport transport, ReadOnlySpan<Endpoint> locals)
    {
        s.Lock(ref _lock, t);
        control.Unsteer(transport, locals);
        PosixStack.Unlock(ref _lock);
    }

    public void Resolve(AccelThread* t, int interfaceIndex, in Endpoint neighbour)
    {
        s.Lock(ref _lock, t);
        control.Resolve(interfaceIndex, neighbour);
        PosixStack.Unlock(ref _lock);
    }

    public NicRefusal Restore(
        AccelThread* t, in Endpoint local, in Endpoint remote, in TcpImage image, byte* queues, out int descriptor)
    {
        s.Lock(ref _lock, t);
        NicRefusal refusal = control.Restore(local, remote, image, queues, out descriptor);
        PosixStack.Unlock(ref _lock);
        return refusal;
    }

    public void Tend(AccelThread* t, INicHost host)
    {
        s.Lock(ref _lock, t);
        control.Tend(host);
        PosixStack.Unlock(ref _lock);
    }

    /// <summary>In a fork child: a thread of the parent's may have been at it.</summary>
    public void AfterFork()
    {
        _lock = 0;
        control.AfterFork();
    }
}
