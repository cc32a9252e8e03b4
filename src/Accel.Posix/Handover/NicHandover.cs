using System.Runtime.InteropServices;
using Accel.Core.Handover;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// A connection over a network interface goes to the kernel: the engine freezes it, acceld makes a kernel socket that
/// stands where it stood, and the engine lets it go. The peer sees one segment more, and perhaps a pause.
/// </summary>
[ColdPath]
internal static unsafe class NicHandover
{
    /// <summary>Under both locks of the socket.</summary>
    public static HandoverRefusal Try(PosixStack s, AccelThread* t, Socket* socket, int index, int fd, in Wire wire)
    {
        if (s.Nic is not { } nic)
            return HandoverRefusal.NoControl;
        nic.PumpDry(t);
        if (Remains.Are(s, socket, in wire))
            return Remains.Try(s, t, socket, index, fd, in wire);
        nic.Enter(t);
        HandoverRefusal refusal = nic.Engine.TryFreeze(wire.Index, s.Kernel.NowNs(), out TcpImage image);
        nic.Exit(t);
        // It may have ended just now.
        if (refusal == HandoverRefusal.State && Remains.Are(s, socket, in wire))
            return Remains.Try(s, t, socket, index, fd, in wire);
        if (refusal != HandoverRefusal.None)
            return refusal;
        if (socket->Family == Af.INET6)
            image.Flags |= ImageFlags.V6Socket;
        int made = -1;
        refusal = Settlement.HasRoom(s, fd) ? Ask(s, t, nic, socket, in wire, in image, out made)
            : HandoverRefusal.Descriptor;
        if (refusal != HandoverRefusal.None)
        {
            nic.Enter(t);
            nic.Engine.Thaw(wire.Index, s.Kernel.NowNs());
            nic.Exit(t);
            return refusal;
        }
        Settlement.Exchange(s, socket, index, in wire, fd, made);
        nic.Enter(t);
        nic.Engine.Release(wire.Index, s.Kernel.NowNs());
        nic.Exit(t);
        // A port that was bound for this connection alone is steered here until its last straggler has come.
        if (socket->Side == 0 && socket->Parent == 0)
            nic.Ports.Keep(t, socket->Local.Unmapped(), -1);
        Settlement.Leave(s, t, socket, index, in wire);
        return HandoverRefusal.None;
    }

    private static HandoverRefusal Ask(PosixStack s, AccelThread* t, NicPath nic, Socket* socket, in Wire wire,
        in TcpImage image, out int made)
    {
        made = -1;
        byte* queues = Queues(wire, in image);
        if (queues == null)
            return HandoverRefusal.NoMemory;
        s.LockStack(t);
        NicRefusal refusal = nic.Steering.Restore(t, socket->Local, socket->Remote, image, queues, out made);
        s.UnlockStack(t);
        NativeMemory.Free(queues);
        if (refusal == NicRefusal.None)
            return HandoverRefusal.None;
        s.S.Tables->NicRefusal = (byte)refusal;
        return refusal switch
        {
            NicRefusal.NoDaemon => HandoverRefusal.NoControl,
            NicRefusal.NotYourConnection => HandoverRefusal.NotOurs,
            _ => HandoverRefusal.Kernel,
        };
    }

    /// <summary>Unread bytes, then those that were sent or still are to be. Null: no memory, or the rings are broken.
    /// </summary>
    private static byte* Queues(in Wire wire, in TcpImage image)
    {
        byte* bytes;
        try
        {
            bytes = (byte*)NativeMemory.Alloc((nuint)image.QueueBytes + 1);
        }
        catch (OutOfMemoryException)
        {
            return null;
        }
        if (PipeOps.TryCopy(wire.Region, wire.In, image.Unread, bytes)
            && PipeOps.TryCopy(wire.Region, wire.Out, image.Sent + image.Unsent, bytes + image.Unread))
            return bytes;
        NativeMemory.Free(bytes);
        return null;
    }
}
