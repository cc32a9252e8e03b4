using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// send(), sendmsg(), write(), writev() and sendfile() on an accelerated socket, as tcp_sendmsg() of Linux decides.
/// </summary>
public static unsafe class Sender
{
    /// <summary>
    /// Bytes after which a long send is made visible, so that the reader copies while the writer still does.
    /// </summary>
    private const ulong PublishEvery = 32 << 10;

    /// <summary>
    /// A blocked sender whose reader takes nothing for this long is given a larger ring, as the kernel's buffers grow.
    /// </summary>
    private const long StallNs = 10_000_000;

    /// <summary>Word of the wait's state: when that is.</summary>
    private const int StateStall = 2;

    public static long Send(PosixStack s, AccelThread* t, int fd, byte* data, ulong length, int flags)
    {
        IoVec vector = new() { Base = data, Length = length };
        return SendVectors(s, t, fd, &vector, 1, length, flags, null);
    }

    public static long SendMessage(PosixStack s, AccelThread* t, int fd, MsgHdr* message, int flags)
    {
        if ((ulong)message < 4096)
            return -Errno.EFAULT;
        if (!Vectors.Total(message->Vectors, message->VectorCount, out ulong total, out long error))
            return error;
        if (message->ControlLength != 0 && !ControlData.IsAcceptable(message))
            return -Errno.EINVAL;
        return SendVectors(s, t, fd, message->Vectors, message->VectorCount, total, flags, message);
    }

    private static long SendVectors(
        PosixStack s, AccelThread* t, int fd, IoVec* vectors, ulong count, ulong total, int flags, MsgHdr* message)
    {
        Socket* socket = Waits.Begin(s, t, fd, out int index);
        if (socket == null)
            return AccelResult.Pass;
        if (UdpSockets.Is(socket))
            return UdpSender.Send(s, t, fd, index, socket, vectors, count, total, flags, message);
        bool first = t->Wait.Phase == 0;
        while (true)
        {
            long result = Attempt(s, t, fd, index, socket, vectors, count, total, flags);
            if (result == AccelResult.Pass && t->Wait.Done > 0)
                result = Remainder.Send(s, t, fd, socket, index, vectors, count, flags);
            if (result == AccelResult.Wait)
                return result;
            if (result != -Errno.EAGAIN)
                return Waits.End(s, t, index, Noted(s, t, socket, flags, result));
            if (GrowForPath(s, t, socket))
                continue;
            if (socket->Is(SocketFlags.NonBlocking) || (flags & Msg.DONTWAIT) != 0)
                return Waits.End(s, t, index, Noted(s, t, socket, flags, Partial(t, -Errno.EAGAIN)));
            long deadline = Waits.Deadline(s, t, socket->SendTimeoutNs);
            long now = s.Kernel.NowNs();
            if (deadline >= 0 && now >= deadline)
                return Waits.End(s, t, index, Noted(s, t, socket, flags, Partial(t, -Errno.EAGAIN)));
            bool stalled = !first && t->Wait.Result == 0 && now >= (long)t->Wait.State[StateStall];
            if (stalled && GrowStalled(s, t, socket))
                continue;
            const uint Events = Ev.OUT | Ev.ERR | Ev.HUP;
            if (Waits.Spin(s, t, socket, Events))
                continue;
            long stall = now + StallNs;
            // Sleeps end earlier for other reasons.
            if (first || stalled || t->Wait.Result != 0)
                t->Wait.State[StateStall] = (ulong)stall;
            else
                stall = (long)t->Wait.State[StateStall];
            if (socket->State == (uint)SocketState.Connected && !IsLargest(s, socket)
            && (deadline < 0 || stall < deadline))
                deadline = stall;
            t->Wait.State[ZeroCopyNotices.State] = (ulong)(flags & Msg.ZEROCOPY);
            if (Waits.Sleep(s, t, socket, index, Events, deadline) != 0)
                return AccelResult.Wait;
        }
    }

