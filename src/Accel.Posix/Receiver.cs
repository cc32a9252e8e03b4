using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// recv(), recvmsg(), read() and readv() on an accelerated socket, as tcp_recvmsg() of Linux decides.
/// </summary>
public static unsafe class Receiver
{
    private const uint Events = Ev.IN | Ev.ERR | Ev.HUP | Ev.RDHUP;

    public static long Receive(PosixStack s, AccelThread* t, int fd, byte* data, ulong length, int flags)
    {
        IoVec vector = new() { Base = data, Length = length };
        return ReceiveVectors(s, t, fd, &vector, 1, length, flags, null);
    }

    public static long ReceiveMessage(PosixStack s, AccelThread* t, int fd, MsgHdr* message, int flags)
    {
        if ((ulong)message < 4096)
            return -Errno.EFAULT;
        if (!Vectors.Total(message->Vectors, message->VectorCount, out ulong total, out long error))
            return error;
        return ReceiveVectors(s, t, fd, message->Vectors, message->VectorCount, total, flags, message);
    }

    /// <summary>What recvmsg() tells beyond the bytes.</summary>
    private static long Describe(long result, ulong total, int flags, MsgHdr* message)
    {
        if (result >= 0 && message != null)
        {
            // A connected stream has no sender address and no control data to give.
            message->NameLength = 0;
            message->ControlLength = 0;
            message->Flags = flags & Msg.CMSG_CLOEXEC;
            if ((flags & Msg.OOB) != 0)
                message->Flags |= total > 0 ? Msg.OOB : Msg.OOB | Msg.TRUNC;
        }
        return result;
    }

    private static long ReceiveVectors(
        PosixStack s, AccelThread* t, int fd, IoVec* vectors, ulong count, ulong total, int flags, MsgHdr* message)
    {
        Socket* socket = Waits.Begin(s, t, fd, out int index);
        if (socket == null)
            return AccelResult.Pass;
        if (socket->Is(SocketFlags.Datagram))
            return UdpReceiver.Receive(s, t, fd, index, socket, vectors, count, total, flags, message);
        if ((flags & Msg.ERRQUEUE) != 0 && socket->State == (uint)SocketState.Connected)
            return Waits.End(s, t, index, ZeroCopyNotices.Receive(socket, message));
        ulong room = message != null ? message->ControlLength : 0;
        long result = Describe(
            Stream(s, t, fd, index, socket, vectors, count, total, flags), total, flags, message);
        if (result >= 0 && message != null && socket->Options[SocketOptionTable.Unread] != 0
            && (flags & (Msg.OOB | Msg.ERRQUEUE)) == 0 && s.Sides(socket, out Wire wire))
            ControlData.GiveUnread(message, room, Unread(socket, wire));
        return result;
    }

