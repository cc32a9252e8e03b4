using Accel.Core.Nic;

namespace Accel.Posix;

/// <summary>What the engine's errors are called by POSIX.</summary>
public static class NicErrors
{
    public static int ToErrno(NicError error) => error switch
    {
        NicError.None => 0,
        NicError.Reset => Errno.ECONNRESET,
        NicError.Refused => Errno.ECONNREFUSED,
        NicError.TimedOut => Errno.ETIMEDOUT,
        NicError.HostUnreachable => Errno.EHOSTUNREACH,
        NicError.NetUnreachable or NicError.NoLink => Errno.ENETUNREACH,
        NicError.MessageSize => Errno.EMSGSIZE,
        NicError.Broken => Errno.EPIPE,
        NicError.NoMemory => Errno.ENOBUFS,
        NicError.AddressInUse => Errno.EADDRNOTAVAIL,
        _ => Errno.ENOTCONN,
    };
}
