using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// What Linux answers on a connection, where the kernel socket behind the descriptor, which is not connected, would
/// say something else. Each was found by integration/oracle/cases_sweep.c.
/// </summary>
internal static unsafe class Connected
{
    private const int WindowClamp = 10, QueueSequence = 21, FastOpen = 23, FastOpenConnect = 30, NoCookie = 34;
    private const int AddressForm = 1;

    /// <summary>What setsockopt() fails with, or 0: the kernel's socket is to say.</summary>
    public static long SetError(Socket* socket, int level, int name, void* value, uint length)
    {
        // sk_setsockopt() of Linux; a connection that was accepted has no kernel socket that would say so.
        if (level == So.SOL_SOCKET && name == So.ZEROCOPY && length >= sizeof(int) && (ulong)value >= 4096
            && *(uint*)value > 1)
            return -Errno.EINVAL;
        if (socket->State is not ((uint)SocketState.Connected or (uint)SocketState.Connecting)
            || level != So.IPPROTO_TCP)
            return 0;
        bool isInt = length >= sizeof(int) && (ulong)value >= 4096;
        return name switch
        {
            // Only a closed socket, or a listener, can be told.
            FastOpen or FastOpenConnect or NoCookie when isInt => -Errno.EINVAL,
            WindowClamp when isInt && *(int*)value == 0 => -Errno.EINVAL,
            QueueSequence when isInt => -Errno.EPERM,
            // As by a kernel without the module: OpenSSL goes on without it.
            So.TCP_ULP => length == 0 ? -Errno.EINVAL : -Errno.ENOENT,
            _ => 0,
        };
    }

    /// <summary>True if getsockopt() gives <paramref name="result"/>: a value, or minus an errno.</summary>
    public static bool TryGet(Socket* socket, int level, int name, out int result)
    {
        result = 0;
        if (socket->State != (uint)SocketState.Connected)
            return false;
        if (level == So.IPPROTO_TCP && name == So.TCP_ZEROCOPY_RECEIVE)
            // No memory can have been mapped from it, so no address is right.
            result = -Errno.EINVAL;
        else if (level == So.IPPROTO_IPV6 && name == AddressForm && socket->Family == Af.INET6)
            result = Af.INET6;
        return result != 0;
    }
}