    /// <summary>TCP_CM_INQ: what the next read finds; an end counts as one (tcp_inq_hint() of Linux).</summary>
    private static int Unread(Socket* socket, in Wire wire)
    {
        int unread = (int)Math.Min(UrgentData.Readable(socket, wire.In), int.MaxValue);
        bool ended = (Volatile.Read(ref wire.Peer->Flags) & (uint)SideFlags.FinSent) != 0
            || socket->Is(SocketFlags.Dead);
        return unread == 0 && ended ? 1 : unread;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static long Stream(PosixStack s, AccelThread* t, int fd, int index, Socket* socket,
        IoVec* vectors, ulong count, ulong total, int flags)
    {
        if ((flags & (Msg.OOB | Msg.ERRQUEUE)) != 0)
            return (flags & Msg.ERRQUEUE) != 0 ? -Errno.EAGAIN
                : UrgentData.Receive(s, t, socket, vectors, count, total, flags);
        while (true)
        {
            long result = Attempt(s, t, fd, index, socket, vectors, count, total, flags);
            if (result == AccelResult.Pass && t->Wait.Done > 0 && (flags & Msg.PEEK) == 0)
                result = Remainder.Receive(s, t, fd, socket, index, vectors, count, flags);
            if (result == AccelResult.Wait)
                return result;
            if (result != -Errno.EAGAIN)
                return Waits.End(s, t, index, result);
            ulong done = t->Wait.Done;
            bool waits = !socket->Is(SocketFlags.NonBlocking) && (flags & Msg.DONTWAIT) == 0;
            long deadline = waits ? Waits.Deadline(s, t, socket->ReceiveTimeoutNs) : 0;
            if (deadline == 0 || (deadline > 0 && s.Kernel.NowNs() >= deadline))
            {
                // Who asks again and again, and never waits, is the only one to move the connection on.
                if (done == 0 && s.Nic is { } nic && nic.Carries(s, socket) && nic.Pump(t)
                    && (Readiness.Mask(s, socket) & Events) != 0)
                    continue;
                return Waits.End(s, t, index, done > 0 ? (long)done : -Errno.EAGAIN);
            }
            const int PeekAll = Msg.PEEK | Msg.WAITALL;
            if (done > 0 && (flags & PeekAll) == PeekAll)
            {
                // What was peeked at keeps the socket readable: only the end wakes, and a look every millisecond.
                const uint End = Ev.ERR | Ev.HUP | Ev.RDHUP;
                long look = s.Kernel.NowNs() + 1_000_000;
                if (Waits.Sleep(s, t, socket, index, End, deadline < 0 ? look : Math.Min(look, deadline)) != 0)
                    return AccelResult.Wait;
                continue;
            }
            if (Waits.Spin(s, t, socket, Events) || Waits.Sleep(s, t, socket, index, Events, deadline) == 0)
                continue;
            return AccelResult.Wait;
        }
    }

    /// <summary>Receives what is there. -EAGAIN if the call has to wait; what came already is in wait.done.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static long Attempt(PosixStack s, AccelThread* t, int fd, int index, Socket* socket,
        IoVec* vectors, ulong count, ulong total, int flags)
    {
        while (true)
        {
            if (socket->State != (uint)SocketState.Connected)
                return NotConnected(s, fd, socket);
            s.Lock(ref socket->ReceiveLock, t);
            long result = Gate.TryReceive(s, t, fd, index, socket, out Wire wire)
                ? Locked(s, t, socket, wire, vectors, count, total, flags) : Gate.IsShut;
            Gate.EndReceive(socket, in wire);
            if (result != Gate.IsShut || !Gate.Wait(s, t, fd, socket, index))
                return result == Gate.IsShut ? -Errno.EBADF : result;
        }
    }

    private static long NotConnected(PosixStack s, int fd, Socket* socket)
    {
        if (socket->State is (uint)SocketState.Kernel or (uint)SocketState.Datagram)
        {
            s.Find(fd, out _);
            return AccelResult.Pass;
        }
        if (socket->State == (uint)SocketState.Connecting)
        {
            Connector.Retry(s, socket);
            return -Errno.EAGAIN;
        }
        if (socket->State == (uint)SocketState.Unconnected)
        {
            int error = Interlocked.Exchange(ref socket->Error, 0);
            if (error != 0)
                return -error;
            if (socket->Is(SocketFlags.Dead))
                return 0;
        }
        return -Errno.ENOTCONN;
    }

