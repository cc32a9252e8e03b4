using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>Names, ioctl() and fcntl() of accelerated sockets.</summary>
public static unsafe class Calls
{
    public static long GetSockName(PosixStack s, int fd, byte* address, uint* length)
    {
        Socket* socket = s.Find(fd, out _);
        if (socket == null || socket->State is not ((uint)SocketState.Connected or (uint)SocketState.Connecting))
            return AccelResult.Pass;
        return Addresses.Give(socket->Local, address, length);
    }

    public static long GetPeerName(PosixStack s, int fd, byte* address, uint* length)
    {
        Socket* socket = s.Find(fd, out _);
        if (socket == null || UdpSockets.Is(socket))
            return AccelResult.Pass;
        if (socket->State != (uint)SocketState.Connected || !s.Sides(socket, out Wire wire))
            return -Errno.ENOTCONN;
        uint flags = Volatile.Read(ref wire.Me->Flags);
        if ((flags & (uint)SideFlags.Reset) != 0)
            Readiness.AbsorbReset(socket, flags, wire);
        return socket->Is(SocketFlags.Dead) || BothEnded(wire) ? -Errno.ENOTCONN
            : Addresses.Give(socket->Remote, address, length);
    }

    public static long IoControl(PosixStack s, AccelThread* t, int fd, ulong request, int* argument)
    {
        Socket* socket = s.Find(fd, out int index);
        if (socket == null || LocalArrival.TryFollow(s, t, socket, index))
            return AccelResult.Pass;
        bool readable = (ulong)argument >= 4096;
        if (readable && (request is Request.FIOSETOWN or Request.SIOCSPGRP
            || (request == Request.FIOASYNC && *argument != 0)))
            return Signalled(s, t, socket, index, fd, request == Request.FIOASYNC);
        if (UdpSockets.Is(socket))
            return UdpSockets.IoControl(s, socket, request, argument);
        if (request is not (Request.FIONREAD or Request.FIONBIO or Request.FIOASYNC or Request.SIOCOUTQ
            or Request.SIOCATMARK or Request.SIOCOUTQNSD))
            return AccelResult.Pass;
        if (!readable)
            return -Errno.EFAULT;
        bool connected = socket->State == (uint)SocketState.Connected;
        switch (request)
        {
            case Request.FIONBIO:
                SetFlag(socket, SocketFlags.NonBlocking, *argument != 0);
                return 0;
            case Request.FIOASYNC:
                SetFlag(socket, SocketFlags.Asynchronous, false);
                return AccelResult.Pass;
            case Request.FIONREAD:
                if (socket->State == (uint)SocketState.Listening)
                    return -Errno.EINVAL;
                *argument = connected && s.Sides(socket, out Wire wire) ? (int)UrgentData.Readable(socket, wire.In) : 0;
                return 0;
            case Request.SIOCATMARK:
                bool atMark = connected && s.Sides(socket, out Wire marked) && UrgentData.AtMark(socket, marked.In);
                *argument = atMark ? 1 : 0;
                return 0;
            default:
                if (socket->State == (uint)SocketState.Listening)
                    return -Errno.EINVAL;
                *argument = connected && s.Sides(socket, out Wire sending) ? Unsent(sending.Out) : 0;
                return 0;
        }
    }

    /// <summary>
    /// SIGIO and SIGURG carry what only the kernel may put into them, so a socket that is to send them is the
    /// kernel's.
    /// </summary>
    [ColdPath]
    private static long Signalled(PosixStack s, AccelThread* t, Socket* socket, int index, int fd, bool switchedOn)
    {
        // DEVIATION: what cannot be handed over sends no signals.
        if (!Departure.Leave(s, t, socket, index, fd, PathReason.Signals) && switchedOn)
            SetFlag(socket, SocketFlags.Asynchronous, true);
        return AccelResult.Pass;
    }

    /// <summary>
    /// What the peer's receive buffer has taken counts as acknowledged, as on a kernel loopback; the rest is unsent.
    /// </summary>
    private static int Unsent(Pipe* pipe)
    {
        ulong unread = PipeOps.Unread(pipe);
        return unread > pipe->ReceiveLimit ? (int)(unread - pipe->ReceiveLimit) : 0;
    }

