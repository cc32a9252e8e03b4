using Accel.Core.Local;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// bind(), listen(), accept(): a listener listens on both, over shared memory and in the kernel, and accept() takes
/// from both.
/// </summary>
public static unsafe class Acceptor
{
    private const int KernelFirstEvery = 16;

    /// <summary>bind(): the kernel's socket reserves the address; its answer is the answer.</summary>
    public static long Bind(PosixStack s, AccelThread* t, int fd, byte* address, uint length)
    {
        Socket* socket = s.Find(fd, out int index);
        if (socket == null)
            return AccelResult.Pass;
        if (!socket->Is(SocketFlags.OwnsKernelSocket))
            return -Errno.EINVAL;
        int result = s.Kernel.Bind(fd, address, length);
        if (result >= 0)
            LearnName(s, socket, fd);
        if (result >= 0 && UdpSockets.Is(socket))
            UdpSockets.AfterBind(s, t, socket, index, fd);
        return result;
    }

    /// <summary>Takes the name that the kernel's socket has.</summary>
    public static bool LearnName(PosixStack s, Socket* socket, int fd)
    {
        byte* name = stackalloc byte[(int)Addresses.V6Bytes];
        uint length = Addresses.V6Bytes;
        return s.Kernel.GetSockName(fd, name, &length) >= 0 && Addresses.TryRead(name, length, out socket->Local);
    }

    public static long Listen(PosixStack s, AccelThread* t, int fd, int backlog)
    {
        Socket* socket = s.Find(fd, out int index);
        if (socket == null || UdpSockets.Is(socket))
            return AccelResult.Pass;
        if (socket->State is (uint)SocketState.Connected or (uint)SocketState.Connecting)
            return -Errno.EINVAL;
        NicListener.Prepare(s, t, socket);
        int result = s.Kernel.Listen(fd, backlog);
        if (result < 0)
            return result;
        if (socket->State == (uint)SocketState.Listening)
        {
            // Who has come by now is measured by the backlog that was.
            s.Nic?.Pump(t);
            if (s.Region(socket->Region) is { IsMapped: true } mapped)
                mapped.ListenerAt((int)socket->Index)->Backlog = Clamp(backlog);
            return 0;
        }
        LearnName(s, socket, fd);
        Changes.Begin(s, t);
        PathReason reason = Open(s, t, socket, index, fd, backlog);
        Changes.End(s, t);
        if (reason == PathReason.Local)
            return 0;
        if (s.Strict is { } strict && Strictness.Refuses(reason))
        {
            strict.Say(s, reason);
            // tcp_disconnect() of Linux: it listens no more.
            s.Kernel.ShutdownSocket(fd, Af.SHUT_RD);
            return -Errno.EOPNOTSUPP;
        }
        Sockets.HandToKernel(s, t, socket, index, fd, reason);
        return 0;
    }

    private static uint Clamp(int backlog) => (uint)backlog > 4096 ? 4096 : (uint)backlog;

    private static PathReason Open(PosixStack s, AccelThread* t, Socket* socket, int index, int fd, int backlog)
    {
        if (socket->Reason == (byte)PathReason.OptionNeedsKernel)
            return PathReason.OptionNeedsKernel;
        uint regionNumber = Regions.Own(s, t);
        if (regionNumber == 0)
            return PathReason.NoBuffers;
        LocalRegion region = s.Region(regionNumber);
        Endpoint name = socket->Local;
        int meeting = Meeting.Open(s, name);
        if (meeting < 0 && !Meeting.Share(s, t, regionNumber, name, out meeting))
            return PathReason.MeetingPointTaken;
        int listenerIndex = region.TakeListener();
        if (listenerIndex < 0)
        {
            s.Disown(meeting);
            return PathReason.LimitReached;
        }
        Listener* listener = region.ListenerAt(listenerIndex);
        listener->Name = name;
        listener->Backlog = Clamp(backlog);
        listener->Socket = (uint)index + 1;
        listener->Meeting = meeting;
        listener->V6Only = IntOption(s, fd, So.IPPROTO_IPV6, So.IPV6_V6ONLY, socket->Family == Af.INET6);
        listener->ReceiveLimit = socket->Is(SocketFlags.ReceiveBufferSet)
            ? IntOption(s, fd, So.SOL_SOCKET, So.RCVBUF, true) : (uint)s.Option(Option.ReceiveBuffer);
        listener->SendLimit = socket->Is(SocketFlags.SendBufferSet)
            ? IntOption(s, fd, So.SOL_SOCKET, So.SNDBUF, true) : (uint)s.Option(Option.SendBuffer);
        Holders.Add(listener->Holders, s.Slot);
        socket->Region = regionNumber;
        socket->Index = (uint)listenerIndex;
        socket->Reason = (byte)PathReason.Local;
        Interlocked.Increment(ref s.S.RegionAt((int)regionNumber - 1)->Users);
        // accept() asks the kernel too and must not block there: the descriptor's own O_NONBLOCK is kept by us.
        int flags = s.Kernel.GetFlags(fd);
        if (flags >= 0)
            s.Kernel.SetFlags(fd, flags | Af.O_NONBLOCK);
        Volatile.Write(ref socket->State, (uint)SocketState.Listening);
        Processes.AddHolders(s, socket, index, listener->Holders);
        Interlocked.Increment(ref listener->Generation);
        if (meeting >= 0)
            s.Peers.AddMeeting(meeting);
        EpollSets.AttachSocket(s, t, index);
        NicListener.Open(s, t, socket, fd, listenerIndex);
        return PathReason.Local;
    }