    private static long Noted(PosixStack s, AccelThread* t, Socket* socket, int flags, long result) =>
        (flags & Msg.ZEROCOPY) != 0 ? ZeroCopyNotices.Note(s, t, socket, result) : result;

    private static long Partial(AccelThread* t, long error) => t->Wait.Done > 0 ? (long)t->Wait.Done : error;

    private static bool IsLargest(PosixStack s, Socket* socket) =>
        !s.Sides(socket, out Wire wire) || wire.Out->WriteLog2 >= PipeOps.StalledLog2;

    /// <summary>The ring is full and the path would take more: the program need not wait for acknowledgments.</summary>
    private static bool GrowForPath(PosixStack s, AccelThread* t, Socket* socket)
    {
        if (socket->State != (uint)SocketState.Connected || !s.Sides(socket, out Wire wire)
            || !NicConnector.IsOverNic(wire) || wire.Out->WriteLog2 != PipeOps.BulkLog2
            || !NicInfo.WantsBuffer(s, t, wire, 1ul << PipeOps.BulkLog2))
            return false;
        return GrowStalled(s, t, socket);
    }

    private static bool GrowStalled(PosixStack s, AccelThread* t, Socket* socket)
    {
        s.Lock(ref socket->SendLock, t);
        bool grown = socket->State == (uint)SocketState.Connected && s.Sides(socket, out Wire wire)
            && wire.Conn->Generation == socket->ConnGeneration && GrowStalled(s, t, wire);
        PosixStack.Unlock(ref socket->SendLock);
        return grown;
    }

    private static bool GrowStalled(PosixStack s, AccelThread* t, in Wire wire)
    {
        // The kernel's buffer grows by what is acknowledged, not while the peer's window is shut.
        if (NicConnector.IsOverNic(wire) && NicInfo.IsWindowShut(s, t, wire))
            return false;
        return PipeOps.Grow(wire.Region, wire.Out, stalled: true);
    }

