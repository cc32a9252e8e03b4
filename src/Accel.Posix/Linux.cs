namespace Accel.Posix;

/// <summary>errno values of Linux, as negative results carry them.</summary>
public static class Errno
{
    public const int EPERM = 1, ENOENT = 2, ESRCH = 3, EINTR = 4, EBADF = 9, EAGAIN = 11, ENOMEM = 12, EFAULT = 14;
    public const int EBUSY = 16, EEXIST = 17, EINVAL = 22, ENFILE = 23, EMFILE = 24, ENOSPC = 28, ESPIPE = 29;
    public const int EPIPE = 32, EDOM = 33, ELOOP = 40;
    public const int ENOTSOCK = 88, EDESTADDRREQ = 89, EMSGSIZE = 90, ENOPROTOOPT = 92, EOPNOTSUPP = 95;
    public const int EAFNOSUPPORT = 97, EADDRINUSE = 98, EADDRNOTAVAIL = 99, ENETUNREACH = 101, ECONNRESET = 104;
    public const int ECONNABORTED = 103, ENOBUFS = 105;
    public const int EISCONN = 106, ENOTCONN = 107, ETIMEDOUT = 110, ECONNREFUSED = 111, EHOSTUNREACH = 113;
    public const int EALREADY = 114, EINPROGRESS = 115;
}

/// <summary>Address families, socket types, options: the numbers of this kernel's headers.</summary>
public static class Af
{
    public const int UNSPEC = 0, UNIX = 1, INET = 2, INET6 = 10;
    public const int SOCK_STREAM = 1, SOCK_DGRAM = 2, SOCK_NONBLOCK = 0x800, SOCK_CLOEXEC = 0x80000;
    public const int O_NONBLOCK = 0x800, O_ASYNC = 0x2000, O_APPEND = 0x400;
    public const int SHUT_RD = 0, SHUT_WR = 1, SHUT_RDWR = 2;
}

/// <summary>MSG_* flags.</summary>
public static class Msg
{
    public const int OOB = 1, PEEK = 2, DONTROUTE = 4, CTRUNC = 8, TRUNC = 0x20, DONTWAIT = 0x40;
    public const int EOR = 0x80, WAITALL = 0x100;
    public const int ERRQUEUE = 0x2000, NOSIGNAL = 0x4000, MORE = 0x8000, CONFIRM = 0x800, ZEROCOPY = 0x4000000;
    public const int FASTOPEN = 0x20000000;
    public const int CMSG_CLOEXEC = 0x40000000;

    /// <summary>sendmmsg() of the kernel has it for all messages but the last, and so has the shim's.</summary>
    public const int BATCH = 0x40000;
}

/// <summary>poll and epoll event bits, which are the same numbers.</summary>
public static class Ev
{
    public const uint IN = 1, PRI = 2, OUT = 4, ERR = 8, HUP = 0x10, NVAL = 0x20, RDNORM = 0x40, RDBAND = 0x80;
    public const uint WRNORM = 0x100, WRBAND = 0x200, RDHUP = 0x2000;
    public const uint EXCLUSIVE = 1u << 28, WAKEUP = 1u << 29, ONESHOT = 1u << 30, ET = 1u << 31;
    public const int CTL_ADD = 1, CTL_DEL = 2, CTL_MOD = 3;
}

/// <summary>Socket option levels and names.</summary>
public static class So
{
    public const int SOL_SOCKET = 1, IPPROTO_IP = 0, IPPROTO_TCP = 6, IPPROTO_IPV6 = 41, IPPROTO_UDP = 17;
    public const int REUSEADDR = 2, TYPE = 3, ERROR = 4, SNDBUF = 7, RCVBUF = 8, KEEPALIVE = 9, PRIORITY = 12;
    public const int OOBINLINE = 10, LINGER = 13;
    public const int REUSEPORT = 15, RCVLOWAT = 18, SNDLOWAT = 19, RCVTIMEO = 20, SNDTIMEO = 21, BINDTODEVICE = 25;
    public const int ACCEPTCONN = 30, SNDBUFFORCE = 32, RCVBUFFORCE = 33, PROTOCOL = 38, DOMAIN = 39;
    public const int RCVTIMEO_NEW = 66, SNDTIMEO_NEW = 67;
    public const int TCP_NODELAY = 1, TCP_MAXSEG = 2, TCP_CORK = 3, TCP_INFO = 11, TCP_QUICKACK = 12, TCP_ULP = 31;
    public const int TCP_INQ = 36, TCP_ZEROCOPY_RECEIVE = 35, PEERNAME = 28, PEEK_OFF = 42, MAX_PACING_RATE = 47;
    public const int ZEROCOPY = 60;
    public const int IPV6_V6ONLY = 26;
}

/// <summary>ioctl requests and fcntl commands.</summary>
public static class Request
{
    public const ulong FIONREAD = 0x541B, FIONBIO = 0x5421, FIOASYNC = 0x5452, SIOCOUTQ = 0x5411, SIOCATMARK = 0x8905;
    public const ulong SIOCOUTQNSD = 0x894B, FIOSETOWN = 0x8901, SIOCSPGRP = 0x8902;
    public const int F_DUPFD = 0, F_GETFD = 1, F_SETFD = 2, F_GETFL = 3, F_SETFL = 4, F_DUPFD_CLOEXEC = 1030;
    public const int F_SETOWN = 8, F_SETSIG = 10, F_SETOWN_EX = 15;
}
