using System.Runtime.CompilerServices;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>Birth, sharing and death of sockets and their descriptors.</summary>
public static unsafe class Sockets
{
    /// <summary>
    /// Takes a kernel TCP socket under the stack's care. 0, or ACCEL_PASS if it stays with the kernel.
    /// </summary>
    /// <param name="type">As socket() takes it: with SOCK_NONBLOCK if the descriptor has O_NONBLOCK.</param>
    public static long Register(PosixStack s, AccelThread* t, int fd, int domain, int type)
    {
        if ((uint)fd >= s.Process->FdLimit)
            return AccelResult.Pass;
        Changes.Begin(s, t);
        int index = s.S.TakeSocket();
        if (index < 0)
        {
            Changes.End(s, t);
            s.Count(t, Counter.NoSockets);
            return AccelResult.Pass;
        }
        Socket* socket = s.S.SocketAt(index);
        socket->Family = (byte)domain;
        socket->FirstDescriptor = fd;
        socket->References = 1;
        socket->LowWater = 1;
        socket->Reason = (byte)PathReason.NotYetRouted;
        socket->CreatedNs = s.Kernel.NowNs();
        socket->Flags = (uint)SocketFlags.OwnsKernelSocket
            | ((type & Af.SOCK_NONBLOCK) != 0 ? (uint)SocketFlags.NonBlocking : 0);
        socket->State = (uint)SocketState.Unconnected;
        s.Count(t, Counter.SocketsCreated);
        s.SetEntry(fd, DescriptorEntry.Of(DescriptorEntry.KindSocket, index));
        Changes.End(s, t);
        return 0;
    }

    /// <summary>
    /// A descriptor was closed, or another took its number: forgets the entry. The kernel's descriptor is the caller's
    /// affair.
    /// </summary>
    public static long Close(PosixStack s, AccelThread* t, int fd)
    {
        uint entry = s.Entry(fd);
        if (entry == 0)
            return 0;
        uint kind = DescriptorEntry.Kind(entry);
        if (kind == DescriptorEntry.KindInternal)
            return -Errno.EBADF;
        int index = DescriptorEntry.Index(entry);
        if (kind == DescriptorEntry.KindSocket && s.Nic != null)
            NicConnector.KeepPort(s, t, index, fd);
        Changes.Begin(s, t);
        Numbers.Enter(s);
        entry = s.Entry(fd);
        s.SetEntry(fd, 0);
        Numbers.Exit(s);
        Forget(s, t, entry);
        Changes.End(s, t);
        return 0;
    }

    /// <summary>A number does not mean this any more. Within <see cref="Changes"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Forget(PosixStack s, AccelThread* t, uint entry)
    {
        if (DescriptorEntry.Kind(entry) == DescriptorEntry.KindEpoll)
            EpollSets.Release(s, t, DescriptorEntry.Index(entry));
        else if (DescriptorEntry.Kind(entry) == DescriptorEntry.KindSocket)
            CloseDescriptor(s, t, DescriptorEntry.Index(entry), entry);
    }

    private static void CloseDescriptor(PosixStack s, AccelThread* t, int index, uint entry)
    {
        Socket* socket = s.S.SocketAt(index);
        // The last descriptor of all stays the holder until its end is closed: a process killed in between is found by
        // it.
        bool last = socket->State != (uint)SocketState.Listening && Volatile.Read(ref socket->References) == 1;
        if (!last && (!socket->Is(SocketFlags.Duplicated) || !HeldHere(s, entry)))
            LetGo(s, socket, s.Slot);
        Release(s, t, index);
    }

