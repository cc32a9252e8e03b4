using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>What a program set on a socket, told to the kernel socket that takes its place.</summary>
[ColdPath]
internal static unsafe class KernelOptions
{
    // KEEPIDLE, KEEPINTVL, KEEPCNT, SYNCNT, LINGER2, WINDOW_CLAMP, USER_TIMEOUT, NOTSENT_LOWAT; SO_PRIORITY, SO_MARK.
    private static ReadOnlySpan<int> Mirrored =>
        [So.IPPROTO_TCP, 4, So.IPPROTO_TCP, 5, So.IPPROTO_TCP, 6, So.IPPROTO_TCP, 7, So.IPPROTO_TCP, 8,
         So.IPPROTO_TCP, 10, So.IPPROTO_TCP, 18, So.IPPROTO_TCP, 25, So.SOL_SOCKET, So.PRIORITY, So.SOL_SOCKET, 36];

    // IP_TOS, IP_TTL; IPV6_TCLASS, IPV6_UNICAST_HOPS.
    private static ReadOnlySpan<int> OfIp => [So.IPPROTO_IP, 1, So.IPPROTO_IP, 2];

    private static ReadOnlySpan<int> OfIp6 => [So.IPPROTO_IPV6, 67, So.IPPROTO_IPV6, 16];

    private const int Congestion = 13, CongestionBytes = 16;

    /// <param name="s">The stack.</param>
    /// <param name="socket">The socket that goes.</param>
    /// <param name="wire">Its connection.</param>
    /// <param name="from">Its descriptor, which may have a kernel socket of its own.</param>
    /// <param name="to">The kernel socket that comes.</param>
    public static void Carry(PosixStack s, Socket* socket, in Wire wire, int from, int to)
    {
        if (socket->Is(SocketFlags.OwnsKernelSocket))
        {
            Mirror(s, Mirrored, from, to);
            Mirror(s, socket->Family == Af.INET ? OfIp : OfIp6, from, to);
            byte* name = stackalloc byte[CongestionBytes];
            uint length = CongestionBytes;
            if (s.Kernel.GetSockOpt(from, So.IPPROTO_TCP, Congestion, name, &length) >= 0)
                s.Kernel.SetSockOpt(to, So.IPPROTO_TCP, Congestion, name, length);
        }
        else
            SocketOptions.CopyFromListener(s, socket, to);
        Int(s, to, So.REUSEADDR, 0);
        SocketOptions.GiveKept(s, socket, to);
        if (socket->LowWater > 1)
            Int(s, to, So.RCVLOWAT, (int)Math.Min(socket->LowWater, int.MaxValue));
        if (socket->LingerOn != 0)
        {
            long linger = 1 | (long)socket->LingerSeconds << 32;
            s.Kernel.SetSockOpt(to, So.SOL_SOCKET, So.LINGER, &linger, sizeof(long));
        }
        Time(s, to, So.RCVTIMEO, socket->ReceiveTimeoutNs);
        Time(s, to, So.SNDTIMEO, socket->SendTimeoutNs);
        // The kernel doubles what it is told, and so had doubled what is kept here.
        if (socket->Is(SocketFlags.SendBufferSet))
            Int(s, to, So.SNDBUF, (int)wire.Out->SendLimit / 2);
        if (socket->Is(SocketFlags.ReceiveBufferSet))
            Int(s, to, So.RCVBUF, (int)wire.In->ReceiveLimit / 2);
        if ((Volatile.Read(ref wire.Me->Flags) & (uint)SideFlags.ReadShut) != 0)
            s.Kernel.ShutdownSocket(to, Af.SHUT_RD);
        int flags = s.Kernel.GetFlags(to) & ~(Af.O_NONBLOCK | Af.O_APPEND | Af.O_ASYNC);
        flags |= (socket->Is(SocketFlags.NonBlocking) ? Af.O_NONBLOCK : 0)
            | (socket->Is(SocketFlags.Append) ? Af.O_APPEND : 0)
            | (socket->Is(SocketFlags.Asynchronous) ? Af.O_ASYNC : 0);
        s.Kernel.SetFlags(to, flags);
    }

    private static void Mirror(PosixStack s, ReadOnlySpan<int> pairs, int from, int to)
    {
        for (int i = 0; i + 1 < pairs.Length; i += 2)
        {
            int value = 0, other = 0;
            uint length = sizeof(int), otherLength = sizeof(int);
            // What is the kernel's default in both stays a default.
            if (s.Kernel.GetSockOpt(from, pairs[i], pairs[i + 1], &value, &length) >= 0
                && s.Kernel.GetSockOpt(to, pairs[i], pairs[i + 1], &other, &otherLength) >= 0 && value != other)
                s.Kernel.SetSockOpt(to, pairs[i], pairs[i + 1], &value, length);
        }
    }

    private static void Int(PosixStack s, int fd, int name, int value) =>
        s.Kernel.SetSockOpt(fd, So.SOL_SOCKET, name, &value, sizeof(int));

    private static void Time(PosixStack s, int fd, int name, long nanoseconds)
    {
        if (nanoseconds == 0)
            return;
        long* time = stackalloc long[2];
        time[0] = nanoseconds < 0 ? -1 : nanoseconds / 1_000_000_000;
        time[1] = nanoseconds < 0 ? 0 : nanoseconds % 1_000_000_000 / 1000;
        s.Kernel.SetSockOpt(fd, So.SOL_SOCKET, name, time, 16);
    }
}