    private static long Locked(
        PosixStack s, AccelThread* t, Socket* socket, in Wire wire, IoVec* vectors, ulong count, ulong total, int flags)
    {
        ulong done = t->Wait.Done;
        if (total == 0)
            return Nothing(s, socket, wire);
        Pipe* pipe = wire.In;
        bool isThere = PipeOps.Readable(pipe) > 0;
        if (Vectors.IsBad(vectors->Base) && count == 1 && (flags & Msg.TRUNC) == 0 && isThere)
            return -Errno.EFAULT;
        bool peek = (flags & Msg.PEEK) != 0;
        // A peek starts over at each entry: nothing was taken.
        ulong before = peek ? 0 : done;
        done = before;
        ulong peeked = 0;
        ulong head = pipe->Head;
        // The first look of a call that will have to wait finds nothing: that should cost little.
        if (isThere || Volatile.Read(ref pipe->Urgent) > head)
        {
            do
            {
                if (count == 1)
                    Copy(wire.Region, pipe, vectors->Base + done, total - done, peek, flags, ref peeked, ref done);
                else
                    CopyVectors(wire.Region, pipe, vectors, count, peek, flags, ref peeked, ref done);
            }
            while (done < total && Volatile.Read(ref pipe->Urgent) > pipe->Head + peeked
                && UrgentData.Pass(socket, pipe, done, peek, ref peeked));
        }
        t->Wait.Done = done;
        if (done > before && !peek)
        {
            pipe->Receives++;
            socket->OneWay++;
            if (s.IsCaptured)
                Taps.Received(s, socket, wire, (flags & Msg.TRUNC) == 0 ? vectors : null, before, done - before, head);
            GiveRoom(s, t, wire);
        }
        if (done >= total)
            return (long)done;
        bool ended = Ended(s, socket, wire, pipe, peeked, done, out long end);
        if (!ended && done == before && PipeOps.Readable(pipe) > peeked && Volatile.Read(ref pipe->Urgent) == 0
            && PipeOps.ReadRun(wire.Region, pipe, peeked, 1, out _) == null)
            // Bytes that are counted but are in no ring: the other end's words make no sense.
            ended = Corrupt(s, socket, out end);
        if (done > 0)
        {
            ulong target = (flags & Msg.WAITALL) != 0 ? total : Math.Min(total, Readiness.LowWater(socket, pipe));
            bool enough = done >= target || (peek && (flags & Msg.WAITALL) == 0) || ended
                || socket->Error != 0 || UrgentData.IsAtMark(pipe, peeked);
            return enough ? (long)done : -Errno.EAGAIN;
        }
        return ended ? end : -Errno.EAGAIN;
    }

    /// <summary>
    /// A call for no bytes waits for data all the same, as tcp_recvmsg() does (read() of none never comes here).
    /// </summary>
    private static long Nothing(PosixStack s, Socket* socket, in Wire wire)
    {
        if (PipeOps.Readable(wire.In) > 0)
            return 0;
        return Ended(s, socket, wire, wire.In, 0, 0, out long end) ? end : -Errno.EAGAIN;
    }

    /// <summary>Tells a writer that found the ring full when a third of it is free again.</summary>
    private static void GiveRoom(PosixStack s, AccelThread* t, in Wire wire)
    {
        Side* peer = wire.Peer;
        if (Volatile.Read(ref peer->WantSpace) == 0)
            return;
        Pipe* pipe = wire.In;
        ulong room = Math.Min(PipeOps.Limit(pipe), 1ul << (int)pipe->ReadLog2);
        ulong used = PipeOps.Readable(pipe);
        if (used > room || (room - used) * 3 >= room)
            Notifier.Notify(s, t, wire.Region, peer, wire.PeerSource);
    }

    /// <summary>
    /// True if nothing more can come; then what a call with no bytes returns: 0 or an error, in the order of Linux.
    /// </summary>
    private static bool Ended(
        PosixStack s, Socket* socket, in Wire wire, Pipe* pipe, ulong peeked, ulong done, out long result)
    {
        result = 0;
        uint theirs = Volatile.Read(ref wire.Peer->Flags);
        uint mine = Volatile.Read(ref wire.Me->Flags);
        // The last bytes were published before the flags: look again now that the flags are known.
        if (PipeOps.Readable(pipe) > peeked)
            return false;
        if (PipeOps.IsNonsense(pipe))
            return Corrupt(s, socket, out result);
        if ((mine & (uint)SideFlags.Reset) != 0)
            Readiness.AbsorbReset(socket, mine, wire);
        if (s.IsCaptured && ((mine & (uint)SideFlags.Reset) | (theirs & (uint)SideFlags.FinSent)) != 0)
            Taps.EndReceived(s, socket, wire, (mine & (uint)SideFlags.Reset) != 0);
        if ((theirs & (uint)SideFlags.FinSent) != 0)
            return true;
        if (Volatile.Read(ref socket->Error) != 0)
        {
            if (done == 0)
                result = -Interlocked.Exchange(ref socket->Error, 0);
            return true;
        }
        return (mine & (uint)SideFlags.ReadShut) != 0 || socket->Is(SocketFlags.Dead);
    }

    /// <summary>The neighbour has written what cannot be: the connection is as good as reset.</summary>
    private static bool Corrupt(PosixStack s, Socket* socket, out long result)
    {
        Interlocked.Or(ref socket->Flags, (uint)SocketFlags.Dead);
        s.Count(0, Counter.CorruptNeighbour);
        result = -Errno.ECONNRESET;
        return true;
    }