    /// <summary>True if some descriptor of this process still refers to it.</summary>
    private static bool HeldHere(PosixStack s, uint entry)
    {
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = 0; fd < high; fd++)
        {
            if (s.Process->FdMap[fd] == entry)
                return true;
        }
        return false;
    }

    /// <summary>
    /// This process's last descriptor of a socket is gone: the neighbours need not watch it for its sake.
    /// </summary>
    private static bool LetGo(PosixStack s, Socket* socket, int slot)
    {
        LocalRegion region = s.Region(socket->Region);
        if (!region.IsMapped)
            return false;
        if (socket->State is (uint)SocketState.Connected or (uint)SocketState.Connecting
            && s.Sides(socket, out Wire wire)
            && wire.Conn->Generation == socket->ConnGeneration)
            return Holders.Remove(wire.Me->Holders, slot);
        if (socket->State != (uint)SocketState.Listening)
            return false;
        Listener* listener = region.ListenerAt((int)socket->Index);
        if (slot == s.Slot)
            s.Disown(listener->Meeting, DescriptorEntry.MeetingTag);
        return Holders.Remove(listener->Holders, slot);
    }

    /// <summary>
    /// A reference of a call's own while it works on a socket without a lock. In <paramref name="place"/>, one of
    /// <see cref="ProcessSlot"/>, whoever buries the process finds it.
    /// </summary>
    [ColdPath]
    public static void Hold(PosixStack s, AccelThread* t, int index, ref uint place)
    {
        // Until the end: another thread may have the place.
        Changes.Begin(s, t);
        Interlocked.Increment(ref s.S.SocketAt(index)->References);
        Interlocked.CompareExchange(ref place, (uint)index + 1, 0);
    }

    [ColdPath]
    public static void EndHold(PosixStack s, AccelThread* t, int index, ref uint place)
    {
        Interlocked.CompareExchange(ref place, 0, (uint)index + 1);
        Release(s, t, index);
        Changes.End(s, t);
    }

    /// <summary>Gives up the references of calls that ended with their process, or its image.</summary>
    [ColdPath]
    public static void ReleaseHeld(PosixStack s, AccelThread* t, int slot)
    {
        ReleaseHeld(s, t, ref s.S.ProcessAt(slot)->Giving);
        ReleaseHeld(s, t, ref s.S.ProcessAt(slot)->Fetching);
    }

    private static void ReleaseHeld(PosixStack s, AccelThread* t, ref uint place)
    {
        uint held = Interlocked.Exchange(ref place, 0);
        if (held - 1 < StackRegion.MaxSockets)
            Release(s, t, (int)held - 1);
    }

    /// <summary>Gives up one reference; the last one closes the socket.</summary>
    public static void Release(PosixStack s, AccelThread* t, int index)
    {
        Changes.Begin(s, t);
        if (ReleaseOne(s, t, index))
            s.S.GiveSocket(index);
        Changes.End(s, t);
    }

    private static bool ReleaseOne(PosixStack s, AccelThread* t, int index)
    {
        Socket* socket = s.S.SocketAt(index);
        // Below zero: a call of a process that ends anyway, after what it held was given up.
        if (Interlocked.Decrement(ref socket->References) != 0)
            return false;
        EpollSets.ForgetSocket(s, t, index);
        s.Lock(ref socket->SendLock, t);
        s.Lock(ref socket->ReceiveLock, t);
        LeaveRegion(s, t, socket, abort: socket->LingerOn != 0 && socket->LingerSeconds == 0);
        PosixStack.Unlock(ref socket->ReceiveLock);
        PosixStack.Unlock(ref socket->SendLock);
        return true;
    }

    /// <summary>A socket gets a connection on the local path; <see cref="LeaveRegion"/> takes it out of the count.
    /// </summary>
    public static void CountLocal(PosixStack s, Socket* socket)
    {
        Interlocked.Or(ref socket->Flags, (uint)SocketFlags.OnLocalPath);
        Interlocked.Increment(ref s.S.Tables->LocalSockets);
    }

    /// <summary>Ends what the socket is in its region: its end of the connection, or the listener.</summary>
    public static void LeaveRegion(PosixStack s, AccelThread* t, Socket* socket, bool abort)
    {
        const uint Counted = (uint)SocketFlags.OnLocalPath;
        SocketState state = (SocketState)socket->State;
        uint number = socket->Region;
        LocalRegion region = s.Region(number);
        if (!region.IsMapped)
            return;
        Changes.Begin(s, t);
        if (state == SocketState.Datagram)
            UdpSockets.Leave(s, t, socket);
        else if (state is SocketState.Connected or SocketState.Connecting)
        {
            if (s.Sides(socket, out Wire wire) && wire.Conn->Generation == socket->ConnGeneration)
                Closer.CloseSide(s, t, wire, socket->ConnGeneration, abort || state == SocketState.Connecting);
        }
        int listener = state == SocketState.Listening ? (int)socket->Index : -1;
        // Two may be here: one takes it out of the count, and gives the listener back.
        bool isFirst = Interlocked.CompareExchange(ref socket->Region, 0, number) == number;
        if (isFirst && listener >= 0)
            Closer.CloseListener(s, t, region, listener);
        if (isFirst)
            Interlocked.Decrement(ref s.S.RegionAt((int)number - 1)->Users);
        if ((Interlocked.And(ref socket->Flags, ~Counted) & Counted) != 0)
            Interlocked.Decrement(ref s.S.Tables->LocalSockets);
        Changes.End(s, t);
    }

    /// <summary>
    /// dup() and its like, of which one number at least is ours: the kernel makes the copy by the system call and its
    /// arguments after the number, and its number means the same. The copy, or minus an errno.
    /// </summary>
    public static long Duplicate(PosixStack s, AccelThread* t, int call, int oldfd, long second, long third)
    {
        uint replaced = s.Kernel.Replaces(call) ? s.Entry((int)second) : 0;
        if (DescriptorEntry.Kind(replaced) == DescriptorEntry.KindSocket && s.Nic != null && (int)second != oldfd)
            NicConnector.KeepPort(s, t, DescriptorEntry.Index(replaced), (int)second);
        Changes.Begin(s, t);
        Numbers.Enter(s);
        long made = s.Kernel.Copy(call, oldfd, second, third);
        replaced = made >= 0 && made != oldfd ? Share(s, oldfd, (int)made) : 0;
        Numbers.Exit(s);
        Forget(s, t, replaced);
        Changes.End(s, t);
        return made;
    }

    /// <summary>A number means what another does. Returns what it meant before.</summary>
    private static uint Share(PosixStack s, int oldfd, int newfd)
    {
        uint entry = s.Entry(oldfd), before = s.Entry(newfd);
        if (DescriptorEntry.Kind(entry) == DescriptorEntry.KindInternal)
            entry = 0;
        if (DescriptorEntry.Kind(entry) == DescriptorEntry.KindEpoll)
            Interlocked.Increment(ref s.S.EpollSetAt(DescriptorEntry.Index(entry))->References);
        else if (entry != 0)
        {
            Socket* socket = s.S.SocketAt(DescriptorEntry.Index(entry));
            Interlocked.Increment(ref socket->References);
            Interlocked.Or(ref socket->Flags, (uint)SocketFlags.Duplicated);
        }
        s.SetEntry(newfd, entry);
        return before;
    }

    /// <summary>
    /// The kernel's socket receives too: a listener's connections and a UDP socket's datagrams come both ways.
    /// </summary>
    public static bool HasKernelSide(Socket* socket) =>
        socket->State == (uint)SocketState.Listening || socket->Is(SocketFlags.Datagram);

    /// <summary>A descriptor of this process whose kernel file belongs to the socket.</summary>
    public static int KernelDescriptor(PosixStack s, int index)
    {
        uint entry = DescriptorEntry.Of(DescriptorEntry.KindSocket, index);
        int first = s.S.SocketAt(index)->FirstDescriptor;
        if ((s.Entry(first) & ~DescriptorEntry.OnKernel) == entry)
            return first;
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = 0; fd < high; fd++)
        {
            if ((s.Process->FdMap[fd] & ~DescriptorEntry.OnKernel) == entry)
                return fd;
        }
        return -1;
    }

    /// <summary>
    /// Sends the socket to the kernel for good: its descriptor passes through, its epoll items move to the kernel's
    /// set.
    /// </summary>
    public static long HandToKernel(PosixStack s, AccelThread* t, Socket* socket, int index, int fd, PathReason reason)
    {
        s.LeaveToKernel(t, socket, reason);
        EpollSets.MoveToKernel(s, t, index);
        MarkOnKernel(s, index);
        return AccelResult.Pass;
    }

    /// <summary>All numbers that a socket of the kernel's has in this process pass through from now on.</summary>
    public static void MarkOnKernel(PosixStack s, int index)
    {
        uint entry = DescriptorEntry.Of(DescriptorEntry.KindSocket, index);
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        Numbers.Enter(s);
        for (int fd = 0; fd < high; fd++)
        {
            if (s.Process->FdMap[fd] == entry)
                s.SetEntry(fd, entry | DescriptorEntry.OnKernel);
        }
        Numbers.Exit(s);
    }

    /// <summary>shutdown(): marks the directions closed and tells the other end.</summary>
    public static long Shutdown(PosixStack s, AccelThread* t, int fd, int how)
    {
        Socket* socket = s.Find(fd, out int index);
        if (socket == null)
            return AccelResult.Pass;
        if ((uint)how > Af.SHUT_RDWR)
            return -Errno.EINVAL;
        if (UdpSockets.Is(socket))
            return UdpSockets.Shutdown(s, t, socket, how);
        if (socket->State == (uint)SocketState.Listening)
            return Acceptor.ShutdownListener(s, t, socket, index, fd, how);
        if (socket->State == (uint)SocketState.Connecting && !Connector.Retry(s, t, socket))
        {
            // inet_shutdown() of Linux, whatever the direction.
            Connector.Undo(s, t, socket, index, fd, Errno.ECONNRESET);
            return 0;
        }
        if (socket->State != (uint)SocketState.Connected || !s.Sides(socket, out Wire wire))
            return -Errno.ENOTCONN;
        if (socket->Is(SocketFlags.Dead) || Calls.BothEnded(wire))
            return -Errno.ENOTCONN;
        if (how != Af.SHUT_WR)
            Interlocked.Or(ref wire.Me->Flags, (uint)SideFlags.ReadShut);
        if (how != Af.SHUT_RD)
        {
            s.Lock(ref socket->SendLock, t);
            if (Volatile.Read(ref wire.Peer->Watch) != 0)
                wire.Out->Stamp = s.Kernel.Ticks();
            if (s.IsCaptured)
                Taps.Closed(s, wire, reset: false);
            uint before = Interlocked.Or(ref wire.Me->Flags, (uint)SideFlags.FinSent);
            PosixStack.Unlock(ref socket->SendLock);
            if ((before & (uint)SideFlags.FinSent) == 0)
                s.Count(t, Counter.FinsSent);
        }
        Notifier.Notify(s, t, wire.Region, wire.Peer, wire.PeerSource);
        Notifier.Notify(s, t, wire.Region, wire.Me, wire.Source);
        return 0;
    }

    /// <summary>
    /// Gives up what a dead or leaving process of this stack held. The caller makes sure that this happens once.
    /// </summary>
    public static void ReleaseTable(PosixStack s, AccelThread* t, int slot)
    {
        uint* table = s.S.DescriptorsOf(slot);
        int high = Math.Min(s.S.ProcessAt(slot)->HighestDescriptor, StackRegion.MaxDescriptors);
        for (int fd = 0; fd < high; fd++)
        {
            uint entry = Interlocked.Exchange(ref table[fd], 0);
            uint kind = DescriptorEntry.Kind(entry);
            int index = DescriptorEntry.Index(entry);
            if (kind == DescriptorEntry.KindInternal && slot == s.Slot)
                // Still open; and closed with what they belong to.
                table[fd] = entry;
            else if (kind == DescriptorEntry.KindEpoll)
            {
                if (!EpollSets.Release(s, t, index) && !Processes.AnyHolds(s, entry))
                    EpollSets.ReleaseSleepers(s, t, index);
            }
            else if (kind == DescriptorEntry.KindSocket)
            {
                Regions.EnsureMapped(s, t, s.S.SocketAt(index)->Region);
                Socket* socket = s.S.SocketAt(index);
                // A call that sleeps on it cannot keep it open: its process ends.
                if (LetGo(s, socket, slot))
                    LeaveRegion(s, t, socket, abort: socket->LingerOn != 0 && socket->LingerSeconds == 0);
                Release(s, t, index);
            }
        }
        if (slot != s.Slot)
            s.S.ProcessAt(slot)->HighestDescriptor = 0;
    }
}
