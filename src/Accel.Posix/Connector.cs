using Accel.Core.Ip;
using Accel.Core.Local;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// connect(): finds out whether the other end is an accelerated listener on this host, and joins it; otherwise the
/// kernel connects.
/// </summary>
public static unsafe class Connector
{
    public static long Connect(PosixStack s, AccelThread* t, int fd, byte* address, uint length)
    {
        if (t->Wait.Phase != 0)
            return Continue(s, t, fd);
        Socket* socket = s.Find(fd, out int index);
        if (socket == null)
            return AccelResult.Pass;
        if (UdpSockets.Is(socket))
            return UdpSockets.Connect(s, t, socket, index, fd, address, length);
        bool dissolve = (ulong)address >= 4096 && length >= 2 && *(ushort*)address == Af.UNSPEC;
        if (dissolve && socket->State is not ((uint)SocketState.Unconnected or (uint)SocketState.Kernel))
            return Dissolve(s, t, socket, index, fd, address, length);
        switch ((SocketState)socket->State)
        {
            case SocketState.Connected:
                return Again(s, t, socket, index, fd);
            case SocketState.Connecting when Retry(s, t, socket):
                return Again(s, t, socket, index, fd);
            case SocketState.Connecting:
                t->Wait.Done = 1;
                return socket->Is(SocketFlags.NonBlocking) ? -Errno.EALREADY : Finish(s, t, socket, index);
            case SocketState.Listening:
                return -Errno.EISCONN;
            case SocketState.Unconnected:
                break;
            default:
                return AccelResult.Pass;
        }
        // tcp_connect_init() of Linux: what a connection before this one left is over.
        socket->Error = 0;
        PathReason reason = Route(
            s, t, socket, fd, address, length, out Endpoint target, out uint region, out int listener);
        if (reason == PathReason.Local)
        {
            Changes.Begin(s, t);
            reason = Join(s, t, socket, index, fd, target, region, listener);
            Changes.End(s, t);
        }
        else if (reason is PathReason.PeerNotAccelerated or PathReason.NotLocalAddress
            && NicConnector.TryRoute(s, t, socket, target, out Route route, ref reason))
        {
            Changes.Begin(s, t);
            reason = NicConnector.Join(s, t, socket, index, fd, target, route);
            Changes.End(s, t);
        }
        if (reason is PathReason.Local or PathReason.Nic)
            return Started(s, t, socket, fd, index);
        s.Count(t, Counter.ConnectRefused);
        if (s.Strict is { } strict && Strictness.Refuses(reason))
        {
            strict.Say(s, reason);
            return -Errno.ECONNREFUSED;
        }
        return Sockets.HandToKernel(s, t, socket, index, fd, reason);
    }

    /// <summary>
    /// connect() to AF_UNSPEC: the connection is reset (tcp_disconnect() of Linux), the socket can be used anew.
    /// </summary>
    private static long Dissolve(
        PosixStack s, AccelThread* t, Socket* socket, int index, int fd, byte* address, uint length)
    {
        if (!socket->Is(SocketFlags.OwnsKernelSocket) && !SocketOptions.Materialize(s, socket, fd))
            return -Errno.ENOBUFS;
        Undo(s, t, socket, index, fd, socket->State != (uint)SocketState.Listening ? Errno.ECONNRESET : 0);
        return 0;
    }

    /// <summary>
    /// tcp_disconnect() of Linux: what there was is reset, a port that the program had not chosen is given back.
    /// </summary>
    public static void Undo(PosixStack s, AccelThread* t, Socket* socket, int index, int fd, int error)
    {
        byte* none = stackalloc byte[(int)Addresses.V4Bytes];
        new Span<byte>(none, (int)Addresses.V4Bytes).Clear();
        bool isNic = socket->Reason == (byte)PathReason.Nic && socket->Parent == 0
            && socket->State != (uint)SocketState.Listening;
        Endpoint name = socket->Local.Unmapped();
        EpollSets.DetachSocket(s, t, index);
        s.Lock(ref socket->SendLock, t);
        s.Lock(ref socket->ReceiveLock, t);
        Sockets.LeaveRegion(s, t, socket, abort: true);
        socket->Flags &= ~(uint)(SocketFlags.Dead | SocketFlags.ConnectUnreported);
        socket->Error = error;
        Volatile.Write(ref socket->State, (uint)SocketState.Unconnected);
        socket->Reason = (byte)PathReason.NotYetRouted;
        PosixStack.Unlock(ref socket->ReceiveLock);
        PosixStack.Unlock(ref socket->SendLock);
        if (isNic)
            s.Nic?.Ports.Release(t, name);
        s.Kernel.Connect(fd, none, Addresses.V4Bytes);
        socket->Local = default;
        socket->Remote = default;
        socket->UrgentTaken = 0;
        Acceptor.LearnName(s, socket, fd);
    }

