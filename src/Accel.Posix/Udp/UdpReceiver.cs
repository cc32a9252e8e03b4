using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Stack;
using Accel.Core.Udp;

namespace Accel.Posix;

/// <summary>
/// recv(), recvfrom(), recvmsg(), read() on a UDP socket: from the ring of what came by interfaces of ours, and from
/// the kernel's socket, in turns when both have something.
/// </summary>
public static unsafe class UdpReceiver
{
    /// <summary>As many datagrams of the ring, and the kernel is asked first once.</summary>
    private const uint KernelEvery = 16;

    private const uint Events = Ev.IN | Ev.ERR | Ev.HUP | Ev.RDHUP;

    /// <param name="message">Where the sender and control data go; null: nobody asks.</param>
    public static long Receive(PosixStack s, AccelThread* t, int fd, int index, Socket* socket,
        IoVec* vectors, ulong count, ulong total, int flags, MsgHdr* message)
    {
        // The kernel has the errors, and that call never waits.
        if ((flags & Msg.ERRQUEUE) != 0)
            return Waits.End(s, t, index, AccelResult.Pass);
        while (true)
        {
            if (socket->State != (uint)SocketState.Datagram)
                return Waits.End(s, t, index, AccelResult.Pass);
            long result = Attempt(s, t, fd, index, socket, vectors, count, total, flags, message);
            if (result != -Errno.EAGAIN || socket->Is(SocketFlags.NonBlocking) || (flags & Msg.DONTWAIT) != 0)
                return Waits.End(s, t, index, result);
            if (socket->Is(SocketFlags.ReceiveShut))
                return Waits.End(s, t, index, 0);
            long deadline = Waits.Deadline(s, t, socket->ReceiveTimeoutNs);
            if (deadline >= 0 && s.Kernel.NowNs() >= deadline)
                return Waits.End(s, t, index, -Errno.EAGAIN);
            if (Waits.Spin(s, t, socket, Events) || Waits.Sleep(s, t, socket, index, Events, deadline) == 0)
                continue;
            return AccelResult.Wait;
        }
    }

    private static long Attempt(PosixStack s, AccelThread* t, int fd, int index, Socket* socket,
        IoVec* vectors, ulong count, ulong total, int flags, MsgHdr* message)
    {
        long result = -Errno.EAGAIN;
        bool kernelFirst = socket->OneWay >= KernelEvery;
        if (kernelFirst)
            socket->OneWay = 0;
        else
            result = FromRing(s, t, fd, index, socket, vectors, count, total, flags, message);
        if (result == -Errno.EAGAIN)
            result = FromKernel(s, t, fd, index, vectors, count, flags, message);
        if (result == -Errno.EAGAIN && kernelFirst)
            result = FromRing(s, t, fd, index, socket, vectors, count, total, flags, message);
        return result;
    }

    private static long FromKernel(
        PosixStack s, AccelThread* t, int fd, int index, IoVec* vectors, ulong count, int flags, MsgHdr* message)
    {
        MsgHdr plain = new() { Vectors = vectors, VectorCount = count };
        // After a sleep the number may be another's.
        int from = t->Wait.Phase == 0 ? fd : Sockets.KernelDescriptor(s, index);
        return s.Kernel.ReceiveDatagram(from, message == null ? &plain : message, flags | Msg.DONTWAIT);
    }

    private static long FromRing(PosixStack s, AccelThread* t, int fd, int index, Socket* socket,
        IoVec* vectors, ulong count, ulong total, int flags, MsgHdr* message)
    {
        if (!UdpSockets.IsOpen(socket) || s.Nic is not { } nic)
            return -Errno.EAGAIN;
        if (!s.Sides(socket, out Wire wire))
            return -Errno.EAGAIN;
        if (PipeOps.Readable(wire.In) == 0)
            nic.Pump(t);
        if (PipeOps.Readable(wire.In) == 0)
            return -Errno.EAGAIN;
        s.Lock(ref socket->ReceiveLock, t);
        long result = IsStill(s, t, fd, index, socket, wire)
            ? Take(s, socket, wire, vectors, count, total, flags, message) : -Errno.EAGAIN;
        PosixStack.Unlock(ref socket->ReceiveLock);
        return result;
    }

