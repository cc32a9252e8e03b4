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
    /// So long an exec() or an exit waits for others to fetch what goes with this process; and so long one that stays.
    /// </summary>
    private const long LastArrivalNs = 1_500_000_000, ArrivalNs = 200_000_000;

    /// <summary>Both ends may leave at one moment: then one of them follows the other.</summary>
    private const int Attempts = 4;

    /// <summary>
    /// Gives the connection behind a descriptor to the kernel. None: every descriptor of it in this process is a kernel
    /// socket now, also in a program that this one becomes by exec(), or one that it is sent to. To be called without
    /// any lock. Takes up to a second if acceld hangs.
    /// </summary>
    public static HandoverRefusal ToKernel(PosixStack s, AccelThread* t, int fd)
    {
        HandoverRefusal refusal = Give(s, t, fd);
        AfterGiving(s, t);
        return refusal;
    }

    /// <summary>The same as one of many: whoever is to fetch something is not waited for.</summary>
    public static HandoverRefusal Give(PosixStack s, AccelThread* t, int fd)
    {
        Socket* socket = s.Find(fd, out int index);
        if (socket == null || socket->Is(SocketFlags.Datagram))
            return HandoverRefusal.NoConnection;
        // Nobody may give the socket back under this thread.
        ref uint place = ref s.S.ProcessAt(s.Slot)->Giving;
        Sockets.Hold(s, t, index, ref place);
        HandoverRefusal refusal = Locked(s, t, socket, index, fd);
        for (int i = 1; i < Attempts && refusal == HandoverRefusal.Busy && Gate.Wait(s, t, fd, socket, index); i++)
        {
            refusal = socket->State == (uint)SocketState.Kernel ? HandoverRefusal.None
                : Locked(s, t, socket, index, fd);
        }
        if (refusal != HandoverRefusal.NoConnection)
            Diagnostics.HandedOver(s, socket, (byte)refusal);
        Sockets.EndHold(s, t, index, ref place);
        if (refusal == HandoverRefusal.NoConnection)
            return refusal;
        s.Count(t, refusal == HandoverRefusal.None ? Counter.LiveHandovers : Counter.LiveHandoversRefused);
        if (refusal != HandoverRefusal.None)
            s.S.Tables->HandoverRefusal = (byte)refusal;
        return refusal;
    }

    /// <summary>
    /// Before exec() of a program that is not accelerated: all that it would inherit. What cannot be given to the
    /// kernel is closed with the process's place in the stack, as if it had ended.
    /// </summary>
    public static void BeforeExec(PosixStack s, AccelThread* t)
    {
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = 0; fd < high; fd++)
        {
            if (s.Process->FdMap[fd] >> 24 == DescriptorEntry.KindSocket && s.Kernel.IsInherited(fd))
                Give(s, t, fd);
        }
        BeforeEnd(s, t);
    }

    /// <summary>This process ends, or becomes another image, which knows nothing of what is parked.</summary>
    public static void BeforeEnd(PosixStack s, AccelThread* t) => s.Parked.Await(s, t, LastArrivalNs);

    /// <summary>This process goes on, and keeps what nobody has fetched yet.</summary>
    public static void AfterGiving(PosixStack s, AccelThread* t)
    {
        if (!s.Parked.Await(s, t, ArrivalNs))
            s.StartKeeper();
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
                ? NicHandover.Try(s, t, socket, index, fd, in wire)
                : LocalHandover.Try(s, t, socket, index, fd, in wire);
        PosixStack.Unlock(ref socket->ReceiveLock);
        PosixStack.Unlock(ref socket->SendLock);
        return refusal;
    }
}
