using System.Runtime.CompilerServices;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// Between the calls that move bytes through a local connection's rings and the end that gives the connection to the
/// kernel: a call says that it is at work and then looks whether the other end leaves; who leaves says so, waits a
/// moment until every CPU has seen it, and then until nobody is at work. So neither costs the calls a fence.
/// </summary>
internal static unsafe class Gate
{
    /// <summary>A result of a call that may not touch the rings: none that a call can have.</summary>
    public const long IsShut = -4099;

    /// <summary>Under the sending lock: as <see cref="PosixStack.IsStillConnected"/>, and until
    /// <see cref="EndSend"/> the ring is this call's.</summary>
    public static bool TrySend(PosixStack s, AccelThread* t, int fd, int index, Socket* socket, out Wire wire)
    {
        if (s.IsStillConnected(t, fd, index, socket, out wire) && Enter(in wire, ref wire.Out->WriteBusy, t))
            return true;
        wire = default;
        return false;
    }

    public static bool TryReceive(PosixStack s, AccelThread* t, int fd, int index, Socket* socket, out Wire wire)
    {
        if (s.IsStillConnected(t, fd, index, socket, out wire) && Enter(in wire, ref wire.In->ReadBusy, t))
            return true;
        wire = default;
        return false;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool Enter(in Wire wire, ref int busy, AccelThread* t)
    {
        Volatile.Write(ref busy, t->Tid);
        if (wire.Region.Tables->Header.FenceAlways != 0)
            Interlocked.MemoryBarrier();
        if (Volatile.Read(ref wire.Conn->Leaving) == 0)
            return true;
        Volatile.Write(ref busy, 0);
        return false;
    }

    public static void EndSend(Socket* socket, in Wire wire)
    {
        if (wire.Conn != null)
            Volatile.Write(ref wire.Out->WriteBusy, 0);
        PosixStack.Unlock(ref socket->SendLock);
    }

    public static void EndReceive(Socket* socket, in Wire wire)
    {
        if (wire.Conn != null)
            Volatile.Write(ref wire.In->ReadBusy, 0);
        PosixStack.Unlock(ref socket->ReceiveLock);
    }

    /// <summary>
    /// Without locks, after a call was shut out: waits until it is known what becomes of the connection, and goes with
    /// it. True: try again, the socket is connected or the kernel's. False: it is neither.
    /// </summary>
    [ColdPath]
    public static bool Wait(PosixStack s, AccelThread* t, int fd, Socket* socket, int index)
    {
        const long MostNs = 5_000_000_000;
        long end = s.Kernel.NowNs() + MostNs;
        while (true)
        {
            if (socket->State == (uint)SocketState.Kernel)
                return true;
            if (socket->State != (uint)SocketState.Connected || !s.Sides(socket, out Wire wire)
                || wire.Conn->Generation != socket->ConnGeneration)
                return false;
            int leaving = Volatile.Read(ref wire.Conn->Leaving);
            if (leaving == 0)
                return t->Wait.State[0] != 0 || s.Entry(fd) == DescriptorEntry.Of(DescriptorEntry.KindSocket, index);
            if ((Volatile.Read(ref wire.Peer->Flags) & (uint)SideFlags.Departs) != 0)
                LocalArrival.Arrive(s, t, socket, index);
            else if ((Volatile.Read(ref wire.Peer->Flags) & (uint)SideFlags.Closed) != 0 || s.Kernel.NowNs() > end)
                // It died over it: what is in the rings is still there.
                Interlocked.CompareExchange(ref wire.Conn->Leaving, 0, leaving);
            else
            {
                if (s.Hub >= 0)
                    s.Peers.OnHub(t);
                s.Kernel.Yield();
            }
        }
    }

    /// <summary>
    /// For the end that leaves, which has set <see cref="Conn.Leaving"/>: waits until no call of the other end is at
    /// work. False: it takes too long.
    /// </summary>
    [ColdPath]
    public static bool Quiesce(PosixStack s, in Wire wire)
    {
        const long MostNs = 1_000_000_000;
        s.Kernel.Barrier();
        long end = s.Kernel.NowNs() + MostNs;
        while (IsAtWork(s, ref wire.In->WriteBusy) || IsAtWork(s, ref wire.Out->ReadBusy))
        {
            if (s.Kernel.NowNs() > end)
                return false;
            s.Kernel.Yield();
        }
        return true;
    }

    private static bool IsAtWork(PosixStack s, ref int busy)
    {
        int tid = Volatile.Read(ref busy);
        return tid != 0 && s.Kernel.IsThreadAlive(tid);
    }
}
