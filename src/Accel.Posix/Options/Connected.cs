using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// What Linux answers on a connection, where the kernel socket behind the descriptor, which is not connected, would
/// say something else. Each was found by integration/oracle/cases_sweep.c.
/// </summary>
internal static unsafe class Connected
{
    private const int AddressForm = 1;

    /// <summary>What setsockopt() of a row's option fails with, or 0: the kernel's socket is to say.</summary>
    public static long SetError(Socket* socket, int row, void* value, uint length)
    {
        SettingRule rule = SocketOptionTable.RuleOf(row);
        if (rule == SettingRule.AskKernel)
            return 0;
        bool isInt = length >= sizeof(int) && (ulong)value >= 4096;
        if (rule == SettingRule.ZeroOrOne)
            return isInt && *(uint*)value > 1 ? -Errno.EINVAL : 0;
        if (socket->State is not ((uint)SocketState.Connected or (uint)SocketState.Connecting))
            return 0;
        return rule switch
        {
            SettingRule.BeforeConnecting when isInt => -Errno.EINVAL,
            SettingRule.NotZero when isInt && *(int*)value == 0 => -Errno.EINVAL,
            SettingRule.UnderRepair when isInt => -Errno.EPERM,
            SettingRule.WithoutModule => length == 0 ? -Errno.EINVAL : -Errno.ENOENT,
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
