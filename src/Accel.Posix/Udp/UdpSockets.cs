using Accel.Core.Ip;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Core.Stack;
using Accel.Core.Udp;

namespace Accel.Posix;

/// <summary>
/// UDP sockets of a stack that has network interfaces. Each keeps its kernel socket, which holds the port, answers for
/// names and options, and receives what does not come by an interface of ours: loopback, other interfaces, fragments,
/// groups. Once it has a name that our interfaces can receive for, datagrams come into a ring as well.
/// </summary>
public static unsafe class UdpSockets
{
    /// <summary>
    /// Takes a kernel UDP socket under the stack's care. 0, or ACCEL_PASS if it stays with the kernel, as it always
    /// does where nobody serves interfaces.
    /// </summary>
    public static long Register(PosixStack s, AccelThread* t, int fd, int domain, int type)
    {
        if (NicAttach.Of(s, t) == null)
            return AccelResult.Pass;
        long result = Sockets.Register(s, t, fd, domain, type);
        if (result != 0)
            return result;
        Socket* socket = s.Find(fd, out _);
        Interlocked.Or(ref socket->Flags, (uint)SocketFlags.Datagram);
        Volatile.Write(ref socket->State, (uint)SocketState.Datagram);
        return 0;
    }

    public static bool Is(Socket* socket) => socket->State == (uint)SocketState.Datagram;

    /// <summary>Datagrams from interfaces of ours come into a ring.</summary>
    public static bool IsOpen(Socket* socket) => socket->Region != 0;

    /// <summary>The kernel has bound the socket.</summary>
    public static void AfterBind(PosixStack s, AccelThread* t, Socket* socket, int index, int fd)
    {
        if (!IsOpen(socket) && !TryOpenSafely(s, t, socket, index, fd, out PathReason reason))
            Sockets.HandToKernel(s, t, socket, index, fd, reason);
    }

    private static bool TryOpenSafely(
        PosixStack s, AccelThread* t, Socket* socket, int index, int fd, out PathReason reason)
    {
        Changes.Begin(s, t);
        bool opened = TryOpen(s, t, socket, index, fd, out reason);
        Changes.End(s, t);
        return opened;
    }

    /// <summary>
    /// Has the engine receive for the name that the kernel's socket has, and for the peer if there is one.
    /// </summary>
    private static bool TryOpen(
        PosixStack s, AccelThread* t, Socket* socket, int index, int fd, out PathReason reason)
    {
        reason = PathReason.InterfaceNotServed;
        Endpoint name = socket->Local.Unmapped();
        if (s.Nic is not { } nic || name.Port == 0 || name.IsLoopback
            || (!name.IsAny && !nic.Control.Tables.IsLocalAddress(name)))
            return false;
        reason = PathReason.OptionNeedsKernel;
        if (socket->Reason == (byte)PathReason.OptionNeedsKernel)
            return false;
        LocalRegion region = s.Region(nic.RegionNumber);
        int connIndex = region.TakeConn(0, 0);
        reason = PathReason.NoBuffers;
        if (connIndex < 0)
            return false;
        Conn* conn = region.ConnAt(connIndex);
        // Whoever holds the socket is known by its references; nobody has to bury this end for its own sake.
        conn->Side0.Holders[0] = 0;
        conn->Side0.Socket = (uint)index + 1;
        conn->Side0.Name = socket->Local;
        conn->Side1.Name = socket->Remote;
        conn->Pipe1.ReceiveLimit = ReceiveBuffer(s, fd);
        Volatile.Write(ref conn->State, (uint)ConnState.Accepted);
        bool v6Only = socket->Family == Af.INET6 && UdpOptions.Int(s, fd, So.IPPROTO_IPV6, So.IPV6_V6ONLY) != 0;
        UdpSettings settings = UdpOptions.Read(s, socket, fd);
        nic.Enter(t);
        nic.Engine.Udp.Bind(connIndex, name, socket->Remote.Unmapped(), v6Only, settings);
        nic.Exit(t);
        // A port of both families is one entry of the table; one of IPv6 alone is acceld's to write.
        NicRefusal refusal = nic.Steering.Steer(t, Transport.Udp, name, fd, listener: v6Only && name.IsAny);
        if (refusal != NicRefusal.None)
        {
            nic.Enter(t);
            nic.Engine.Udp.Unbind(connIndex, out _);
            nic.Exit(t);
            region.FreeConn(connIndex);
            s.S.Tables->NicRefusal = (byte)refusal;
            s.Count(t, Counter.NicRefused);
            reason = PathReason.SteeringRefused;
            return false;
        }
        socket->Index = (uint)connIndex;
        socket->Side = 0;
        socket->ConnGeneration = conn->Generation;
        socket->Reason = (byte)PathReason.Nic;
        Volatile.Write(ref socket->Region, nic.RegionNumber);
        Interlocked.Increment(ref s.S.RegionAt((int)nic.RegionNumber - 1)->Users);
        EpollSets.AttachSocket(s, t, index);
        if (Volatile.Read(ref socket->References) > 1)
            WakeReceivers(s, index);
        s.Count(t, Counter.NicDatagramSockets);
        nic.StartProgress();
        return true;
    }

