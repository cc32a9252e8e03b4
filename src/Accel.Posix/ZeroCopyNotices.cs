using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// MSG_ZEROCOPY on a stream (Documentation/networking/msg_zerocopy.rst of Linux): the bytes are copied, and the error
/// queue says at once that they were, as the kernel's does where it copies, which it always does within a host. What
/// has not been read yet is one notice of a range of sends, as skb_zerocopy_notify_extend() joins them.
/// </summary>
[ColdPath]
internal static unsafe class ZeroCopyNotices
{
    /// <summary>The word of a sleeping call's state that says it sends with MSG_ZEROCOPY.</summary>
    public const int State = 3;

    private const int Origin = 5, WasCopied = 1, ReceiveError = 11, ReceiveError6 = 25;

    /// <summary>struct sock_extended_err, and behind it the address of nobody.</summary>
    private const int ErrorBytes = 16;

    /// <summary>A send with the flag ended: one that has moved bytes counts.</summary>
    public static long Note(PosixStack s, AccelThread* t, Socket* socket, long sent)
    {
        if (sent <= 0 || socket->State != (uint)SocketState.Connected
            || socket->Options[SocketOptionTable.ZeroCopy] == 0)
            return sent;
        Interlocked.Increment(ref socket->ZeroCopySends);
        Interlocked.Or(ref socket->Flags, (uint)SocketFlags.HasNotices);
        if (s.Sides(socket, out Wire wire))
            Notifier.Notify(s, t, wire.Region, wire.Me, wire.Source);
        return sent;
    }

    /// <summary>A signal ended a call in its sleep: a send with the flag counts if it has moved bytes.</summary>
    public static void Interrupted(PosixStack s, AccelThread* t, Socket* socket)
    {
        if (t->Wait.State[State] != 0)
            Note(s, t, socket, (long)t->Wait.Done);
    }

    /// <summary>recvmsg() with MSG_ERRQUEUE: no data, and which sends the notice is about.</summary>
    public static long Receive(Socket* socket, MsgHdr* message)
    {
        uint from = Volatile.Read(ref socket->ZeroCopyTold);
        uint next = Volatile.Read(ref socket->ZeroCopySends);
        if (from == next || Interlocked.CompareExchange(ref socket->ZeroCopyTold, next, from) != from)
            return -Errno.EAGAIN;
        Interlocked.And(ref socket->Flags, ~(uint)SocketFlags.HasNotices);
        if (Volatile.Read(ref socket->ZeroCopySends) != next)
            Interlocked.Or(ref socket->Flags, (uint)SocketFlags.HasNotices);
        if (message == null)
            return 0;
        ulong room = message->ControlLength;
        message->NameLength = 0;
        message->ControlLength = 0;
        message->Flags = Msg.ERRQUEUE;
        bool v6 = socket->Family == Af.INET6;
        Span<byte> notice = stackalloc byte[ErrorBytes + (int)(v6 ? Addresses.V6Bytes : Addresses.V4Bytes)];
        notice.Clear();
        notice[4] = Origin;
        notice[6] = WasCopied;
        MemoryMarshal.Write(notice[8..], from);
        MemoryMarshal.Write(notice[12..], next - 1);
        ControlData.Give(message, room, v6 ? So.IPPROTO_IPV6 : So.IPPROTO_IP, v6 ? ReceiveError6 : ReceiveError,
            notice);
        return 0;
    }
}