    /// <summary>
    /// A second connect(): what became of one that was begun is reported once; after a failure the socket is as new.
    /// </summary>
    private static long Again(PosixStack s, AccelThread* t, Socket* socket, int index, int fd)
    {
        uint before = Interlocked.And(ref socket->Flags, ~(uint)SocketFlags.ConnectUnreported);
        if ((before & (uint)SocketFlags.ConnectUnreported) == 0)
            return -Errno.EISCONN;
        // A reset counts from when somebody looks.
        Readiness.Mask(s, socket);
        if (!socket->Is(SocketFlags.Dead))
            return 0;
        int error = Interlocked.Exchange(ref socket->Error, 0);
        Undo(s, t, socket, index, fd, 0);
        // __inet_stream_connect() of Linux, if SO_ERROR told it before.
        return error != 0 ? -error : -Errno.ECONNABORTED;
    }

    private static long Started(PosixStack s, AccelThread* t, Socket* socket, int fd, int index)
    {
        Interlocked.Or(ref socket->Flags, (uint)SocketFlags.ConnectUnreported);
        if (socket->Is(SocketFlags.NonBlocking))
            return -Errno.EINPROGRESS;
        t->Wait.Done = 0;
        return Finish(s, t, socket, index);
    }

    private static long Continue(PosixStack s, AccelThread* t, int fd)
    {
        Socket* socket = Waits.Begin(s, t, fd, out int index);
        return socket == null ? -Errno.EBADF : Finish(s, t, socket, index);
    }

    /// <summary>
    /// A blocking connect() waits here while the listener's accept queue is full, or the other host has not answered.
    /// Wait.Done: it is not the first for this connection.
    /// </summary>
    private static long Finish(PosixStack s, AccelThread* t, Socket* socket, int index)
    {
        while (socket->State == (uint)SocketState.Connecting && !Retry(s, t, socket))
        {
            long deadline = Waits.Deadline(s, t, socket->SendTimeoutNs);
            long now = s.Kernel.NowNs();
            if (deadline >= 0 && now >= deadline)
                return Waits.End(s, t, index, t->Wait.Done != 0 ? -Errno.EALREADY : -Errno.EINPROGRESS);
            bool isNic = socket->Reason == (byte)PathReason.Nic;
            // The answer of a near host takes less than a sleep does.
            if (isNic && Waits.Spin(s, t, socket, Ev.OUT))
                continue;
            // RFC 6298: the kernel would send its SYN again after a second; room is looked for more often here.
            long retry = now + (isNic ? Waits.WatchdogNs : 20_000_000);
            if (Waits.Sleep(s, t, socket, index, Ev.OUT, deadline < 0 ? retry : Math.Min(deadline, retry)) != 0)
                return AccelResult.Wait;
        }
        Interlocked.And(ref socket->Flags, ~(uint)SocketFlags.ConnectUnreported);
        int error = Interlocked.Exchange(ref socket->Error, 0);
        if (error != 0 && Sockets.KernelDescriptor(s, index) is int fd and >= 0)
            Undo(s, t, socket, index, fd, 0);
        return Waits.End(s, t, index, -error);
    }