    /// <summary>Sends what goes without waiting. -EAGAIN if not all went; what did go is in wait.done.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static long Attempt(PosixStack s, AccelThread* t, int fd, int index, Socket* socket,
        IoVec* vectors, ulong count, ulong total, int flags)
    {
        while (true)
        {
            if (socket->State != (uint)SocketState.Connected)
                return NotConnected(s, fd, socket, flags);
            s.Lock(ref socket->SendLock, t);
            long result = Gate.TrySend(s, t, fd, index, socket, out Wire wire)
                ? Locked(s, t, socket, wire, vectors, count, total, flags) : Gate.IsShut;
            Gate.EndSend(socket, in wire);
            if (result != Gate.IsShut || !Gate.Wait(s, t, fd, socket, index))
                return result == Gate.IsShut ? -Errno.EBADF : result;
        }
    }

    private static long NotConnected(PosixStack s, int fd, Socket* socket, int flags)
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
        int error = Interlocked.Exchange(ref socket->Error, 0);
        return error != 0 ? -error : -Errno.EPIPE;
    }

    /// <summary>What an end that cannot send answers: SO_ERROR once, then EPIPE (sk_stream_error of Linux).</summary>
    private static long Refusal(PosixStack s, Socket* socket, in Wire wire)
    {
        uint mine = Volatile.Read(ref wire.Me->Flags);
        if ((mine & (uint)SideFlags.Reset) != 0)
            Readiness.AbsorbReset(socket, mine, wire);
        int error = Interlocked.Exchange(ref socket->Error, 0);
        if (error != 0)
            return -error;
        return (mine & (uint)SideFlags.FinSent) != 0 || socket->Is(SocketFlags.Dead) ? -Errno.EPIPE : 0;
    }

    private static bool IsRefused(Socket* socket, in Wire wire)
    {
        uint mine = Volatile.Read(ref wire.Me->Flags);
        return (mine & (uint)(SideFlags.Reset | SideFlags.FinSent)) != 0 || socket->Is(SocketFlags.Dead)
            || Volatile.Read(ref socket->Error) != 0;
    }

    private static long Locked(
        PosixStack s, AccelThread* t, Socket* socket, in Wire wire, IoVec* vectors, ulong count, ulong total, int flags)
    {
        Side* peer = wire.Peer;
        ulong done = t->Wait.Done;
        if (((wire.Me->Flags & (uint)(SideFlags.FinSent | SideFlags.Reset)) | (uint)socket->Error) != 0
            || socket->Is(SocketFlags.Dead))
        {
            // The error is for the next call if some of it went.
            if (done > 0 && IsRefused(socket, wire))
                return (long)done;
            long refusal = Refusal(s, socket, wire);
            if (refusal != 0)
                return refusal;
        }
        if ((Volatile.Read(ref peer->Flags) & (uint)SideFlags.Closed) != 0)
            return SendToClosed(s, socket, wire, total);
        if (total == 0)
            return 0;
        if (count == 1 && Vectors.IsBad(vectors->Base))
            return -Errno.EFAULT;
        const uint NoReader = (uint)(SideFlags.FinSent | SideFlags.ReadShut);
        if ((peer->Flags & NoReader) == NoReader)
        {
            // tcp_rcv_state_process() of Linux: data for an end that has shut both directions resets the connection.
            Interlocked.Or(ref peer->Flags, (uint)SideFlags.Reset);
            Notifier.Notify(s, t, wire.Region, peer, wire.PeerSource);
            return SendToClosed(s, socket, wire, total);
        }
        Pipe* pipe = wire.Out;
        if (Volatile.Read(ref peer->Watch) != 0)
            pipe->Stamp = s.Kernel.Ticks();
        ulong pending = 0;
        ulong start = done;
        bool grown;
        if (count == 1)
            grown = Copy(wire.Region, pipe, vectors->Base + done, total - done, ref pending, ref done);
        else
            grown = CopyVectors(wire.Region, pipe, vectors, count, ref pending, ref done);
        if (grown)
            s.Count(t, Counter.RingGrowths);
        if ((flags & Msg.OOB) != 0 && done > start)
            UrgentData.Mark(pipe, pending);
        if (s.IsCaptured && done > start)
            Taps.Sent(s, socket, wire, vectors, start, done - start, pipe->Tail + pending - (done - start));
        if (pending > 0)
            PipeOps.Publish(pipe, pending);
        pipe->Sends++;
        socket->OneWay = 0;
        t->Wait.Done = done;
        if ((peer->Watch & Side.EngineWatch) != 0)
            wire.Me->More = (flags & Msg.MORE) != 0 ? 1u : 0u;
        if (done > start)
            Notifier.Notify(s, t, wire.Region, peer, wire.PeerSource);
        if (done >= total)
            return (long)total;
        s.CountHot(t, Counter.RingFull);
        Volatile.Write(ref wire.Me->WantSpace, 1);
        Interlocked.MemoryBarrier();
        return -Errno.EAGAIN;
    }

    private static bool CopyVectors(
        LocalRegion region, Pipe* pipe, IoVec* vectors, ulong count, ref ulong pending, ref ulong done)
    {
        ulong skip = done;
        bool grown = false;
        for (ulong i = 0; i < count; i++)
        {
            ulong length = vectors[i].Length;
            if (skip >= length)
            {
                skip -= length;
                continue;
            }
            ulong before = done;
            grown |= Copy(region, pipe, vectors[i].Base + skip, length - skip, ref pending, ref done);
            if (done - before < length - skip)
                break;
            skip = 0;
        }
        return grown;
    }

    /// <summary>Copies what fits. True if it had to move to a larger ring.</summary>
    private static bool Copy(
        LocalRegion region, Pipe* pipe, byte* from, ulong length, ref ulong pending, ref ulong done)
    {
        bool grown = false;
        while (length > 0)
        {
            byte* to = PipeOps.WriteRun(region, pipe, pending, Math.Min(length, PublishEvery), out ulong run);
            if (run == 0)
            {
                if (pending > 0)
                {
                    PipeOps.Publish(pipe, pending);
                    pending = 0;
                }
                if (!PipeOps.Grow(region, pipe, stalled: false))
                    return grown;
                grown = true;
                continue;
            }
            NativeMemory.Copy(from, to, (nuint)run);
            from += run;
            length -= run;
            done += run;
            pending += run;
            // The last bytes are left to the caller, who may have to mark them first.
            if (pending >= PublishEvery && length > 0)
            {
                PipeOps.Publish(pipe, pending);
                pending = 0;
            }
        }
        return grown;
    }

    /// <summary>The peer is gone: the bytes leave and a reset comes back, which the next call will see.</summary>
    private static long SendToClosed(PosixStack s, Socket* socket, in Wire wire, ulong total)
    {
        if (total == 0)
            return 0;
        Interlocked.Or(ref wire.Me->Flags, (uint)(SideFlags.Reset | SideFlags.ResetAfterFin));
        Readiness.AbsorbReset(socket, wire.Me->Flags, wire);
        return (long)total;
    }

    /// <summary>sendfile(): reads from a file straight into the ring.</summary>
    public static long SendFile(PosixStack s, AccelThread* t, int fd, int input, long* offset, ulong count)
    {
        if (offset != null && (ulong)offset < 4096)
            return -Errno.EFAULT;
        // With an offset, pread() itself says what it cannot read from.
        long refusal = t->Wait.Phase == 0 && (offset == null || *offset < 0) ? Files.CheckSource(s, input, offset) : 0;
        if (refusal < 0)
            return refusal;
        Socket* socket = Waits.Begin(s, t, fd, out int index);
        if (socket == null)
            return AccelResult.Pass;
        count = Math.Min(count, 0x7FFFF000);
        while (true)
        {
            long result = AttemptFile(s, t, fd, index, socket, input, offset, count);
            if (result != -Errno.EAGAIN)
                return Waits.End(s, t, index, result == AccelResult.Pass ? Partial(t, result) : result);
            if (GrowForPath(s, t, socket))
                continue;
            if (socket->Is(SocketFlags.NonBlocking))
                return Waits.End(s, t, index, Partial(t, -Errno.EAGAIN));
            const uint Events = Ev.OUT | Ev.ERR | Ev.HUP;
            if (!Waits.Spin(s, t, socket, Events) && Waits.Sleep(s, t, socket, index, Events, -1) != 0)
                return AccelResult.Wait;
        }
    }

    private static long AttemptFile(
        PosixStack s, AccelThread* t, int fd, int index, Socket* socket, int input, long* offset, ulong count)
    {
        if (socket->State != (uint)SocketState.Connected)
            return NotConnected(s, fd, socket, 0);
        s.Lock(ref socket->SendLock, t);
        long result = Gate.TrySend(s, t, fd, index, socket, out Wire wire)
            ? LockedFile(s, t, socket, wire, input, offset, count, once: false) : Gate.IsShut;
        Gate.EndSend(socket, in wire);
        if (result != Gate.IsShut)
            return result;
        return Gate.Wait(s, t, fd, socket, index)
            ? AttemptFile(s, t, fd, index, socket, input, offset, count) : -Errno.EBADF;
    }

    private static long LockedFile(
        PosixStack s, AccelThread* t, Socket* socket, in Wire wire, int input, long* offset, ulong count, bool once)
    {
        Pipe* pipe = wire.Out;
        while (t->Wait.Done < count)
        {
            long refusal = Refusal(s, socket, wire);
            if (refusal != 0)
                return Partial(t, refusal);
            bool closed = (Volatile.Read(ref wire.Peer->Flags) & (uint)SideFlags.Closed) != 0;
            ulong want = Math.Min(count - t->Wait.Done, 4 * PublishEvery);
            byte* to = PipeOps.WriteRun(wire.Region, pipe, 0, want, out ulong run);
            if (run == 0)
            {
                if (PipeOps.Grow(wire.Region, pipe, stalled: false))
                    continue;
                Volatile.Write(ref wire.Me->WantSpace, 1);
                Interlocked.MemoryBarrier();
                return -Errno.EAGAIN;
            }
            long got = s.Kernel.Read(input, to, run, offset != null ? *offset : -1);
            if (got == -Errno.ESPIPE)
                got = -Errno.EINVAL;
            if (got <= 0)
                return Partial(t, got == -Errno.EAGAIN ? -Errno.EAGAIN : got);
            if (offset != null)
                *offset += got;
            t->Wait.Done += (ulong)got;
            if (closed)
            {
                SendToClosed(s, socket, wire, (ulong)got);
                continue;
            }
            if (Volatile.Read(ref wire.Peer->Watch) != 0)
                pipe->Stamp = s.Kernel.Ticks();
            if (s.IsCaptured)
                Taps.Sent(s, socket, wire, to, (ulong)got);
            PipeOps.Publish(pipe, (ulong)got);
            pipe->Sends++;
            Notifier.Notify(s, t, wire.Region, wire.Peer, wire.PeerSource);
            if (once)
                break;
        }
        return (long)t->Wait.Done;
    }

    /// <summary>splice() from a pipe into a socket: one read from the pipe straight into the ring.</summary>
    public static long SpliceIn(PosixStack s, AccelThread* t, int fd, int input, ulong count, bool nonBlocking)
    {
        Socket* socket = Waits.Begin(s, t, fd, out int index);
        if (socket == null)
            return AccelResult.Pass;
        while (true)
        {
            if (!nonBlocking && Files.IsEmptyPipe(s, input))
                return Waits.SleepOnFile(s, t, socket, index, input, Ev.IN);
            if (nonBlocking && Files.IsEmptyPipe(s, input))
                return Waits.End(s, t, index, -Errno.EAGAIN);
            long result = AttemptSplice(s, t, fd, index, socket, input, count, out bool full);
            if (!full || nonBlocking || socket->Is(SocketFlags.NonBlocking))
                return Waits.End(s, t, index, result);
            const uint Events = Ev.OUT | Ev.ERR | Ev.HUP;
            if (!Waits.Spin(s, t, socket, Events) && Waits.Sleep(s, t, socket, index, Events, -1) != 0)
                return AccelResult.Wait;
        }
    }

    private static long AttemptSplice(
        PosixStack s, AccelThread* t, int fd, int index, Socket* socket, int input, ulong count, out bool full)
    {
        full = false;
        if (socket->State != (uint)SocketState.Connected)
            return NotConnected(s, fd, socket, 0);
        // One piece only: what a pipe holds fits into the run that is free, or the next call takes the rest.
        ulong piece = Math.Min(count, 64 << 10);
        s.Lock(ref socket->SendLock, t);
        if (!Gate.TrySend(s, t, fd, index, socket, out Wire wire))
        {
            Gate.EndSend(socket, in wire);
            return Gate.Wait(s, t, fd, socket, index)
                ? AttemptSplice(s, t, fd, index, socket, input, count, out full) : -Errno.EBADF;
        }
        ulong room = PipeOps.Space(wire.Out, wire.Out->Tail, 1);
        full = room == 0 && !PipeOps.Grow(wire.Region, wire.Out, stalled: false) && Refusal(s, socket, wire) == 0;
        long result = full ? -Errno.EAGAIN : OnePiece(s, t, socket, wire, input, piece);
        Gate.EndSend(socket, in wire);
        return result;
    }

    private static long OnePiece(PosixStack s, AccelThread* t, Socket* socket, in Wire wire, int input, ulong piece)
    {
        PipeOps.WriteRun(wire.Region, wire.Out, 0, piece, out ulong run);
        return LockedFile(s, t, socket, wire, input, null, Math.Min(piece, Math.Max(run, 1)), once: true);
    }
}
