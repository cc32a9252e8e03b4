using Accel.Core.Handover;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// Gives live connections to the kernel: a socket that was accelerated is the kernel's afterwards, under the same
/// numbers and with the same peer, and no byte is lost, repeated or out of order. Where it cannot be done the
/// connection stays as it is, and the reason is kept.
/// </summary>
[ColdPath]
public static unsafe class Handover
{
    /// <summary>
    /// Gives the connection behind a descriptor to the kernel. None: every descriptor of it in this process is a kernel
    /// socket now, also in a program that this one becomes by exec(), or one that it is sent to. To be called without
    /// any lock. Takes up to a second if acceld hangs.
    /// </summary>
    public static HandoverRefusal ToKernel(PosixStack s, AccelThread* t, int fd)
    {
        Socket* socket = s.Find(fd, out int index);
        if (socket == null || socket->Is(SocketFlags.Datagram))
            return HandoverRefusal.NoConnection;
        // Nobody may give the socket back under this thread.
        Interlocked.Increment(ref socket->References);
        HandoverRefusal refusal = Locked(s, t, socket, index, fd);
        Sockets.Release(s, t, index);
        if (refusal == HandoverRefusal.NoConnection)
            return refusal;
        s.Count(t, refusal == HandoverRefusal.None ? Counter.LiveHandovers : Counter.LiveHandoversRefused);
        if (refusal != HandoverRefusal.None)
            s.S.Tables->HandoverRefusal = (byte)refusal;
        return refusal;
    }

    /// <summary>No call of the program moves a byte meanwhile; one that sleeps is woken afterwards.</summary>
    private static HandoverRefusal Locked(PosixStack s, AccelThread* t, Socket* socket, int index, int fd)
    {
        s.Lock(ref socket->SendLock, t);
        s.Lock(ref socket->ReceiveLock, t);
        HandoverRefusal refusal = HandoverRefusal.NoConnection;
        if (socket->State == (uint)SocketState.Connected && s.Sides(socket, out Wire wire)
            && wire.Conn->Generation == socket->ConnGeneration)
            refusal = NicConnector.IsOverNic(wire)
                ? NicHandover.Try(s, t, socket, index, fd, in wire) : HandoverRefusal.State;
        PosixStack.Unlock(ref socket->ReceiveLock);
        PosixStack.Unlock(ref socket->SendLock);
        return refusal;
    }
}
