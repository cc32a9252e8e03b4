using Accel.Core.Local;
using Accel.Core.Stack;
using Accel.Core.Udp;
using Accel.Wire;

namespace Accel.Posix;

/// <summary>
/// send(), sendto(), sendmsg(), write() on a UDP socket: straight into a link's buffer if that is all there is to it.
/// Everything else is the kernel's, whose answer is the answer: errors, groups, what must be cut up, what has no next
/// hop yet, full buffers.
/// </summary>
public static unsafe class UdpSender
{
    private const ulong MaxPayload = 65507;

    /// <param name="message">Destination and control data; null: none.</param>
    public static long Send(PosixStack s, AccelThread* t, int fd, int index, Socket* socket,
        IoVec* vectors, ulong count, ulong total, int flags, MsgHdr* message)
    {
        long result = TrySend(s, t, fd, index, socket, vectors, count, total, flags, message)
            ? (long)total : AccelResult.Pass;
        // What was held back for more to come goes before what the kernel sends.
        if (result == AccelResult.Pass && s.Nic is { } nic && nic.Engine.Unflushed > 0)
            nic.Flush(t);
        return result;
    }

    private static bool TrySend(PosixStack s, AccelThread* t, int fd, int index, Socket* socket,
        IoVec* vectors, ulong count, ulong total, int flags, MsgHdr* message)
    {
        const int Harmless = Msg.DONTWAIT | Msg.NOSIGNAL | Msg.BATCH | Msg.CONFIRM;
        if ((flags & Msg.MORE) != 0)
            Interlocked.Or(ref socket->Flags, (uint)SocketFlags.Corked);
        else if (socket->Is(SocketFlags.Corked))
        {
            Interlocked.And(ref socket->Flags, ~(uint)SocketFlags.Corked);
            return false;
        }
        if (s.Nic is not { } nic || (flags & ~Harmless) != 0 || total > MaxPayload
            || socket->Is(SocketFlags.SendShut) || socket->Is(SocketFlags.KernelSends)
            || (total > 0 && count == 1 && Vectors.IsBad(vectors->Base))
            || !TryDestination(socket, message, out Endpoint target))
            return false;
        if (!UdpSockets.IsOpen(socket) && !UdpSockets.TryOpenForSend(s, t, socket, index, fd, target))
            return false;
        UdpBinding* binding = nic.Engine.Udp.BindingAt((int)socket->Index);
        uint errors = Volatile.Read(ref binding->Errors);
        if (errors != binding->ErrorsSeen)
        {
            // The kernel's socket has the error, and gives it instead of sending.
            binding->ErrorsSeen = errors;
            return false;
        }
        UdpSend send = new() { Destination = target.Unmapped(), Length = (uint)total, Ttl = -1, Tos = -1 };
        if (message != null && message->ControlLength != 0
            && (!UdpControl.TryRead(message, ref send) || !MayUse(nic, send.Source)))
            return false;
        return Emit(s, t, nic, socket, vectors, count, send, (flags & Msg.BATCH) != 0);
    }

    private static bool MayUse(NicPath nic, in Endpoint source) =>
        source.Family == Endpoint.None || nic.Control.Tables.IsLocalAddress(source);

    private static bool TryDestination(Socket* socket, MsgHdr* message, out Endpoint target)
    {
        if (message == null || message->Name == null || message->NameLength == 0)
            target = socket->Remote;
        else if (!Addresses.TryRead(message->Name, message->NameLength, out target)
            || target.Family != Addresses.FamilyOf(socket->Family))
            return false;
        return target.Family != Endpoint.None && target.Port != 0 && !target.IsAny;
    }

    private static bool Emit(PosixStack s, AccelThread* t, NicPath nic, Socket* socket,
        IoVec* vectors, ulong count, in UdpSend send, bool more)
    {
        int conn = (int)socket->Index;
        nic.Enter(t);
        UdpBinding* binding = nic.Engine.Udp.BindingAt(conn);
        UdpOutput output = nic.Engine.Udp.Output;
        // Another thread may have closed it meanwhile.
        bool sent = binding->Open != 0 && binding->Generation == socket->ConnGeneration
            && output.TryBegin(conn, send, s.Kernel.NowNs(), out UdpFrame frame)
            && Fill(output, conn, vectors, count, ref frame);
        if (sent && !more && nic.IsFlushDue(t, nic.Engine.Unflushed))
            nic.Engine.Flush();
        nic.Exit(t);
        return sent;
    }

    private static bool Fill(UdpOutput output, int conn, IoVec* vectors, ulong count, ref UdpFrame frame)
    {
        uint sum = frame.Sum, at = 0;
        for (ulong i = 0; i < count && at < frame.Length; i++)
        {
            int piece = (int)Math.Min(vectors[i].Length, frame.Length - at);
            sum = Checksum.CopyAndAdd(new ReadOnlySpan<byte>(vectors[i].Base, piece),
                new Span<byte>(frame.Payload + at, piece), sum, (int)at);
            at += (uint)piece;
        }
        output.Commit(conn, in frame, sum);
        return true;
    }
}