    private static uint IntOption(PosixStack s, int fd, int level, int name, bool ask)
    {
        int value = 0;
        uint length = sizeof(int);
        if (ask)
            s.Kernel.GetSockOpt(fd, level, name, &value, &length);
        return (uint)value;
    }

    public static long Accept(PosixStack s, AccelThread* t, int fd, byte* address, uint* length, int flags)
    {
        Socket* socket = Waits.Begin(s, t, fd, out int index);
        if (socket == null)
            return AccelResult.Pass;
        if ((flags & ~(Af.SOCK_NONBLOCK | Af.SOCK_CLOEXEC)) != 0)
            return Waits.End(s, t, index, -Errno.EINVAL);
        // Linux wants a free number when the call begins, and keeps it while it sleeps.
        bool isFirst = t->Wait.Phase == 0;
        for (; ; isFirst = false)
        {
            if (socket->State != (uint)SocketState.Listening)
                return Waits.End(s, t, index,
                    socket->State is (uint)SocketState.Kernel or (uint)SocketState.Datagram
                        ? AccelResult.Pass : -Errno.EINVAL);
            long result = Attempt(s, t, socket, index, isFirst, address, length, flags);
            if (result != -Errno.EAGAIN || socket->Is(SocketFlags.NonBlocking))
                return Waits.End(s, t, index, result);
            long deadline = Waits.Deadline(s, t, socket->ReceiveTimeoutNs);
            if (deadline >= 0 && s.Kernel.NowNs() >= deadline)
                return Waits.End(s, t, index, -Errno.EAGAIN);
            if (Waits.Spin(s, t, socket, Ev.IN) || Waits.Sleep(s, t, socket, index, Ev.IN, deadline) == 0)
                continue;
            return AccelResult.Wait;
        }
    }

    private static long Attempt(
        PosixStack s, AccelThread* t, Socket* socket, int index, bool isFirst, byte* address, uint* length, int flags)
    {
        uint number = socket->Region;
        LocalRegion region = s.Region(number);
        // Another thread may end the listener at any time.
        if (!region.IsMapped || socket->Index >= LocalRegion.MaxListeners)
            return -Errno.EINVAL;
        int listenerIndex = (int)socket->Index;
        Listener* listener = region.ListenerAt(listenerIndex);
        bool kernelFirst = listener->Accepted % KernelFirstEvery == KernelFirstEvery - 1;
        if (kernelFirst)
        {
            long early = FromKernel(s, t, socket, index, isFirst, address, length, flags);
            listener->Accepted++;
            if (early != -Errno.EAGAIN)
                return early;
        }
        if (AcceptOrder.IsEmpty(listener))
            return kernelFirst ? -Errno.EAGAIN : FromKernel(s, t, socket, index, isFirst, address, length, flags);
        // The descriptor first, as on Linux: without one the connection stays in the queue.
        int place = Placeholder(s, socket->Family, (flags & Af.SOCK_CLOEXEC) != 0);
        if (place < 0)
            return place;
        int connIndex = Pop(s, t, number, listenerIndex);
        if (connIndex >= 0)
            return Take(s, t, socket, number, connIndex, place, address, length, flags);
        s.Kernel.Close(place);
        return kernelFirst ? -Errno.EAGAIN : FromKernel(s, t, socket, index, false, address, length, flags);
    }

