using Accel.Core.Local;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// Urgent data (RFC 9293 section 3.8.5, RFC 6093) as Linux treats it: one byte, marked by MSG_OOB, that leaves the
/// stream unless SO_OOBINLINE is set, and before which every read stops once. The mark is where
/// <see cref="Pipe.Urgent"/> says; it is over when the reader has passed it.
/// </summary>
public static unsafe class UrgentData
{
    public static bool IsInline(Socket* socket) => socket->Options[SocketOptionTable.Inline] != 0;

    /// <summary>
    /// Sender: the last byte of what is about to be published is urgent. The mark is visible before its byte.
    /// </summary>
    public static void Mark(Pipe* pipe, ulong pending) => PipeOps.MarkUrgent(pipe, pipe->Tail + pending);

    /// <summary>
    /// Reader: stands before an urgent byte, or some that were replaced. True if it may read on, past that or, if
    /// it counts as data, with it; false if the call ends here or has to wait. Under the receive lock.
    /// </summary>
    public static bool Pass(Socket* socket, Pipe* pipe, ulong done, bool peek, ref ulong peeked)
    {
        ulong at = pipe->Head + peeked;
        ulong next = Volatile.Read(ref pipe->UrgentSkip);
        if (at >= next)
        {
            next = at + 1;
            if (next != Volatile.Read(ref pipe->Urgent) || done > 0)
                return false;
        }
        if (PipeOps.Readable(pipe) < next - pipe->Head || pipe->UrgentPassed >= next)
            return false;
        if (IsInline(socket))
            pipe->UrgentPassed = next;
        else if (peek)
            peeked = next - pipe->Head;
        else
            PipeOps.Consume(pipe, next - pipe->Head);
        return true;
    }

    /// <summary>True if a reader that is <paramref name="ahead"/> bytes past Head has come to the mark.</summary>
    public static bool IsAtMark(Pipe* pipe, ulong ahead) =>
        Volatile.Read(ref pipe->Urgent) == pipe->Head + ahead + 1;

    /// <summary>SIOCATMARK.</summary>
    public static bool AtMark(Socket* socket, Pipe* pipe) => IsAtMark(pipe, Dropped(socket, pipe));

    /// <summary>Bytes at Head that the reader will not get: urgent ones that others replaced.</summary>
    private static ulong Dropped(Socket* socket, Pipe* pipe)
    {
        ulong skip = Volatile.Read(ref pipe->UrgentSkip);
        return skip > pipe->Head && !IsInline(socket) ? Math.Min(skip - pipe->Head, PipeOps.Readable(pipe)) : 0;
    }

    /// <summary>FIONREAD: bytes up to the mark, or all.</summary>
    public static ulong Readable(Socket* socket, Pipe* pipe)
    {
        ulong readable = PipeOps.Readable(pipe);
        ulong urgent = Volatile.Read(ref pipe->Urgent);
        if (urgent <= pipe->Head)
            return readable;
        bool there = pipe->Head + readable >= urgent && !IsInline(socket);
        ulong ahead = there ? urgent - 1 - pipe->Head : readable;
        return ahead - Math.Min(ahead, Dropped(socket, pipe));
    }

    /// <summary>
    /// What poll() says while the mark is ahead; an urgent byte that is next does not count as readable.
    /// </summary>
    public static uint Mask(Socket* socket, Pipe* pipe, ref ulong wanted)
    {
        ulong urgent = Volatile.Read(ref pipe->Urgent);
        ulong dropped = Dropped(socket, pipe);
        wanted += dropped;
        if (urgent == pipe->Head + dropped + 1 && !IsInline(socket))
            wanted++;
        return IsThere(pipe, urgent) && socket->UrgentTaken != urgent ? Ev.PRI : 0;
    }

    private static bool IsThere(Pipe* pipe, ulong urgent) => pipe->Head + PipeOps.Readable(pipe) >= urgent;

    /// <summary>recv() with MSG_OOB, which never waits.</summary>
    public static long Receive(
        PosixStack s, AccelThread* t, Socket* socket, IoVec* vectors, ulong count, ulong total, int flags)
    {
        if (socket->State == (uint)SocketState.Kernel)
            return AccelResult.Pass;
        if (socket->State == (uint)SocketState.Listening)
            return -Errno.ENOTCONN;
        if (socket->State != (uint)SocketState.Connected || IsInline(socket) || !s.Sides(socket, out Wire wire))
            return -Errno.EINVAL;
        s.Lock(ref socket->ReceiveLock, t);
        long result = Locked(socket, wire, vectors, count, total, flags);
        PosixStack.Unlock(ref socket->ReceiveLock);
        return result;
    }

    private static long Locked(Socket* socket, in Wire wire, IoVec* vectors, ulong count, ulong total, int flags)
    {
        Pipe* pipe = wire.In;
        ulong urgent = Volatile.Read(ref pipe->Urgent);
        if (urgent <= pipe->Head || socket->UrgentTaken == urgent)
            return -Errno.EINVAL;
        uint mine = Volatile.Read(ref wire.Me->Flags), theirs = Volatile.Read(ref wire.Peer->Flags);
        if ((mine & (uint)SideFlags.Reset) != 0 && (theirs & (uint)SideFlags.FinSent) == 0)
            return -Errno.ENOTCONN;
        if (!IsThere(pipe, urgent))
            return ((mine & (uint)SideFlags.ReadShut) | (theirs & (uint)SideFlags.FinSent)) != 0 ? 0 : -Errno.EAGAIN;
        ulong passed = pipe->UrgentPassed;
        pipe->UrgentPassed = urgent;
        byte* from = PipeOps.ReadRun(wire.Region, pipe, urgent - 1 - pipe->Head, 1, out ulong run);
        pipe->UrgentPassed = passed;
        if (run == 0)
            return -Errno.ECONNRESET;
        if ((flags & Msg.PEEK) == 0)
            socket->UrgentTaken = urgent;
        if (total == 0 || (flags & Msg.TRUNC) != 0)
            return total == 0 ? 0 : 1;
        for (ulong i = 0; i < count; i++)
        {
            if (vectors[i].Length == 0)
                continue;
            if (Vectors.IsBad(vectors[i].Base))
                return -Errno.EFAULT;
            *vectors[i].Base = *from;
            break;
        }
        return 1;
    }
}
