using Accel.Core.Handover;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// A socket leaves for the kernel because the program wants of it what only the kernel can do: an option, signals,
/// io_uring. Whatever state it is in, it goes on; afterwards the number is the kernel socket's.
/// </summary>
[ColdPath]
public static unsafe class Departure
{
    /// <summary>Without any lock. False: it stays as it is (and why is in handover_refusal).</summary>
    public static bool Leave(PosixStack s, AccelThread* t, Socket* socket, int index, int fd, PathReason reason)
    {
        switch ((SocketState)socket->State)
        {
            case SocketState.Kernel:
                return true;
            case SocketState.Datagram:
                UdpSockets.HandOver(s, t, socket, index, fd, reason);
                return true;
            case SocketState.Connected:
                if (LocalArrival.TryFollow(s, t, socket, index))
                    return true;
                if (Handover.ToKernel(s, t, fd) != HandoverRefusal.None)
                    return false;
                socket->Reason = (byte)reason;
                return true;
            case SocketState.Listening:
                return Listener(s, t, socket, index, fd, reason);
            case SocketState.Unconnected:
                bool isNew = socket->Error == 0 && !socket->Is(SocketFlags.Dead)
                    && socket->Is(SocketFlags.OwnsKernelSocket);
                if (isNew)
                    Sockets.HandToKernel(s, t, socket, index, fd, reason);
                return isNew;
            default:
                return false;
        }
    }

    /// <summary>
    /// The process makes a ring of io_uring: all that it has leaves, and what it still accepts. How many stay.
    /// </summary>
    public static long ForRings(PosixStack s, AccelThread* t)
    {
        s.UsesRings = true;
        long left = 0;
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = 0; fd < high; fd++)
        {
            Socket* socket = s.Find(fd, out int index);
            if (socket != null && !Leave(s, t, socket, index, fd, PathReason.IoUring))
                left++;
        }
        return left;
    }

    /// <summary>A connection that was accepted although the process has a ring: both ends may be its own.</summary>
    public static void AcceptedForRings(PosixStack s, AccelThread* t, Socket* socket, int index, int fd)
    {
        Leave(s, t, socket, index, fd, PathReason.IoUring);
        LocalArrival.ArriveAll(s, t);
    }

    /// <summary>
    /// The kernel's socket listens already, and goes on alone. Connections that wait to be accepted are known to the
    /// stack only: as long as there are any, the listener stays.
    /// </summary>
    private static bool Listener(
        PosixStack s, AccelThread* t, Socket* socket, int index, int fd, PathReason reason)
    {
        s.Nic?.Pump(t);
        uint number = socket->Region;
        LocalRegion region = s.Region(number);
        if (!region.IsMapped || Volatile.Read(ref region.ListenerAt((int)socket->Index)->Queued) != 0)
            return false;
        Changes.Begin(s, t);
        if (Interlocked.CompareExchange(ref socket->Region, 0, number) != number)
        {
            Changes.End(s, t);
            return false;
        }
        int listenerIndex = (int)socket->Index;
        Core.Local.Listener* listener = region.ListenerAt(listenerIndex);
        s.Disown(listener->Meeting, DescriptorEntry.MeetingTag);
        listener->Meeting = -1;
        int flags = s.Kernel.GetFlags(fd) & ~Af.O_NONBLOCK;
        s.Kernel.SetFlags(fd, flags | (socket->Is(SocketFlags.NonBlocking) ? Af.O_NONBLOCK : 0));
        Sockets.HandToKernel(s, t, socket, index, fd, reason);
        Interlocked.Decrement(ref s.S.RegionAt((int)number - 1)->Users);
        // Those who wait in accept() see the state, and wait in the kernel.
        Notifier.NotifyListener(s, t, region, listenerIndex);
        Closer.CloseListener(s, t, region, listenerIndex);
        Changes.End(s, t);
        return true;
    }
}