    /// <summary>
    /// The oldest connection in the queue, now Accepted and held by this process; -1 if there is none.
    /// </summary>
    private static int Pop(PosixStack s, AccelThread* t, uint regionNumber, int listenerIndex)
    {
        LocalRegion region = s.Region(regionNumber);
        Listener* listener = region.ListenerAt(listenerIndex);
        uint attachment = s.S.RegionAt((int)regionNumber - 1)->Attachment;
        s.Lock(ref listener->Lock, t);
        AcceptOrder.Recover(region, listenerIndex);
        int found = -1;
        while (found < 0)
        {
            uint first = AcceptOrder.First(region, listener);
            if (first == 0 || first > LocalRegion.MaxConns)
                break;
            Conn* conn = region.ConnAt((int)first - 1);
            AcceptOrder.Unlink(region, listener, first);
            if (Volatile.Read(ref listener->Waiting) != 0)
                Connector.Admit(s, t, region, listenerIndex);
            if (conn->Listener == (uint)listenerIndex && !Closer.Discard(s, t, region, (int)first - 1)
                && Claim(s, conn, attachment))
                found = (int)first - 1;
            listener->Taking = 0;
        }
        if (found >= 0)
            listener->Accepted++;
        PosixStack.Unlock(ref listener->Lock);
        return found;
    }

    /// <summary>
    /// Takes a queued connection. It has a holder before it leaves the queue: whoever buries a dead server finds it
    /// either way.
    /// </summary>
    private static bool Claim(PosixStack s, Conn* conn, uint attachment)
    {
        Holders.Add(conn->Side1.Holders, s.Slot);
        Volatile.Write(ref conn->Side1.Stack, attachment);
        if (Interlocked.CompareExchange(ref conn->State, (uint)ConnState.Accepted, (uint)ConnState.Queued)
            == (uint)ConnState.Queued)
        {
            if (Volatile.Read(ref conn->Leaving) != 0)
                Beckoning.End(conn);
            return true;
        }
        Holders.Remove(conn->Side1.Holders, s.Slot);
        Volatile.Write(ref conn->Side1.Stack, 0);
        return false;
    }

    /// <summary>
    /// Makes a socket for a connection that was taken from the queue, behind a descriptor that was made before.
    /// </summary>
    private static long Take(PosixStack s, AccelThread* t, Socket* parent, uint regionNumber, int connIndex, int fd,
        byte* address, uint* length, int flags)
    {
        LocalRegion region = s.Region(regionNumber);
        Wire wire = new(region, region.ConnAt(connIndex), connIndex, 1);
        Changes.Begin(s, t);
        int index = (uint)fd >= s.Process->FdLimit ? -1 : s.S.TakeSocket();
        if (index < 0)
        {
            Changes.End(s, t);
            Closer.CloseSide(s, t, wire, wire.Conn->Generation, abort: true);
            s.Kernel.Close(fd);
            return -Errno.ENOBUFS;
        }
        Socket* socket = s.S.SocketAt(index);
        socket->Family = parent->Family;
        socket->FirstDescriptor = fd;
        socket->References = 1;
        socket->LowWater = parent->LowWater;
        socket->CreatedNs = s.Kernel.NowNs();
        socket->Flags = (flags & Af.SOCK_NONBLOCK) != 0 ? (uint)SocketFlags.NonBlocking : 0;
        socket->Flags |= parent->Flags & (uint)(SocketFlags.SendBufferSet | SocketFlags.ReceiveBufferSet);
        socket->ReceiveTimeoutNs = parent->ReceiveTimeoutNs;
        socket->SendTimeoutNs = parent->SendTimeoutNs;
        socket->LingerOn = parent->LingerOn;
        socket->LingerSeconds = parent->LingerSeconds;
        socket->Parent = (uint)(parent - s.S.SocketAt(0)) + 1;
        SocketOptions.Inherit(parent, socket);
        bool v6 = parent->Family == Af.INET6;
        socket->Local = v6 ? wire.Me->Name.Mapped() : wire.Me->Name.Unmapped();
        socket->Remote = v6 ? wire.Peer->Name.Mapped() : wire.Peer->Name.Unmapped();
        socket->Region = regionNumber;
        socket->Index = (uint)connIndex;
        socket->Side = 1;
        socket->ConnGeneration = wire.Conn->Generation;
        Interlocked.Increment(ref s.S.RegionAt((int)regionNumber - 1)->Users);
        wire.Me->Socket = (uint)index + 1;
        bool overNic = NicConnector.IsOverNic(wire);
        if (overNic)
            socket->Reason = (byte)PathReason.Nic;
        else
            Sockets.CountLocal(s, socket);
        if (s.IsCaptured)
            Taps.Opened(s, socket, wire);
        Volatile.Write(ref socket->State, (uint)SocketState.Connected);
        s.SetEntry(fd, DescriptorEntry.Of(DescriptorEntry.KindSocket, index));
        Changes.End(s, t);
        s.Count(t, overNic ? Counter.NicAccepts : Counter.LocalAccepts);
        Diagnostics.Opened(s, socket, accepted: true);
        s.Count(t, Counter.SocketsCreated);
        int given = address == null ? 0 : Addresses.Give(socket->Remote, address, length);
        if (given >= 0)
        {
            if (s.UsesRings)
                Departure.AcceptedForRings(s, t, socket, index, fd);
            return fd;
        }
        // Linux has taken the connection by the time that it finds the address bad, and so have we.
        Sockets.Close(s, t, fd);
        s.Kernel.Close(fd);
        return given;
    }