    public static void SetFlag(Socket* socket, SocketFlags flag, bool value)
    {
        if (value)
            Interlocked.Or(ref socket->Flags, (uint)flag);
        else
            Interlocked.And(ref socket->Flags, ~(uint)flag);
    }

    public static long Control(PosixStack s, AccelThread* t, int fd, int command, long argument)
    {
        Socket* socket = s.Find(fd, out int index);
        if (socket == null || LocalArrival.TryFollow(s, t, socket, index))
            return AccelResult.Pass;
        bool asks = command == Request.F_SETFL && (argument & Af.O_ASYNC) != 0;
        if ((asks && !socket->Is(SocketFlags.Asynchronous))
            || command is Request.F_SETOWN or Request.F_SETOWN_EX or Request.F_SETSIG)
        {
            long result = Signalled(s, t, socket, index, fd, asks);
            if (!asks || socket->State == (uint)SocketState.Kernel)
                return result;
        }
        if (UdpSockets.Is(socket))
            return UdpSockets.Control(socket, command, argument);
        switch (command)
        {
            case Request.F_GETFL:
                int flags = s.Kernel.GetFlags(fd);
                if (flags < 0)
                    return flags;
                flags &= ~(Af.O_NONBLOCK | Af.O_ASYNC | Af.O_APPEND);
                return flags | (socket->Is(SocketFlags.NonBlocking) ? Af.O_NONBLOCK : 0)
                    | (socket->Is(SocketFlags.Append) ? Af.O_APPEND : 0)
                    | (socket->Is(SocketFlags.Asynchronous) ? Af.O_ASYNC : 0);
            case Request.F_SETFL:
                SetFlag(socket, SocketFlags.NonBlocking, (argument & Af.O_NONBLOCK) != 0);
                SetFlag(socket, SocketFlags.Asynchronous, (argument & Af.O_ASYNC) != 0);
                SetFlag(socket, SocketFlags.Append, (argument & Af.O_APPEND) != 0);
                // A socket that may still go to the kernel takes its flag along; others keep the kernel's file as it
                // is.
                if (socket->State == (uint)SocketState.Unconnected)
                    return s.Kernel.SetFlags(fd, (int)argument);
                if (!socket->Is(SocketFlags.OwnsKernelSocket))
                    return 0;
                int block = socket->State == (uint)SocketState.Listening ? Af.O_NONBLOCK : 0;
                return s.Kernel.SetFlags(fd, ((int)argument & ~(Af.O_NONBLOCK | Af.O_ASYNC)) | block);
            default:
                return AccelResult.Pass;
        }
    }

    /// <summary>
    /// Both directions are closed: TCP would be in CLOSED or TIME_WAIT, and the socket has no peer any more.
    /// </summary>
    public static bool BothEnded(in Wire wire) =>
        ((Volatile.Read(ref wire.Me->Flags) & Volatile.Read(ref wire.Peer->Flags)) & (uint)SideFlags.FinSent) != 0;

    /// <summary>splice() with a socket of ours at one end and a pipe at the other.</summary>
    public static long Splice(
        PosixStack s, AccelThread* t, int input, long* inOffset, int output, long* outOffset, ulong count, uint flags)
    {
        const uint NonBlock = 2;
        if (t->Wait.Phase == 0)
        {
            bool fromSocket = s.Find(input, out _) != null;
            int pipe = fromSocket ? output : input;
            if (s.Find(pipe, out _) != null)
                return -Errno.EINVAL;
            long refusal = Files.CheckPipe(s, pipe, toRead: !fromSocket);
            if (refusal < 0)
                return refusal;
            if (inOffset != null || outOffset != null)
                return (fromSocket ? outOffset : inOffset) != null ? -Errno.ESPIPE : -Errno.EINVAL;
            if (count == 0)
                return 0;
        }
        if (s.Find(input, out _) != null || t->Wait.Phase != 0 && t->Wait.State[3] == 1)
        {
            t->Wait.State[3] = 1;
            return Receiver.SpliceOut(s, t, input, output, count, (flags & NonBlock) != 0);
        }
        return Sender.SpliceIn(s, t, output, input, count, (flags & NonBlock) != 0);
    }
}
