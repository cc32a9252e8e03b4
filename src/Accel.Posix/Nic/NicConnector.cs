using Accel.Core.Ip;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>connect() over a network interface: the route decides, the kernel's socket holds the port.</summary>
public static unsafe class NicConnector
{
    /// <summary>
    /// True if the connection to an address leaves by one of our interfaces; then how. The reason says why not.
    /// </summary>
    public static bool TryRoute(
        PosixStack s, AccelThread* t, Socket* socket, in Endpoint target, out Route route, ref PathReason reason)
    {
        route = default;
        NicPath? nic = NicAttach.Of(s, t);
        if (nic == null)
            return false;
        Endpoint plain = target.Unmapped(), source = socket->Local.Unmapped();
        if (socket->Local.Family == Endpoint.None || socket->Local.IsAny)
            source = default;
        if (!nic.Control.Tables.TryRoute(plain, source, out route) || route.Kind != RouteKind.Unicast)
            return false;
        reason = PathReason.InterfaceNotServed;
        return nic.LinkOf(route.InterfaceIndex) >= 0;
    }

    /// <summary>Makes the connection in the stack's own region, and has the engine open it.</summary>
    public static PathReason Join(PosixStack s, AccelThread* t, Socket* socket, int index, int fd,
        in Endpoint target, in Route route)
    {
        NicPath nic = s.Nic!;
        LocalRegion region = s.Region(nic.RegionNumber);
        Endpoint plain = target.Unmapped();
        Endpoint source = route.Source;
        if (target.Family == Endpoint.V6 && source.Family == Endpoint.V4)
            source = source.Mapped();
        if (!nic.Choice.Reserve(socket, fd, target, source, out Endpoint local))
            return PathReason.NoPort;
        NicRefusal refusal = nic.Steering.Steer(t, Transport.Tcp, local.Unmapped(), fd, listener: false);
        if (refusal != NicRefusal.None)
        {
            s.S.Tables->NicRefusal = (byte)refusal;
            return PathReason.SteeringRefused;
        }
        uint attachment = s.S.RegionAt((int)nic.RegionNumber - 1)->Attachment;
        int connIndex = region.TakeConn(attachment, s.Slot);
        if (connIndex < 0)
        {
            nic.Steering.Unsteer(t, Transport.Tcp, local.Unmapped());
            s.Count(t, Counter.NoBuffers);
            return PathReason.NoBuffers;
        }
        Conn* conn = region.ConnAt(connIndex);
        conn->Side0.Name = local;
        conn->Side1.Name = target;
        conn->Side0.Socket = (uint)index + 1;
        conn->Pipe0.SendLimit = Connector.BufferSize(s, fd, socket, true);
        conn->Pipe1.ReceiveLimit = Connector.BufferSize(s, fd, socket, false);
        socket->Local = local;
        socket->Remote = target;
        socket->Region = nic.RegionNumber;
        socket->Index = (uint)connIndex;
        socket->Side = 0;
        socket->ConnGeneration = conn->Generation;
        NicError error = nic.Open(t, connIndex, local.Unmapped(), plain, route, NicOptions.Read(s, socket, fd));
        if (error != NicError.None)
        {
            socket->Region = 0;
            region.FreeConn(connIndex);
            nic.Steering.Unsteer(t, Transport.Tcp, local.Unmapped());
            return error == NicError.NoMemory ? PathReason.NoBuffers : PathReason.InterfaceNotServed;
        }
        Interlocked.Increment(ref s.S.RegionAt((int)nic.RegionNumber - 1)->Users);
        socket->Reason = (byte)PathReason.Nic;
        Volatile.Write(ref socket->State, (uint)SocketState.Connecting);
        Processes.AddHolders(s, socket, index, conn->Side0.Holders);
        EpollSets.AttachSocket(s, t, index);
        s.Count(t, Counter.NicConnects);
        Diagnostics.Opened(s, socket, accepted: false);
        return PathReason.Nic;
    }

    /// <summary>True if the tables of the network path are there and say that an address is not this host's.</summary>
    public static bool IsElsewhere(PosixStack s, AccelThread* t, in Endpoint target) =>
        !target.IsLoopback && NicAttach.Of(s, t) is { } nic && !nic.Control.Tables.IsLocalAddress(target.Unmapped());

    /// <summary>The other end of the connection is the engine.</summary>
    public static bool IsOverNic(in Wire wire) => (Volatile.Read(ref wire.Peer->Watch) & Side.EngineWatch) != 0;

    /// <summary>True when a connection that was begun is established or has failed.</summary>
    public static bool IsSettled(PosixStack s, Socket* socket, in Wire wire)
    {
        NicPhase phase = NicConn.PhaseOf(wire.Conn);
        if (phase == NicPhase.Connecting)
            return false;
        if (phase == NicPhase.Failed
            && (Interlocked.Or(ref socket->Flags, (uint)SocketFlags.Dead) & (uint)SocketFlags.Dead) == 0)
            socket->Error = NicErrors.ToErrno(NicConn.ErrorOf(wire.Conn));
        Interlocked.CompareExchange(ref socket->State, (uint)SocketState.Connected, (uint)SocketState.Connecting);
        return true;
    }

    /// <summary>Why the engine gave a connection up, as an errno; 0: it did not, or there is no engine.</summary>
    public static int FailureOf(in Wire wire) =>
        IsOverNic(wire) && NicConn.PhaseOf(wire.Conn) == NicPhase.Failed
            ? NicErrors.ToErrno(NicConn.ErrorOf(wire.Conn)) : 0;

    /// <summary>
    /// The last descriptor of a connection that this stack opened is closed: its port stays taken until the peer is
    /// done with it too.
    /// </summary>
    public static void KeepPort(PosixStack s, AccelThread* t, int index, int fd)
    {
        Socket* socket = s.S.SocketAt(index);
        if (socket->Reason != (byte)PathReason.Nic || socket->Side != 0 || socket->Parent != 0
            || socket->State is (uint)SocketState.Kernel or (uint)SocketState.Datagram
            || Volatile.Read(ref socket->References) != 1)
            return;
        int copy = s.Own(s.Kernel.DuplicateHigh(fd), DescriptorEntry.PortTag);
        s.Nic!.Ports.Keep(t, socket->Local.Unmapped(), copy);
    }
}