    /// <summary>
    /// The cheapest descriptor that is a TCP socket for fstat(), select() and lsof: a copy of one that is never used.
    /// </summary>
    private static int Placeholder(PosixStack s, int family, bool closeOnExec)
    {
        int original = family == Af.INET ? s.Placeholder4 : s.Placeholder6;
        if (original < 0)
        {
            original = s.Own(s.Kernel.MoveHigh(s.Kernel.Socket(family, Af.SOCK_STREAM | Af.SOCK_CLOEXEC, 0)));
            if (original < 0)
                return original;
            if (family == Af.INET)
                s.Placeholder4 = original;
            else
                s.Placeholder6 = original;
        }
        return s.Kernel.Duplicate(original, closeOnExec);
    }

    /// <summary>
    /// The kernel's accept(). It makes a socket and a file before it finds that nobody is there, which takes ten times
    /// as long as to look first. <paramref name="isFirst"/>: a process without a free number is told.
    /// </summary>
    private static long FromKernel(PosixStack s, AccelThread* t, Socket* socket, int index, bool isFirst,
        byte* address, uint* length, int flags)
    {
        int listening = Sockets.KernelDescriptor(s, index);
        if (listening < 0)
            return -Errno.EAGAIN;
        PollFd look = new() { Fd = listening, Events = (short)Ev.IN };
        if (s.Kernel.Poll(&look, 1) == 0)
        {
            int place = isFirst ? Placeholder(s, socket->Family, closeOnExec: true) : -Errno.EAGAIN;
            if (place < 0)
                return place;
            s.Kernel.Close(place);
            return -Errno.EAGAIN;
        }
        int fd = s.Kernel.Accept(listening, address, length, flags);
        if (fd < 0)
            return fd;
        s.Count(t, Counter.KernelAccepts);
        if (Volatile.Read(ref s.S.Tables->Lent) != 0)
            Lending.Look(s, t);
        s.Strict?.Say(s, PathReason.AcceptedFromKernel);
        Changes.Begin(s, t);
        int taken = (uint)fd < s.Process->FdLimit ? s.S.TakeSocket() : -1;
        if (taken >= 0)
        {
            Socket* accepted = s.S.SocketAt(taken);
            accepted->Family = socket->Family;
            accepted->FirstDescriptor = fd;
            accepted->References = 1;
            accepted->Flags = (uint)SocketFlags.OwnsKernelSocket;
            accepted->Reason = (byte)PathReason.AcceptedFromKernel;
            accepted->State = (uint)SocketState.Kernel;
            accepted->CreatedNs = s.Kernel.NowNs();
            Diagnostics.OnKernel(s, accepted);
            s.SetEntry(fd, DescriptorEntry.Of(DescriptorEntry.KindSocket, taken) | DescriptorEntry.OnKernel);
        }
        Changes.End(s, t);
        return fd;
    }

    /// <summary>shutdown() on a listener: with SHUT_RD it stops listening, as on Linux.</summary>
    public static long ShutdownListener(PosixStack s, AccelThread* t, Socket* socket, int index, int fd, int how)
    {
        if (how == Af.SHUT_WR)
            return 0;
        int listenerIndex = (int)socket->Index;
        Changes.Begin(s, t);
        uint number = Interlocked.Exchange(ref socket->Region, 0);
        LocalRegion region = s.Region(number);
        if (!region.IsMapped)
        {
            Changes.End(s, t);
            return AccelResult.Pass;
        }
        Listener* listener = region.ListenerAt(listenerIndex);
        s.Disown(listener->Meeting, DescriptorEntry.MeetingTag);
        listener->Meeting = -1;
        socket->State = (uint)SocketState.Unconnected;
        Interlocked.Decrement(ref s.S.RegionAt((int)number - 1)->Users);
        // Those who wait in accept() see the state; the listener may be another's as soon as it is closed.
        Notifier.NotifyListener(s, t, region, listenerIndex);
        Closer.CloseListener(s, t, region, listenerIndex);
        Changes.End(s, t);
        return AccelResult.Pass;
    }
}
