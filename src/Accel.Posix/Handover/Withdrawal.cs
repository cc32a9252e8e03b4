using System.Runtime.InteropServices;
using Accel.Core.Handover;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// A local connection that nobody has accepted yet goes to the kernel: there is no other end that could come after it.
/// So it leaves the accept queue, and its own kernel socket, which has held its port, connects to the listener's.
/// </summary>
[ColdPath]
internal static unsafe class Withdrawal
{
    /// <summary>The listener's queue in the kernel may be full; a dropped SYN comes again after a second.</summary>
    private const long MostNs = 1_500_000_000;

    /// <summary>Under both locks of the socket. Busy: it has been accepted meanwhile.</summary>
    public static HandoverRefusal Try(PosixStack s, AccelThread* t, Socket* socket, int index, int fd, in Wire wire)
    {
        if (wire.SideIndex != 0 || !socket->Is(SocketFlags.OwnsKernelSocket))
            return HandoverRefusal.State;
        if (Volatile.Read(ref wire.Out->Urgent) > Volatile.Read(ref wire.Out->Head))
            return HandoverRefusal.UrgentData;
        if (!AcceptQueue.TryWithdraw(wire.Conn))
            return HandoverRefusal.Busy;
        HandoverRefusal refusal = Move(s, socket, fd, in wire);
        if (refusal != HandoverRefusal.None)
        {
            AcceptQueue.TakeBack(wire.Conn);
            return refusal;
        }
        KernelOptions.Carry(s, socket, in wire, fd, fd);
        if ((wire.Me->Flags & (uint)SideFlags.FinSent) != 0)
            s.Kernel.ShutdownSocket(fd, Af.SHUT_WR);
        Settlement.Leave(s, t, socket, index, in wire);
        return HandoverRefusal.None;
    }

    private static HandoverRefusal Move(PosixStack s, Socket* socket, int fd, in Wire wire)
    {
        uint count = (uint)PipeOps.Unread(wire.Out);
        byte* bytes;
        try
        {
            bytes = (byte*)NativeMemory.Alloc((nuint)count + 1);
        }
        catch (OutOfMemoryException)
        {
            return HandoverRefusal.NoMemory;
        }
        HandoverRefusal refusal = !PipeOps.TryCopy(wire.Region, wire.Out, count, bytes) ? HandoverRefusal.State
            : !LoopbackPair.Widen(s, fd, count) ? HandoverRefusal.NoMemory
            : !TryConnect(s, socket, fd) ? HandoverRefusal.Kernel
            : LoopbackPair.Fill(s, fd, bytes, count) ? HandoverRefusal.None : HandoverRefusal.NoMemory;
        NativeMemory.Free(bytes);
        if (refusal != HandoverRefusal.None)
            Disconnect(s, socket, fd);
        return refusal;
    }

    private static bool TryConnect(PosixStack s, Socket* socket, int fd)
    {
        byte* name = stackalloc byte[(int)Addresses.V6Bytes];
        uint length = Addresses.Write(socket->Remote, name);
        s.Kernel.SetFlags(fd, s.Kernel.GetFlags(fd) | Af.O_NONBLOCK);
        long end = s.Kernel.NowNs() + MostNs;
        while (true)
        {
            int result = s.Kernel.Connect(fd, name, length);
            if (result >= 0 || result == -Errno.EISCONN)
                return true;
            if (result is not (-Errno.EINPROGRESS or -Errno.EALREADY) || s.Kernel.NowNs() > end)
                return false;
            s.Kernel.Yield();
        }
    }

    /// <summary>As it was: with its port, and not connected.</summary>
    private static void Disconnect(PosixStack s, Socket* socket, int fd)
    {
        byte* name = stackalloc byte[(int)Addresses.V6Bytes];
        new Span<byte>(name, (int)Addresses.V6Bytes).Clear();
        s.Kernel.Connect(fd, name, Addresses.V4Bytes);
        s.Kernel.Bind(fd, name, Addresses.Write(socket->Local, name));
    }
}
