using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

// What becomes of a socket's items when it connects, leaves its connection, is closed, or goes to the kernel.
public static unsafe partial class EpollSets
{
    /// <summary>Registers the set's doorbell with what the item's socket is connected to, or listens as.</summary>
    private static void Attach(PosixStack s, AccelThread* t, int setIndex, int index)
    {
        EpollSet* set = s.S.EpollSetAt(setIndex);
        EpollItem* item = s.S.EpollItemAt(index);
        Socket* socket = s.S.SocketAt((int)item->Target);
        bool isThere = Notifier.WatchWords(s, socket, out uint* watch, out ushort* bells, out _);
        int bell = isThere ? Wakers.BellIn(s, t, (int)set->Waker, socket->Region) : -1;
        if (bell >= 0)
            Notifier.Watch(watch, bells, (uint)bell, armed: (item->Flags & (uint)EpollItemFlags.Hot) == 0);
        if (Sockets.HasKernelSide(socket))
        {
            uint edge = item->Events & Ev.ET;
            int listening = Sockets.KernelDescriptor(s, (int)item->Target);
            s.Kernel.EpollCtl(InnerHere(s, setIndex), Ev.CTL_ADD, listening, Ev.IN | edge,
                ItemData | (uint)index);
        }
    }

    private static void Detach(PosixStack s, AccelThread* t, int setIndex, Socket* socket, EpollItem* item)
    {
        for (uint at = socket->Items; at != 0; at = s.S.EpollItemAt((int)at - 1)->SocketNext)
        {
            if (s.S.EpollItemAt((int)at - 1)->Set == (uint)setIndex)
                return;
        }
        // The doorbell stays with the connection: many programs take a socket out and put it back with every request,
        // and a ring for a socket that is not in the set does no harm.
        if (Sockets.HasKernelSide(socket))
            s.Kernel.EpollCtl(InnerHere(s, setIndex), Ev.CTL_DEL, Sockets.KernelDescriptor(s, (int)item->Target), 0, 0);
    }

    /// <summary>A socket was connected, or listens now: its items register.</summary>
    public static void AttachSocket(PosixStack s, AccelThread* t, int socketIndex)
    {
        for (uint at = s.S.SocketAt(socketIndex)->Items; at != 0; at = s.S.EpollItemAt((int)at - 1)->SocketNext)
            Attach(s, t, (int)s.S.EpollItemAt((int)at - 1)->Set, (int)at - 1);
    }

    /// <summary>A socket leaves its connection: its items stay, but have nothing to register with.</summary>
    public static void DetachSocket(PosixStack s, AccelThread* t, int socketIndex)
    {
        Socket* socket = s.S.SocketAt(socketIndex);
        if (!Notifier.WatchWords(s, socket, out uint* watch, out ushort* bells, out _))
            return;
        for (uint at = socket->Items; at != 0; at = s.S.EpollItemAt((int)at - 1)->SocketNext)
        {
            EpollSet* set = s.S.EpollSetAt((int)s.S.EpollItemAt((int)at - 1)->Set);
            s.S.EpollItemAt((int)at - 1)->QuietRegion = 0;
            int bell = Wakers.BellIn(s, t, (int)set->Waker, socket->Region);
            if (bell >= 0)
                Notifier.Unwatch(watch, bells, (uint)bell);
        }
    }

    /// <summary>A socket's last descriptor was closed: it leaves all sets, as on Linux.</summary>
    public static void ForgetSocket(PosixStack s, AccelThread* t, int socketIndex)
    {
        Socket* socket = s.S.SocketAt(socketIndex);
        for (int steps = 0; socket->Items != 0 && steps < StackRegion.MaxEpollItems; steps++)
        {
            int index = (int)socket->Items - 1;
            int setIndex = (int)s.S.EpollItemAt(index)->Set;
            EpollSet* set = s.S.EpollSetAt(setIndex);
            s.Lock(ref set->Lock, t);
            if (socket->Items == (uint)index + 1)
                Remove(s, t, setIndex, index);
            PosixStack.Unlock(ref set->Lock);
        }
    }

    /// <summary>
    /// A socket went to the kernel path: its items become registrations in the kernel's sets. Those in sets that only
    /// others of the family have are theirs to move.
    /// </summary>
    public static void MoveToKernel(PosixStack s, AccelThread* t, int socketIndex)
    {
        for (int steps = 0; steps < StackRegion.MaxEpollItems; steps++)
        {
            int index = ItemHere(s, t, socketIndex, out int epfd);
            if (index < 0)
                return;
            EpollItem item = *s.S.EpollItemAt(index);
            EpollSet* set = s.S.EpollSetAt((int)item.Set);
            s.Lock(ref set->Lock, t);
            Remove(s, t, (int)item.Set, index);
            PosixStack.Unlock(ref set->Lock);
            uint events = (item.Flags & (uint)EpollItemFlags.Disabled) != 0 ? Ev.ONESHOT : item.Events;
            uint entry = s.Entry(item.Descriptor) & ~DescriptorEntry.OnKernel;
            // The number that it was registered by may be another file's by now, while the socket lives under others.
            int fd = entry == DescriptorEntry.Of(DescriptorEntry.KindSocket, socketIndex)
                ? item.Descriptor : Sockets.KernelDescriptor(s, socketIndex);
            s.Kernel.EpollCtl(epfd, Ev.CTL_ADD, fd, events, item.Data);
            s.Count(t, Counter.Handovers);
        }
    }

    /// <summary>An item of a socket whose set this process has, and the set's descriptor; -1: there is none.</summary>
    private static int ItemHere(PosixStack s, AccelThread* t, int socketIndex, out int epfd)
    {
        Socket* socket = s.S.SocketAt(socketIndex);
        epfd = -1;
        s.Lock(ref socket->ListLock, t);
        uint at = socket->Items;
        for (int steps = 0; at != 0 && steps < StackRegion.MaxEpollItems; steps++)
        {
            epfd = DescriptorHere(s, (int)s.S.EpollItemAt((int)at - 1)->Set);
            if (epfd >= 0)
                break;
            at = s.S.EpollItemAt((int)at - 1)->SocketNext;
        }
        PosixStack.Unlock(ref socket->ListLock);
        return epfd < 0 ? -1 : (int)at - 1;
    }
}