    /// <summary>Decides where a connection to an address goes.</summary>
    private static PathReason Route(PosixStack s, AccelThread* t, Socket* socket, int fd, byte* address, uint length,
        out Endpoint target, out uint region, out int listener)
    {
        region = 0;
        listener = 0;
        if (!Addresses.TryRead(address, length, out target) || target.Port == 0)
            return PathReason.AddressFamily;
        if (socket->Family == Af.INET && target.Family != Endpoint.V4)
            return PathReason.AddressFamily;
        if (socket->Family == Af.INET6 && target.Family != Endpoint.V6)
            return PathReason.AddressFamily;
        if (target.ScopeId != 0 && !target.IsLoopback)
            return PathReason.AddressFamily;
        if (target.IsAny)
            target = Endpoint.Loopback(target.Family, target.Port);
        if (socket->Reason == (byte)PathReason.OptionNeedsKernel)
            return PathReason.OptionNeedsKernel;
        // Whoever has a route to it knows that it is no address of this host: nobody here need be asked.
        if (NicConnector.IsElsewhere(s, t, target))
            return PathReason.NotLocalAddress;
        if (!Meeting.Find(s, t, target, out region, out listener, out PathReason reason))
            return reason;
        return IsLocal(s, target) ? PathReason.Local : PathReason.NotLocalAddress;
    }

    /// <summary>True if an address belongs to this network namespace: a kernel socket can be bound to it.</summary>
    private static bool IsLocal(PosixStack s, in Endpoint target)
    {
        if (target.IsLoopback)
            return true;
        Endpoint plain = target.Unmapped();
        int domain = plain.Family == Endpoint.V4 ? Af.INET : Af.INET6;
        int probe = s.Kernel.Socket(domain, Af.SOCK_DGRAM | Af.SOCK_CLOEXEC, 0);
        if (probe < 0)
            return false;
        plain.Port = 0;
        byte* address = stackalloc byte[(int)Addresses.V6Bytes];
        uint length = Addresses.Write(plain, address);
        int bound = s.Kernel.Bind(probe, address, length);
        s.Kernel.Close(probe);
        return bound >= 0;
    }

    /// <summary>Makes the connection in the listener's region. The kernel socket reserves the local port.</summary>
    private static PathReason Join(PosixStack s, AccelThread* t, Socket* socket, int index, int fd,
        in Endpoint target, uint regionNumber, int listenerIndex)
    {
        LocalRegion region = s.Region(regionNumber);
        uint generation = Volatile.Read(ref region.ListenerAt(listenerIndex)->Generation);
        if ((generation & 1) == 0 || region.ListenerAt(listenerIndex)->Name.Port != target.Port)
            return PathReason.PeerNotAccelerated;
        if (!ReservePort(s, socket, fd, target, target, out Endpoint local))
            return PathReason.NoPort;
        uint attachment = s.S.RegionAt((int)regionNumber - 1)->Attachment;
        int connIndex = region.TakeConn(attachment, s.Slot);
        if (connIndex < 0)
        {
            s.Count(t, Counter.NoBuffers);
            return PathReason.NoBuffers;
        }
        Listener* listener = region.ListenerAt(listenerIndex);
        Conn* conn = region.ConnAt(connIndex);
        conn->Listener = (uint)listenerIndex;
        conn->ListenerGeneration = generation;
        conn->Side0.Name = local;
        conn->Side1.Name = target;
        conn->Side0.Socket = (uint)index + 1;
        conn->Side0.Cpu = listener->ClientCpu = s.Kernel.Cpu() + 1;
        conn->Side1.Cpu = listener->Cpu;
        conn->Pipe0.SendLimit = BufferSize(s, fd, socket, true);
        conn->Pipe1.ReceiveLimit = BufferSize(s, fd, socket, false);
        conn->Pipe0.ReceiveLimit = listener->ReceiveLimit;
        conn->Pipe1.SendLimit = listener->SendLimit;

        socket->Local = local;
        socket->Remote = target;
        socket->Region = regionNumber;
        socket->Index = (uint)connIndex;
        socket->Side = 0;
        socket->ConnGeneration = conn->Generation;
        Interlocked.Increment(ref s.S.RegionAt((int)regionNumber - 1)->Users);
        socket->Reason = (byte)PathReason.Local;
        Sockets.CountLocal(s, socket);
        Volatile.Write(ref socket->State, (uint)SocketState.Connecting);
        Processes.AddHolders(s, socket, index, conn->Side0.Holders);
        s.Count(t, Counter.LocalConnects);
        Diagnostics.Opened(s, socket, accepted: false);
        EpollSets.AttachSocket(s, t, index);
        if (!Retry(s, t, socket))
            s.Count(t, Counter.BacklogFull);
        return PathReason.Local;
    }

