using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// Copies of connections that this process gave to the kernel, kept for as long as others of the family have not
/// fetched theirs: the program may close its own any time.
/// </summary>
[ColdPath]
public sealed unsafe class Parked
{
    private const int Capacity = 256;

    private struct Copy
    {
        public int Descriptor;
        public int Socket;
        public uint Generation;
    }

    private readonly Copy[] _copies = new Copy[Capacity];
    private int _count;
    private int _lock;

    /// <summary>No room: whoever has not fetched it by the time that the program closes its own has lost it.</summary>
    public void Add(PosixStack s, int socket, int descriptor)
    {
        Enter();
        bool room = _count < Capacity;
        if (room)
            _copies[_count++] = new Copy
            {
                Descriptor = descriptor, Socket = socket, Generation = s.S.SocketAt(socket)->Generation,
            };
        Leave();
        if (!room)
            s.Disown(descriptor);
    }

    /// <summary>Closes those that nobody will come for. Cheap when there are none.</summary>
    public void Sweep(PosixStack s)
    {
        if (_count == 0)
            return;
        Enter();
        for (int i = _count - 1; i >= 0; i--)
        {
            Copy copy = _copies[i];
            if (s.S.SocketAt(copy.Socket)->Generation == copy.Generation && Settlement.HasRelatives(s, copy.Socket))
                continue;
            _copies[i] = _copies[--_count];
            s.Disown(copy.Descriptor);
        }
        Leave();
    }

    /// <summary>In a fork child: the parent keeps them.</summary>
    public void AfterFork(PosixStack s)
    {
        _lock = 0;
        for (int i = 0; i < _count; i++)
            s.Disown(_copies[i].Descriptor);
        _count = 0;
    }

    private void Enter()
    {
        while (Interlocked.Exchange(ref _lock, 1) != 0)
            System.Runtime.Intrinsics.X86.X86Base.Pause();
    }

    private void Leave() => Volatile.Write(ref _lock, 0);
}
