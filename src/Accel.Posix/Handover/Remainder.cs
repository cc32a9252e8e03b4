using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// A call that had moved some of its bytes when its connection went to the kernel: the kernel moves the rest.
/// </summary>
[ColdPath]
internal static unsafe class Remainder
{
    public static long Send(PosixStack s, AccelThread* t, int fd, Socket* socket, int index,
        IoVec* vectors, ulong count, int flags)
    {
        while (Next(t, vectors, count, out byte* at, out ulong length))
        {
            long sent = s.Kernel.Send(fd, at, length, flags & ~Msg.OOB | Msg.DONTWAIT | Msg.NOSIGNAL);
            if (sent == -Errno.EAGAIN)
                return Waits.SleepOnFile(s, t, socket, index, fd, Ev.OUT);
            if (sent <= 0)
                break;
            t->Wait.Done += (ulong)sent;
        }
        return (long)t->Wait.Done;
    }

    /// <summary>With MSG_WAITALL; any other call has what it wanted.</summary>
    public static long Receive(PosixStack s, AccelThread* t, int fd, Socket* socket, int index,
        IoVec* vectors, ulong count, int flags)
    {
        while ((flags & Msg.WAITALL) != 0 && Next(t, vectors, count, out byte* at, out ulong length))
        {
            IoVec vector = new() { Base = at, Length = length };
            MsgHdr message = new() { Vectors = &vector, VectorCount = 1 };
            long got = s.Kernel.ReceiveDatagram(fd, &message, (flags & Msg.TRUNC) | Msg.DONTWAIT);
            if (got == -Errno.EAGAIN)
                return Waits.SleepOnFile(s, t, socket, index, fd, Ev.IN);
            if (got <= 0)
                break;
            t->Wait.Done += (ulong)got;
        }
        return (long)t->Wait.Done;
    }

    /// <summary>The first run of the caller's that is not done.</summary>
    private static bool Next(AccelThread* t, IoVec* vectors, ulong count, out byte* at, out ulong length)
    {
        ulong skip = t->Wait.Done;
        for (ulong i = 0; i < count; i++)
        {
            if (skip < vectors[i].Length)
            {
                at = vectors[i].Base + skip;
                length = vectors[i].Length - skip;
                return true;
            }
            skip -= vectors[i].Length;
        }
        at = null;
        length = 0;
        return false;
    }
}
