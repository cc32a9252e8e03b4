using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// Kernel sockets that this process made and others still have to fetch: relatives that have the same socket, or the
/// other end of a local connection. The program may close its own any time; these stay until the others have come, or
/// will not come any more.
/// </summary>
[ColdPath]
public sealed unsafe class Parked
{
    private const int Capacity = 1024;

    private struct Copy
    {
        public int Descriptor;

        /// <summary>Kept for relatives: the socket. Else -1.</summary>
        public int Socket;
        public uint Generation;

        /// <summary>Kept for the other end: the connection, and its side there.</summary>
        public Conn* Conn;
        public int Side;
    }

    private readonly Copy[] _copies = new Copy[Capacity];
    private int _count;
    private int _lock;

    public bool IsEmpty => Volatile.Read(ref _count) == 0;

    /// <summary>For relatives.</summary>
    public void Add(PosixStack s, int socket, int descriptor) => Add(s, new Copy
    {
        Descriptor = descriptor, Socket = socket, Generation = s.S.SocketAt(socket)->Generation,
    });

    /// <summary>For the other end.</summary>
    public void Add(PosixStack s, in Wire wire, int descriptor) => Add(s, new Copy
    {
        Descriptor = descriptor, Socket = -1, Generation = wire.Conn->Generation, Conn = wire.Conn,
        Side = 1 - wire.SideIndex,
    });

    /// <summary>No room: whoever does not come before the program closes its own has lost it.</summary>
    private void Add(PosixStack s, in Copy copy)
    {
        Enter();
        bool room = _count < Capacity;
        if (room)
            _copies[_count++] = copy;
        Leave();
        if (!room)
            s.Disown(copy.Descriptor);
    }

    /// <summary>Closes those that nobody will come for. Cheap when there are none.</summary>
    public void Sweep(PosixStack s)
    {
        if (_count == 0)
            return;
        Enter();
        for (int i = _count - 1; i >= 0; i--)
        {
            if (IsWanted(s, in _copies[i]))
                continue;
            s.Disown(_copies[i].Descriptor);
            _copies[i] = _copies[--_count];
        }
        Leave();
    }

    private static bool IsWanted(PosixStack s, in Copy copy)
    {
        if (copy.Socket >= 0)
            return s.S.SocketAt(copy.Socket)->Generation == copy.Generation
                && Settlement.HasRelatives(s, copy.Socket);
        if (copy.Conn->Generation != copy.Generation || copy.Conn->State == (uint)ConnState.Free)
            return false;
        uint flags = Volatile.Read(ref LocalRegion.SideOf(copy.Conn, copy.Side)->Flags);
        return (flags & (uint)(SideFlags.HandedOver | SideFlags.Closed)) == 0;
    }

    /// <summary>
    /// Without any lock: waits until all have been fetched, and fetches meanwhile what others have parked, who may be
    /// waiting for this process. False: it takes longer than that.
    /// </summary>
    public bool Await(PosixStack s, AccelThread* t, long nanoseconds)
    {
        long end = s.Kernel.NowNs() + nanoseconds;
        int spins = 0, nobody = 0;
        while (true)
        {
            Sweep(s);
            if (IsEmpty)
                return true;
            if (s.Kernel.NowNs() > end)
                return false;
            LocalArrival.ArriveAll(s, t);
            Followers.FollowAll(s, t);
            if (++spins > 256)
                s.Kernel.Sleep(&nobody, 0);
            else
                s.Kernel.Yield();
        }
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
