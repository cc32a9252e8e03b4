using System.Runtime.CompilerServices;
using Accel.Core.Local;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>What a socket is ready for, in the bits of poll and epoll, as tcp_poll() of Linux decides it.</summary>
public static unsafe class Readiness
{
    /// <summary>The bits that are true now. The kernel's side of a listener is not asked.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Mask(PosixStack s, Socket* socket) => Mask(s, socket, uint.MaxValue);

    /// <summary>The same for who asks for some of them only: of the others nothing is said.</summary>
    public static uint Mask(PosixStack s, Socket* socket, uint events)
    {
        switch ((SocketState)Volatile.Read(ref socket->State))
        {
            case SocketState.Connected:
                return s.Sides(socket, out Wire wire)
                    ? OfConnection(s, socket, wire, events) : Ev.ERR | Ev.HUP | Ev.IN | Ev.RDNORM;
            case SocketState.Listening:
                // Not its count, which has those who are about to come.
                LocalRegion region = s.Region(socket->Region);
                return region.IsMapped && !AcceptOrder.IsEmpty(region.ListenerAt((int)socket->Index))
                    ? Ev.IN | Ev.RDNORM : 0;
            case SocketState.Datagram:
                return UdpSockets.Mask(s, socket);
            case SocketState.Connecting:
                return Connector.Retry(s, socket) ? Mask(s, socket, events) : 0;
            case SocketState.Unconnected:
                uint mask = Ev.OUT | Ev.WRNORM | Ev.HUP;
                if (socket->Is(SocketFlags.Dead))
                    mask |= Ev.IN | Ev.RDNORM | Ev.RDHUP;
                return Volatile.Read(ref socket->Error) != 0 ? mask | Ev.ERR : mask;
            default:
                return 0;
        }
    }

    private static uint OfConnection(PosixStack s, Socket* socket, in Wire wire, uint events)
    {
        Side* me = wire.Me;
        uint mine = Volatile.Read(ref me->Flags);
        uint theirs = Volatile.Read(ref wire.Peer->Flags);
        if ((mine & (uint)SideFlags.Reset) != 0)
            AbsorbReset(socket, mine, wire);
        if ((theirs & (uint)SideFlags.Departs) != 0)
        {
            // The kernel knows, as soon as this end has gone there too.
            s.ArrivalsDue = true;
            return 0;
        }
        uint mask = 0;
        bool dead = socket->Is(SocketFlags.Dead);
        bool sendShut = dead || (mine & (uint)SideFlags.FinSent) != 0;
        bool receiveShut = dead || ((mine & (uint)SideFlags.ReadShut) | (theirs & (uint)SideFlags.FinSent)) != 0;
        ulong readable = PipeOps.Readable(wire.In), wanted = Math.Max(1u, socket->LowWater);
        if (Volatile.Read(ref wire.In->Urgent) > wire.In->Head)
            mask |= UrgentData.Mask(socket, wire.In, ref wanted);
        if (readable >= wanted || receiveShut)
            mask |= Ev.IN | Ev.RDNORM;
        if (receiveShut)
            mask |= Ev.RDHUP;
        if (sendShut && receiveShut)
            mask |= Ev.HUP;
        if (sendShut || ((events & (Ev.OUT | Ev.WRNORM)) != 0 && Writable(socket, wire)))
            mask |= Ev.OUT | Ev.WRNORM;
        if (Volatile.Read(ref socket->Error) != 0 || socket->Is(SocketFlags.HasNotices))
            mask |= Ev.ERR;
        return mask;
    }

    /// <summary>
    /// Room to send; once it was found missing, a third of the ring must be free again (sk_stream_is_writeable of
    /// Linux).
    /// </summary>
    private static bool Writable(Socket* socket, in Wire wire)
    {
        Pipe* pipe = wire.Out;
        if (Volatile.Read(ref wire.Me->WantSpace) == 0)
        {
            if (PipeOps.Space(pipe, pipe->Tail, 1) > 0 || PipeOps.CanGrow(pipe))
                return true;
            Volatile.Write(ref wire.Me->WantSpace, 1);
            Interlocked.MemoryBarrier();
        }
        if (!PipeOps.HasThird(pipe))
            return false;
        Volatile.Write(ref wire.Me->WantSpace, 0);
        Interlocked.Increment(ref socket->SpaceEvents);
        return true;
    }

    /// <summary>
    /// SO_RCVLOWAT, but never more than a ring and the limit can hold: reader and writer would wait for each other.
    /// </summary>
    public static ulong LowWater(Socket* socket, Pipe* pipe) => socket->LowWater <= 1 ? 1
        : Math.Min(socket->LowWater, Math.Min(1ul << (PipeOps.BulkLog2 - 1), Math.Max(1, PipeOps.Limit(pipe) / 2)));

    /// <summary>
    /// Turns a reset from the other end into SO_ERROR, once, as tcp_reset() does: EPIPE if the peer had sent its FIN
    /// before and
    /// we had not, ECONNRESET otherwise.
    /// </summary>
    public static void AbsorbReset(Socket* socket, uint flags, in Wire wire)
    {
        uint before = Interlocked.Or(ref socket->Flags, (uint)SocketFlags.Dead);
        if ((before & (uint)SocketFlags.Dead) == 0)
            socket->Error = (flags & (uint)SideFlags.ResetAfterFin) != 0 ? Errno.EPIPE
                : NicConnector.FailureOf(wire) is var errno && errno != 0 ? errno : Errno.ECONNRESET;
    }

    /// <summary>
    /// A number that differs whenever something happened that makes an edge, apart from bytes received.
    /// </summary>
    public static ulong StateWord(PosixStack s, Socket* socket)
    {
        const uint Shut = (uint)(SocketFlags.ReceiveShut | SocketFlags.SendShut);
        ulong word = socket->State | (socket->Flags & Shut) << 8 | (ulong)socket->SpaceEvents << 32
            | (socket->Is(SocketFlags.Dead) ? 0x80u : 0u);
        if (socket->State != (uint)SocketState.Connected || !s.Sides(socket, out Wire wire))
            return word;
        return word | (ulong)(wire.Me->Flags & 0xFF) << 8 | (ulong)(wire.Peer->Flags & 0xFF) << 16
            | (ulong)(Volatile.Read(ref wire.In->Urgent) & 0xFF) << 24 | (ulong)(socket->ZeroCopySends & 0xFF) << 56;
    }

    private static bool HasRing(Socket* socket) => socket->State == (uint)SocketState.Connected
        || (socket->State == (uint)SocketState.Datagram && socket->Region != 0);

    /// <summary>Bytes received so far, read or not; arrivals for a listener.</summary>
    public static ulong TailWord(PosixStack s, Socket* socket)
    {
        if (HasRing(socket) && s.Sides(socket, out Wire wire))
            return Volatile.Read(ref wire.In->Tail);
        LocalRegion region = s.Region(socket->Region);
        return socket->State == (uint)SocketState.Listening && region.IsMapped
            ? region.ListenerAt((int)socket->Index)->Stamp : 0;
    }

    /// <summary>When the socket last became readable, for the order of events; 0 if that is not known.</summary>
    public static ulong Stamp(PosixStack s, Socket* socket)
    {
        if (HasRing(socket) && s.Sides(socket, out Wire wire))
            return Volatile.Read(ref wire.In->Stamp);
        LocalRegion region = s.Region(socket->Region);
        return socket->State == (uint)SocketState.Listening && region.IsMapped
            ? region.ListenerAt((int)socket->Index)->Stamp : 0;
    }
}