    /// <summary>Threads that wait already do so for the kernel's socket alone.</summary>
    private static void WakeReceivers(PosixStack s, int index)
    {
        int count = (int)Math.Min(s.S.Tables->Wakers.Bumped, StackRegion.MaxWakers);
        for (int i = 0; i < count; i++)
        {
            Waker* waker = s.S.WakerAt(i);
            if (waker->Used != 0 && waker->Socket == (uint)index + 1)
                s.Kernel.Wake(waker->Name);
        }
    }

    /// <summary>What SO_RCVBUF says; Linux counts an overhead against it that there is none of here.</summary>
    private static uint ReceiveBuffer(PosixStack s, int fd) =>
        (uint)Math.Max(UdpOptions.Int(s, fd, So.SOL_SOCKET, So.RCVBUF), 2048);

    public static void ReceiveBufferChanged(PosixStack s, Socket* socket, int fd)
    {
        if (IsOpen(socket) && s.Sides(socket, out Wire wire))
            wire.In->ReceiveLimit = ReceiveBuffer(s, fd);
    }

    /// <summary>
    /// The program has seen that the kernel's socket has an error: its next send is to be told, though acceld has not
    /// brought the news yet.
    /// </summary>
    public static void ErrorSeen(PosixStack s, Socket* socket)
    {
        if (Is(socket) && IsOpen(socket) && s.Nic is { } nic)
            Interlocked.Increment(ref nic.Engine.Udp.BindingAt((int)socket->Index)->Errors);
    }

    /// <summary>Nothing comes from interfaces any more: the last reference is gone, or the kernel takes over.</summary>
    public static void Leave(PosixStack s, AccelThread* t, Socket* socket)
    {
        if (s.Nic is not { } nic || !s.Sides(socket, out Wire wire)
            || wire.Conn->Generation != socket->ConnGeneration)
            return;
        nic.Enter(t);
        bool isLast = nic.Engine.Udp.Unbind(wire.Index, out Endpoint steered);
        nic.Exit(t);
        if (isLast)
            nic.Steering.Unsteer(t, Transport.Udp, steered);
        wire.Region.FreeConn(wire.Index);
    }

    /// <summary>The program asks for what only the kernel can do.</summary>
    public static void HandOver(
        PosixStack s, AccelThread* t, Socket* socket, int index, int fd, PathReason reason)
    {
        s.Lock(ref socket->ReceiveLock, t);
        if (IsOpen(socket))
            Sockets.LeaveRegion(s, t, socket, abort: false);
        PosixStack.Unlock(ref socket->ReceiveLock);
        Sockets.HandToKernel(s, t, socket, index, fd, reason);
    }

    /// <summary>True if datagrams to an address leave by one of our interfaces.</summary>
    private static bool LeavesHere(PosixStack s, Socket* socket, in Endpoint target)
    {
        if (s.Nic is not { } nic)
            return false;
        Endpoint source = socket->Local.Family == Endpoint.None || socket->Local.IsAny
            ? default : socket->Local.Unmapped();
        return nic.Control.Tables.TryRoute(target.Unmapped(), source, out Route route)
            && route.Kind == RouteKind.Unicast && nic.LinkOf(route.InterfaceIndex) >= 0;
    }

    /// <summary>connect(): the kernel's socket is connected too, and so hears of ICMP errors.</summary>
    public static long Connect(
        PosixStack s, AccelThread* t, Socket* socket, int index, int fd, byte* address, uint length)
    {
        bool readable = Addresses.TryRead(address, length, out Endpoint target);
        if (!IsOpen(socket))
        {
            if (!readable)
                return AccelResult.Pass;
            if (!LeavesHere(s, socket, target))
                return Sockets.HandToKernel(s, t, socket, index, fd, PathReason.InterfaceNotServed);
        }
        int result = s.Kernel.Connect(fd, address, length);
        if (result < 0)
            return result;
        Acceptor.LearnName(s, socket, fd);
        socket->Remote = readable ? target : default;
        if (!IsOpen(socket))
            AfterBind(s, t, socket, index, fd);
        else if (socket->Local.Port == 0)
            // RFC-less, but Linux: dissolving gives up a port that the program had not chosen.
            Sockets.LeaveRegion(s, t, socket, abort: false);
        else if (s.Sides(socket, out Wire wire))
            Rename(s, t, socket, fd, wire);
        return 0;
    }