    /// <summary>
    /// Binds the kernel socket, unless the program did, and learns the name that it has. The address is
    /// <paramref name="preferred"/> where the program left it open.
    /// </summary>
    public static bool ReservePort(
        PosixStack s, Socket* socket, int fd, in Endpoint target, in Endpoint preferred, out Endpoint local)
    {
        byte* address = stackalloc byte[(int)Addresses.V6Bytes];
        uint length = Addresses.V6Bytes;
        local = socket->Local;
        if (local.Family == Endpoint.None || local.Port == 0)
        {
            // The kernel's choice for a local destination: that address itself; 127.0.0.1 for all of 127/8.
            Endpoint source = local.Family == Endpoint.None || local.IsAny ? preferred : local;
            if (source.IsLoopback && source.Family == Endpoint.V4)
                source = Endpoint.Loopback(Endpoint.V4, 0);
            source.Port = 0;
            int bound = s.Kernel.Bind(fd, address, Addresses.Write(source, address));
            if (bound < 0 && bound != -Errno.EINVAL)
                return false;
            length = Addresses.V6Bytes;
            if (s.Kernel.GetSockName(fd, address, &length) < 0 || !Addresses.TryRead(address, length, out local))
                return false;
        }
        if (local.IsAny)
        {
            ushort port = local.Port;
            local = preferred.IsLoopback && preferred.Family == Endpoint.V4
                ? Endpoint.Loopback(Endpoint.V4, 0) : preferred;
            local.Port = port;
        }
        return local.Port != 0;
    }

    public static uint BufferSize(PosixStack s, int fd, Socket* socket, bool send)
    {
        SocketFlags flag = send ? SocketFlags.SendBufferSet : SocketFlags.ReceiveBufferSet;
        if (!socket->Is(flag))
            return (uint)s.Option(send ? Option.SendBuffer : Option.ReceiveBuffer);
        int value = 0;
        uint length = sizeof(int);
        s.Kernel.GetSockOpt(fd, So.SOL_SOCKET, send ? So.SNDBUF : So.RCVBUF, &value, &length);
        return (uint)Math.Max(value, 2048);
    }

    /// <summary>
    /// Puts a connection into the listener's accept queue if there is room; otherwise into the list from which accept()
    /// takes the next (Linux drops the SYN, and the client's next one gets in). True when the connection is established
    /// or has failed.
    /// </summary>
    public static bool Retry(PosixStack s, Socket* socket)
    {
        if (Volatile.Read(ref socket->State) != (uint)SocketState.Connecting)
            return true;
        AccelThread stranger = s.Stranger();
        return Retry(s, &stranger, socket);
    }

    /// <inheritdoc cref="Retry(PosixStack, Socket*)"/>
    public static bool Retry(PosixStack s, AccelThread* t, Socket* socket)
    {
        if (Volatile.Read(ref socket->State) != (uint)SocketState.Connecting)
            return true;
        if (!s.Sides(socket, out Wire wire))
            return false;
        Conn* conn = wire.Conn;
        if (NicConnector.IsOverNic(wire))
            return NicConnector.IsSettled(s, socket, wire);
        switch ((ConnState)Volatile.Read(ref conn->State))
        {
            case ConnState.Waiting:
                return false;
            case ConnState.Fresh:
                break;
            default:
                return Established(s, socket, wire);
        }
        LocalRegion region = wire.Region;
        int index = (int)conn->Listener;
        if ((uint)index >= LocalRegion.MaxListeners)
            return Refuse(socket);
        Listener* listener = region.ListenerAt(index);
        if (Volatile.Read(ref listener->Generation) != conn->ListenerGeneration)
        {
            Closer.Unqueue(s, t, region, wire.Index);
            return Refuse(socket);
        }
        bool room = AcceptQueue.TryCountIn(listener);
        ConnState next = room ? ConnState.Queued : ConnState.Waiting;
        if (Interlocked.CompareExchange(ref conn->State, (uint)next, (uint)ConnState.Fresh) != (uint)ConnState.Fresh)
        {
            if (room)
                Interlocked.Decrement(ref listener->Queued);
            return conn->State != (uint)ConnState.Waiting && Established(s, socket, wire);
        }
        if (!room)
        {
            listener->Overflows++;
            AcceptQueue.Push(region, ref listener->Waiting, wire.Index);
            Interlocked.MemoryBarrier();
            // accept() may have made room between the look at the queue and the push.
            if (Volatile.Read(ref listener->Queued) <= (int)listener->Backlog)
                Admit(s, t, region, index);
            return conn->State != (uint)ConnState.Waiting && Established(s, socket, wire);
        }
        Enqueue(s, t, region, index, wire.Index);
        return Established(s, socket, wire);
    }

