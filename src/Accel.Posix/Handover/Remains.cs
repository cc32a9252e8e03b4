using System.Runtime.InteropServices;
using Accel.Core.Handover;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// What a program still has of a connection that is over: bytes that it has not read, and behind them the end, or an
/// error that nobody has seen. There is no peer any more that could tell one kernel socket from another, and none that
/// TCP_REPAIR would take: a connection within this host is ended in the same way.
/// </summary>
[ColdPath]
internal static unsafe class Remains
{
    /// <summary>True if the peer has nothing to say any more, whatever this end does.</summary>
    public static bool Are(PosixStack s, Socket* socket, in Wire wire)
    {
        if ((Volatile.Read(ref wire.Me->Flags) & (uint)SideFlags.Reset) != 0)
            Readiness.AbsorbReset(socket, wire.Me->Flags, in wire);
        return socket->Is(SocketFlags.Dead) || NicConn.PhaseOf(wire.Conn) == NicPhase.Closed;
    }

    /// <summary>Under both locks of the socket.</summary>
    public static HandoverRefusal Try(PosixStack s, AccelThread* t, Socket* socket, int index, int fd, in Wire wire)
    {
        // An error that tells of a connection that never was has its own way to be reported, by connect().
        if (socket->Error is not (0 or Errno.ECONNRESET or Errno.EPIPE))
            return HandoverRefusal.State;
        if (!Settlement.HasRoom(s, fd))
            return HandoverRefusal.Descriptor;
        uint unread = (uint)PipeOps.Readable(wire.In);
        byte* bytes;
        try
        {
            bytes = (byte*)NativeMemory.Alloc((nuint)unread + 1);
        }
        catch (OutOfMemoryException)
        {
            return HandoverRefusal.NoMemory;
        }
        int mine = -1, theirs = -1;
        HandoverRefusal refusal = !PipeOps.TryCopy(wire.Region, wire.In, unread, bytes) ? HandoverRefusal.State
            : LoopbackPair.Make(s, socket, Stranger(s, socket), bytes, unread, null, 0, out mine, out theirs);
        NativeMemory.Free(bytes);
        if (refusal != HandoverRefusal.None)
            return refusal;
        End(s, mine, theirs, socket->Error);
        bool overNic = NicConnector.IsOverNic(wire);
        Settlement.Exchange(s, socket, index, in wire, fd, mine);
        // Its last segments still come here.
        if (overNic && socket->Side == 0 && socket->Parent == 0)
            s.Nic?.Ports.Keep(t, socket->Local.Unmapped(), -1);
        Settlement.Leave(s, t, socket, index, in wire);
        return HandoverRefusal.None;
    }

    /// <summary>A name for the other end: on this host, and nobody's.</summary>
    private static Endpoint Stranger(PosixStack s, Socket* socket)
    {
        Endpoint name = socket->Local;
        name.Port = (ushort)(1024 + s.Kernel.Random() % (ushort.MaxValue - 1024));
        return name;
    }

    /// <summary>The end, in the order that leaves the least behind: its TIME-WAIT is on the stranger's port.</summary>
    private static void End(PosixStack s, int mine, int theirs, int error)
    {
        if (error != Errno.ECONNRESET)
            s.Kernel.ShutdownSocket(theirs, Af.SHUT_WR);
        if (error == 0)
            s.Kernel.ShutdownSocket(mine, Af.SHUT_WR);
        else
        {
            // tcp_reset() of Linux: EPIPE where the peer had sent its FIN.
            long now = 1;
            s.Kernel.SetSockOpt(theirs, So.SOL_SOCKET, So.LINGER, &now, sizeof(long));
        }
        s.Kernel.Close(theirs);
    }
}