    /// <summary>Under the lock: neither closed nor given to the kernel meanwhile.</summary>
    private static bool IsStill(PosixStack s, AccelThread* t, int fd, int index, Socket* socket, in Wire wire) =>
        (t->Wait.State[0] != 0 || s.Entry(fd) == DescriptorEntry.Of(DescriptorEntry.KindSocket, index))
        && UdpSockets.Is(socket) && UdpSockets.IsOpen(socket) && socket->Index == (uint)wire.Index
        && wire.Conn->Generation == socket->ConnGeneration;

    private static long Take(PosixStack s, Socket* socket, in Wire wire, IoVec* vectors, ulong count, ulong total,
        int flags, MsgHdr* message)
    {
        Pipe* pipe = wire.In;
        ulong readable = PipeOps.Readable(pipe);
        if (readable == 0)
            return -Errno.EAGAIN;
        UdpRecord record;
        if (!TryCopy(wire.Region, pipe, 0, (byte*)&record, UdpRecord.Bytes)
            || UdpRecord.Room(record.Length) > readable)
        {
            // The engine is this stack's own, so this cannot be; if it is, all that is there is worthless.
            PipeOps.Consume(pipe, readable);
            s.Count(0, Counter.CorruptNeighbour);
            return -Errno.EAGAIN;
        }
        ulong copied = 0, wanted = Math.Min(total, record.Length);
        for (ulong i = 0; i < count && copied < wanted; i++)
        {
            ulong piece = Math.Min(vectors[i].Length, wanted - copied);
            if (piece > 0 && Vectors.IsBad(vectors[i].Base))
                return -Errno.EFAULT;
            if (!TryCopy(wire.Region, pipe, UdpRecord.Bytes + copied, vectors[i].Base, piece))
                break;
            copied += piece;
        }
        if (message != null)
            Describe(s, socket, wire, record, message, flags, isCut: record.Length > total);
        if ((flags & Msg.PEEK) == 0)
        {
            PipeOps.Consume(pipe, UdpRecord.Room(record.Length));
            pipe->Receives++;
            socket->OneWay++;
        }
        return (flags & Msg.TRUNC) != 0 ? record.Length : (long)copied;
    }

    private static void Describe(
        PosixStack s, Socket* socket, in Wire wire, in UdpRecord record, MsgHdr* message, int flags, bool isCut)
    {
        bool v6 = socket->Family == Af.INET6;
        if (message->Name != null)
        {
            byte* full = stackalloc byte[(int)Addresses.V6Bytes];
            uint bytes = Addresses.Write(v6 ? record.Source.Mapped() : record.Source, full);
            NativeMemory.Copy(full, message->Name, Math.Min(bytes, message->NameLength));
            message->NameLength = bytes;
        }
        UdpBinding* binding = s.Nic!.Engine.Udp.BindingAt(wire.Index);
        int cut = UdpControl.Write(s, message, binding, record, v6);
        message->Flags = (flags & Msg.CMSG_CLOEXEC) | cut | (isCut ? Msg.TRUNC : 0);
    }

    /// <summary>The next datagram's record, which stays.</summary>
    public static bool TryPeek(in Wire wire, out UdpRecord record)
    {
        fixed (UdpRecord* to = &record)
            return PipeOps.Readable(wire.In) >= UdpRecord.Bytes
                && TryCopy(wire.Region, wire.In, 0, (byte*)to, UdpRecord.Bytes);
    }

    private static bool TryCopy(LocalRegion region, Pipe* pipe, ulong skip, byte* to, ulong length)
    {
        while (length > 0)
        {
            byte* from = PipeOps.ReadRun(region, pipe, skip, length, out ulong run);
            if (run == 0)
                return false;
            NativeMemory.Copy(from, to, (nuint)run);
            to += run;
            skip += run;
            length -= run;
        }
        return true;
    }
}