    private static bool Established(PosixStack s, Socket* socket, in Wire wire)
    {
        bool refused = (Volatile.Read(ref wire.Me->Flags) & (uint)SideFlags.Reset) != 0 && wire.In->Tail == 0
            && socket->State == (uint)SocketState.Connecting && wire.Conn->State == (uint)ConnState.Accepted
            && Holders.IsEmpty(wire.Peer->Holders);
        if (s.IsCaptured && socket->State == (uint)SocketState.Connecting)
            Taps.Opened(s, socket, wire);
        Interlocked.CompareExchange(ref socket->State, (uint)SocketState.Connected, (uint)SocketState.Connecting);
        return !refused || Refuse(socket);
    }

    private static void Enqueue(PosixStack s, AccelThread* t, LocalRegion region, int listenerIndex, int connIndex)
    {
        if (AcceptQueue.Enqueue(region, listenerIndex, connIndex, s.Kernel.Ticks()))
        {
            Notifier.NotifyListener(s, t, region, listenerIndex);
            // It was found before it was lent.
            if (Volatile.Read(ref region.ListenerAt(listenerIndex)->Shared) == Listener.Lent)
                Beckoning.One(s, t, region, connIndex);
        }
        else
            Closer.ResetOne(s, t, region, connIndex);
    }

    /// <summary>There is room in the accept queue: lets in who waited longest.</summary>
    public static void Admit(PosixStack s, AccelThread* t, LocalRegion region, int listenerIndex)
    {
        Listener* listener = region.ListenerAt(listenerIndex);
        uint at = Interlocked.Exchange(ref listener->Waiting, 0);
        uint oldest = 0;
        for (int steps = 0; at != 0 && at <= LocalRegion.MaxConns && steps < LocalRegion.MaxConns; steps++)
        {
            Conn* conn = region.ConnAt((int)at - 1);
            uint next = conn->Next;
            conn->Next = oldest;
            oldest = at;
            at = next;
        }
        for (int steps = 0; oldest != 0 && steps < LocalRegion.MaxConns; steps++)
        {
            if (oldest > LocalRegion.MaxConns)
                break;
            int index = (int)oldest - 1;
            Conn* conn = region.ConnAt(index);
            oldest = conn->Next;
            if (!AcceptQueue.TryCountIn(listener))
            {
                AcceptQueue.Push(region, ref listener->Waiting, index);
                continue;
            }
            if (Interlocked.CompareExchange(ref conn->State, (uint)ConnState.Queued, (uint)ConnState.Waiting)
                != (uint)ConnState.Waiting)
            {
                Interlocked.Decrement(ref listener->Queued);
                continue;
            }
            Enqueue(s, t, region, listenerIndex, index);
            Notifier.Notify(s, t, region, &conn->Side0, 2 * index);
        }
    }

    private static bool Refuse(Socket* socket)
    {
        socket->Error = Errno.ECONNREFUSED;
        Interlocked.CompareExchange(ref socket->State, (uint)SocketState.Connected, (uint)SocketState.Connecting);
        Interlocked.Or(ref socket->Flags, (uint)SocketFlags.Dead);
        return true;
    }
}
