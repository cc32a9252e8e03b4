using System.Runtime.InteropServices;
using Accel.Core.Handover;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// A connection over shared memory goes to the kernel: this end makes both kernel sockets, connected with each other,
/// moves what lies in the two rings into them, takes one and leaves the other for the other end, which finds it at its
/// next call or wake. While that is done nobody else touches the rings.
/// </summary>
[ColdPath]
internal static unsafe class LocalHandover
{
    /// <summary>Under both locks of the socket.</summary>
    public static HandoverRefusal Try(PosixStack s, AccelThread* t, Socket* socket, int index, int fd, in Wire wire)
    {
        if (Remains.Are(s, socket, in wire))
            return Remains.Try(s, t, socket, index, fd, in wire);
        if (Volatile.Read(ref wire.Conn->State) != (uint)ConnState.Accepted)
            return Withdrawal.Try(s, t, socket, index, fd, in wire);
        if (!Settlement.HasRoom(s, fd))
            return HandoverRefusal.Descriptor;
        if (Interlocked.CompareExchange(ref wire.Conn->Leaving, wire.SideIndex + 1, 0) != 0)
            return HandoverRefusal.Busy;
        int mine = -1, theirs = -1;
        HandoverRefusal refusal = !Gate.Quiesce(s, in wire) ? HandoverRefusal.Busy
            : HasUrgent(wire.In) || HasUrgent(wire.Out) ? HandoverRefusal.UrgentData
            : Move(s, socket, in wire, out mine, out theirs);
        if (refusal != HandoverRefusal.None)
        {
            Volatile.Write(ref wire.Conn->Leaving, 0);
            Notifier.Notify(s, t, wire.Region, wire.Peer, wire.PeerSource);
            return refusal;
        }
        if ((wire.Me->Flags & (uint)SideFlags.FinSent) != 0)
            s.Kernel.ShutdownSocket(mine, Af.SHUT_WR);
        Offer(s, t, in wire, theirs);
        Settlement.Exchange(s, socket, index, in wire, fd, mine);
        Settlement.Leave(s, t, socket, index, in wire);
        return HandoverRefusal.None;
    }

    private static bool HasUrgent(Pipe* pipe) => Volatile.Read(ref pipe->Urgent) > Volatile.Read(ref pipe->Head);

    /// <summary>Where the other end finds its socket. One that has closed already needs none.</summary>
    private static void Offer(PosixStack s, AccelThread* t, in Wire wire, int theirs)
    {
        // One that nobody fetches ends as it is, and in TIME-WAIT would keep the port from a server that begins anew.
        int on = 1;
        s.Kernel.SetSockOpt(theirs, So.SOL_SOCKET, So.REUSEADDR, &on, sizeof(int));
        int parked = s.Own(s.Kernel.MoveHigh(theirs));
        s.Parked.Add(s, in wire, parked);
        wire.Me->HandoverPid = s.Process->Pid;
        wire.Me->HandoverDescriptor = parked;
        Interlocked.Or(ref wire.Me->Flags, (uint)SideFlags.HandedOver);
        Notifier.Notify(s, t, wire.Region, wire.Peer, wire.PeerSource);
    }

    /// <summary>Two sockets with all that the rings hold.</summary>
    private static HandoverRefusal Move(PosixStack s, Socket* socket, in Wire wire, out int mine, out int theirs)
    {
        mine = theirs = -1;
        bool closed = (Volatile.Read(ref wire.Peer->Flags) & (uint)SideFlags.Closed) != 0;
        uint incoming = (uint)PipeOps.Readable(wire.In);
        uint outgoing = closed ? 0 : (uint)PipeOps.Unread(wire.Out);
        byte* bytes;
        try
        {
            bytes = (byte*)NativeMemory.Alloc((nuint)incoming + outgoing + 1);
        }
        catch (OutOfMemoryException)
        {
            return HandoverRefusal.NoMemory;
        }
        HandoverRefusal refusal = HandoverRefusal.State;
        if (PipeOps.TryCopy(wire.Region, wire.In, incoming, bytes)
            && PipeOps.TryCopy(wire.Region, wire.Out, outgoing, bytes + incoming))
            refusal = LoopbackPair.Make(
                s, socket, socket->Remote, bytes, incoming, bytes + incoming, outgoing, out mine, out theirs);
        NativeMemory.Free(bytes);
        return refusal;
    }
}