    private static void CopyVectors(
        LocalRegion region, Pipe* pipe, IoVec* vectors, ulong count, bool peek, int flags, ref ulong peeked,
        ref ulong done)
    {
        ulong skip = done;
        for (ulong i = 0; i < count; i++)
        {
            ulong length = vectors[i].Length;
            if (skip >= length)
            {
                skip -= length;
                continue;
            }
            ulong before = done;
            Copy(region, pipe, vectors[i].Base + skip, length - skip, peek, flags, ref peeked, ref done);
            if (done - before < length - skip)
                return;
            skip = 0;
        }
    }

    private static void Copy(
        LocalRegion region, Pipe* pipe, byte* to, ulong length, bool peek, int flags, ref ulong peeked, ref ulong done)
    {
        bool discard = (flags & Msg.TRUNC) != 0;
        while (length > 0)
        {
            byte* from = PipeOps.ReadRun(region, pipe, peeked, length, out ulong run);
            if (run == 0)
                return;
            if (!discard)
                NativeMemory.Copy(from, to, (nuint)run);
            to += run;
            length -= run;
            done += run;
            if (peek)
                peeked += run;
            else
                PipeOps.Consume(pipe, run);
        }
    }

    /// <summary>splice() out of a socket into a pipe: writes to the pipe straight from the ring.</summary>
    public static long SpliceOut(PosixStack s, AccelThread* t, int fd, int output, ulong count, bool nonBlocking)
    {
        Socket* socket = Waits.Begin(s, t, fd, out int index);
        if (socket == null)
            return AccelResult.Pass;
        while (true)
        {
            if (!Files.HasRoom(s, output))
                return nonBlocking ? Waits.End(s, t, index, -Errno.EAGAIN)
                    : Waits.SleepOnFile(s, t, socket, index, output, Ev.OUT);
            long result = AttemptSplice(s, t, fd, index, socket, output, Math.Min(count, Files.PipeRoom));
            if (result != -Errno.EAGAIN || t->Wait.State[2] != 0)
                return Waits.End(s, t, index, result);
            // SPLICE_F_NONBLOCK is for the pipe alone (tcp_splice_read() of Linux).
            if (socket->Is(SocketFlags.NonBlocking))
                return Waits.End(s, t, index, -Errno.EAGAIN);
            long deadline = Waits.Deadline(s, t, socket->ReceiveTimeoutNs);
            if (deadline >= 0 && s.Kernel.NowNs() >= deadline)
                return Waits.End(s, t, index, -Errno.EAGAIN);
            if (Waits.Spin(s, t, socket, Events) || Waits.Sleep(s, t, socket, index, Events, deadline) == 0)
                continue;
            return AccelResult.Wait;
        }
    }

    private static long AttemptSplice(
        PosixStack s, AccelThread* t, int fd, int index, Socket* socket, int output, ulong count)
    {
        if (socket->State != (uint)SocketState.Connected)
            return NotConnected(s, fd, socket);
        s.Lock(ref socket->ReceiveLock, t);
        if (!Gate.TryReceive(s, t, fd, index, socket, out Wire wire))
        {
            Gate.EndReceive(socket, in wire);
            return Gate.Wait(s, t, fd, socket, index)
                ? AttemptSplice(s, t, fd, index, socket, output, count) : -Errno.EBADF;
        }
        Pipe* pipe = wire.In;
        byte* from = PipeOps.ReadRun(wire.Region, pipe, 0, count, out ulong run);
        long result;
        if (run == 0 && Volatile.Read(ref pipe->Urgent) > pipe->Head && PipeOps.Readable(pipe) > 0)
            result = 0; // at the mark, which splice() does not pass (tcp_splice_read() of Linux)
        else if (run == 0)
            result = Ended(s, socket, wire, pipe, 0, 0, out long end) ? end : -Errno.EAGAIN;
        else
        {
            result = s.Kernel.Write(output, from, run, -1);
            t->Wait.State[2] = 1;
            if (result > 0)
            {
                if (s.IsCaptured)
                    Taps.Received(s, socket, wire, from, (ulong)result);
                PipeOps.Consume(pipe, (ulong)result);
                GiveRoom(s, t, wire);
            }
        }
        Gate.EndReceive(socket, in wire);
        return result;
    }
}