    private static void Rename(PosixStack s, AccelThread* t, Socket* socket, int fd, in Wire wire)
    {
        NicPath nic = s.Nic!;
        UdpBinding* binding = nic.Engine.Udp.BindingAt(wire.Index);
        wire.Me->Name = socket->Local;
        wire.Peer->Name = socket->Remote;
        nic.Enter(t);
        nic.Engine.Udp.Bind(wire.Index, socket->Local.Unmapped(), socket->Remote.Unmapped(), binding->V6Only != 0,
            binding->Settings);
        nic.Exit(t);
    }

    /// <summary>
    /// The first datagram of a socket without a name: where it goes decides on the path, and the kernel gives the port.
    /// False: the kernel's for good.
    /// </summary>
    public static bool TryOpenForSend(
        PosixStack s, AccelThread* t, Socket* socket, int index, int fd, in Endpoint target)
    {
        s.Lock(ref socket->SendLock, t);
        bool opened = IsOpen(socket);
        PathReason reason = PathReason.InterfaceNotServed;
        if (!opened && socket->State == (uint)SocketState.Datagram && LeavesHere(s, socket, target))
        {
            Acceptor.LearnName(s, socket, fd);
            byte* any = stackalloc byte[(int)Addresses.V6Bytes];
            Endpoint nobody = new() { Family = Addresses.FamilyOf(socket->Family) };
            uint length = Addresses.Write(nobody, any);
            if (socket->Local.Port == 0 && s.Kernel.Bind(fd, any, length) >= 0)
                Acceptor.LearnName(s, socket, fd);
            opened = TryOpenSafely(s, t, socket, index, fd, out reason);
        }
        if (!opened && socket->State == (uint)SocketState.Datagram)
            Sockets.HandToKernel(s, t, socket, index, fd, reason);
        PosixStack.Unlock(ref socket->SendLock);
        return opened;
    }

    /// <summary>shutdown(): the kernel's socket says what it thinks of it.</summary>
    public static long Shutdown(PosixStack s, AccelThread* t, Socket* socket, int how)
    {
        if ((uint)how <= Af.SHUT_RDWR)
        {
            uint flags = how switch
            {
                Af.SHUT_RD => (uint)SocketFlags.ReceiveShut,
                Af.SHUT_WR => (uint)SocketFlags.SendShut,
                _ => (uint)(SocketFlags.ReceiveShut | SocketFlags.SendShut),
            };
            Interlocked.Or(ref socket->Flags, flags);
            if (IsOpen(socket) && s.Sides(socket, out Wire wire))
                Notifier.Notify(s, t, wire.Region, wire.Me, wire.Source);
        }
        return AccelResult.Pass;
    }

    /// <summary>What poll() says of our side, as datagram_poll() of Linux; the kernel's side is asked apart.</summary>
    public static uint Mask(PosixStack s, Socket* socket)
    {
        uint mask = Ev.OUT | Ev.WRNORM;
        if (socket->Is(SocketFlags.ReceiveShut))
            mask |= Ev.IN | Ev.RDNORM | Ev.RDHUP | (socket->Is(SocketFlags.SendShut) ? Ev.HUP : 0);
        if (IsOpen(socket) && s.Sides(socket, out Wire wire) && PipeOps.Readable(wire.In) != 0)
            mask |= Ev.IN | Ev.RDNORM;
        return mask;
    }

    public static long IoControl(PosixStack s, Socket* socket, ulong request, int* argument)
    {
        if ((ulong)argument < 4096)
            return AccelResult.Pass;
        if (request == Request.FIONBIO)
            Calls.SetFlag(socket, SocketFlags.NonBlocking, *argument != 0);
        if (request != Request.FIONREAD || !IsOpen(socket) || !s.Sides(socket, out Wire wire)
            || !UdpReceiver.TryPeek(wire, out UdpRecord record))
            return AccelResult.Pass;
        *argument = (int)record.Length;
        return 0;
    }

    public static long Control(Socket* socket, int command, long argument)
    {
        if (command == Request.F_SETFL)
            Calls.SetFlag(socket, SocketFlags.NonBlocking, (argument & Af.O_NONBLOCK) != 0);
        return AccelResult.Pass;
    }
}
