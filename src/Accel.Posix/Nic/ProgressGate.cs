using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// Between the library's own thread and the end of this image. exec() and exit end the thread wherever it is: with a
/// connection in hand, or half of the descriptors exchanged that the next image needs. So whoever ends the image waits
/// until the thread is between two rounds, and keeps it there. So does fork(): the child's table of descriptors is
/// copied before the kernel copies the descriptors.
/// </summary>
public sealed unsafe class ProgressGate
{
    private int _lock;
    private bool _isClosed;
    private int _forker;

    /// <summary>A round of the thread begins.</summary>
    public void Enter(PosixStack s, AccelThread* t) => s.Lock(ref _lock, t);

    public void Exit() => PosixStack.Unlock(ref _lock);

    /// <summary>No round begins any more.</summary>
    [ColdPath]
    public void Close(PosixStack s, AccelThread* t)
    {
        if (_isClosed)
            return;
        s.Lock(ref _lock, t);
        _isClosed = true;
    }

    /// <summary>exec() has failed.</summary>
    [ColdPath]
    public void Open()
    {
        if (!_isClosed)
            return;
        _isClosed = false;
        PosixStack.Unlock(ref _lock);
    }

    /// <summary>
    /// From before a fork to after it, in the parent. Not in a process that ends: a last handler may fork.
    /// </summary>
    [ColdPath]
    public void BeginFork(PosixStack s, AccelThread* t)
    {
        if (_isClosed)
            return;
        s.Lock(ref _lock, t);
        _forker = t->Tid;
    }

    [ColdPath]
    public void EndFork(AccelThread* t)
    {
        if (_forker != t->Tid)
            return;
        _forker = 0;
        PosixStack.Unlock(ref _lock);
    }

    /// <summary>In a fork child, which has no such thread yet.</summary>
    [ColdPath]
    public void AfterFork()
    {
        _lock = _forker = 0;
        _isClosed = false;
    }
}
