using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>The other end of a local connection went to the kernel, and left a socket there for this one.</summary>
internal static unsafe class LocalArrival
{
    public static bool IsDue(PosixStack s, Socket* socket) =>
        socket->State == (uint)SocketState.Connected && s.Sides(socket, out Wire wire)
        && (Volatile.Read(ref wire.Peer->Flags) & (uint)SideFlags.Departs) != 0;

    /// <summary>
    /// True if it is the kernel's now: for calls that are about the socket and not about its bytes, which meet the
    /// <see cref="Gate"/>. Without any lock.
    /// </summary>
    public static bool TryFollow(PosixStack s, AccelThread* t, Socket* socket, int index)
    {
        if (!IsDue(s, socket))
            return false;
        Arrive(s, t, socket, index);
        return socket->State == (uint)SocketState.Kernel;
    }

    /// <summary>All sockets of this process that this is so for. Without any lock.</summary>
    [ColdPath]
    public static void ArriveAll(PosixStack s, AccelThread* t)
    {
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = 0; fd < high; fd++)
        {
            Socket* socket = s.Process->FdMap[fd] >> 24 == DescriptorEntry.KindSocket ? s.Find(fd, out _) : null;
            if (socket != null && IsDue(s, socket))
                Arrive(s, t, socket, DescriptorEntry.Index(s.Process->FdMap[fd]));
        }
    }

    /// <summary>Takes the socket that was left. Without any lock.</summary>
    [ColdPath]
    public static void Arrive(PosixStack s, AccelThread* t, Socket* socket, int index)
    {
        ref uint place = ref s.S.ProcessAt(s.Slot)->Fetching;
        Sockets.Hold(s, t, index, ref place);
        s.Lock(ref socket->SendLock, t);
        s.Lock(ref socket->ReceiveLock, t);
        if (IsDue(s, socket) && s.Sides(socket, out Wire wire) && wire.Conn->Generation == socket->ConnGeneration)
        {
            if ((Volatile.Read(ref wire.Peer->Flags) & (uint)SideFlags.HandedOver) != 0)
                Take(s, t, socket, index, in wire);
            else
                Beckoning.Follow(s, t, socket, index, in wire);
        }
        PosixStack.Unlock(ref socket->ReceiveLock);
        PosixStack.Unlock(ref socket->SendLock);
        Sockets.EndHold(s, t, index, ref place);
    }

    private static void Take(PosixStack s, AccelThread* t, Socket* socket, int index, in Wire wire)
    {
        int fd = Sockets.KernelDescriptor(s, index);
        int made = fd < 0 ? -1 : s.Kernel.Borrow(wire.Peer->HandoverPid, wire.Peer->HandoverDescriptor);
        if (made < 0)
        {
            // The process that left it there has gone, or may not be asked: what was in the rings is lost.
            s.Count(t, Counter.HandoversLost);
            Interlocked.Or(ref wire.Me->Flags, (uint)SideFlags.Reset);
            Readiness.AbsorbReset(socket, wire.Me->Flags, wire);
            Interlocked.And(ref wire.Peer->Flags, ~(uint)SideFlags.HandedOver);
            Volatile.Write(ref wire.Conn->Leaving, 0);
            return;
        }
        if ((wire.Me->Flags & (uint)SideFlags.FinSent) != 0)
            s.Kernel.ShutdownSocket(made, Af.SHUT_WR);
        Settlement.Exchange(s, socket, index, in wire, fd, made);
        Interlocked.Or(ref wire.Me->Flags, (uint)SideFlags.HandedOver);
        s.Count(t, Counter.HandoversFollowed);
        Settlement.Leave(s, t, socket, index, in wire);
    }
}
