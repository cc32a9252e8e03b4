using System.Runtime.InteropServices;

namespace Accel.Control.Native;

/// <summary>The calls of libc that acceld makes. Results as in C: -1 and errno.</summary>
internal static unsafe class Libc
{
    public const int AfUnix = 1, AfInet = 2, AfInet6 = 10, AfNetlink = 16, AfPacket = 17, AfXdp = 44;
    public const int SockStream = 1, SockDgram = 2, SockRaw = 3, SockSeqPacket = 5;
    public const int SockCloexec = 0x80000, SockNonBlock = 0x800, DontWait = 0x40;
    public const int SoReuseAddr = 2, SolSocket = 1, SolXdp = 283, SolPacket = 263, SolIpv6 = 41;
    public const int SoType = 3, SoSndBuf = 7, SoPeerCred = 17, SoAttachFilter = 26, SoAcceptConn = 30;
    public const int SoSndBufForce = 32, SoProtocol = 38, SoDomain = 39, SoLockFilter = 44, SoPeerGroups = 59;
    public const int SoNetnsCookie = 71, SoRcvBuf = 8, SoRcvTimeO = 20, SoRcvBufForce = 33;
    public const int SolNetlink = 270, NetlinkAddMembership = 1, NetlinkStrictCheck = 12;
    public const short PollIn = 1, PollOut = 4, PollHup = 16;
    public const int EPERM = 1, ENOENT = 2, EINTR = 4, EAGAIN = 11, EBUSY = 16, EEXIST = 17, ENODEV = 19;
    public const int EADDRINUSE = 98, EOPNOTSUPP = 95, ENOBUFS = 105, ECONNREFUSED = 111;

    private const string Name = "libc";

    [DllImport(Name, EntryPoint = "syscall")]
    public static extern nint SystemCall(nint number, nint a, nint b, nint c, nint d, nint e, nint f);

    [DllImport(Name, EntryPoint = "socket")]
    public static extern int Socket(int domain, int type, int protocol);

    [DllImport(Name, EntryPoint = "bind")]
    public static extern int Bind(int fd, void* address, uint bytes);

    [DllImport(Name, EntryPoint = "listen")]
    public static extern int Listen(int fd, int backlog);

    [DllImport(Name, EntryPoint = "accept4")]
    public static extern int Accept(int fd, void* address, uint* bytes, int flags);

    [DllImport(Name, EntryPoint = "getsockname")]
    public static extern int GetSockName(int fd, void* address, uint* bytes);

    [DllImport(Name, EntryPoint = "setsockopt")]
    public static extern int SetSockOpt(int fd, int level, int name, void* value, uint bytes);

    [DllImport(Name, EntryPoint = "getsockopt")]
    public static extern int GetSockOpt(int fd, int level, int name, void* value, uint* bytes);

    [DllImport(Name, EntryPoint = "send")]
    public static extern nint Send(int fd, void* bytes, nint count, int flags);

    [DllImport(Name, EntryPoint = "sendto")]
    public static extern nint SendTo(int fd, void* bytes, nint count, int flags, void* address, uint length);

    [DllImport(Name, EntryPoint = "recv")]
    public static extern nint Receive(int fd, void* bytes, nint count, int flags);

    [DllImport(Name, EntryPoint = "recvfrom")]
    public static extern nint ReceiveFrom(int fd, void* bytes, nint count, int flags, void* address, uint* length);

    [DllImport(Name, EntryPoint = "read")]
    public static extern nint Read(int fd, void* bytes, nint count);

    [DllImport(Name, EntryPoint = "write")]
    public static extern nint Write(int fd, void* bytes, nint count);

    [DllImport(Name, EntryPoint = "close")]
    public static extern int Close(int fd);

    [DllImport(Name, EntryPoint = "poll")]
    public static extern int Poll(PollEntry* entries, nint count, int milliseconds);

    [DllImport(Name, EntryPoint = "ioctl")]
    public static extern int Ioctl(int fd, nint request, void* argument);

    [DllImport(Name, EntryPoint = "eventfd")]
    public static extern int EventFd(uint initial, int flags);

    [DllImport(Name, EntryPoint = "flock")]
    public static extern int FileLock(int fd, int operation);

    [DllImport(Name, EntryPoint = "fcntl")]
    public static extern int Fcntl(int fd, int command, nint argument);

    [DllImport(Name, EntryPoint = "memfd_create")]
    public static extern int MemfdCreate(byte* name, uint flags);

    [DllImport(Name, EntryPoint = "ftruncate")]
    public static extern int Truncate(int fd, long bytes);

    [DllImport(Name, EntryPoint = "lseek")]
    public static extern long Seek(int fd, long offset, int whence);

    [DllImport(Name, EntryPoint = "statx")]
    public static extern int Status(int folder, byte* path, int flags, uint mask, byte* status);

    [DllImport(Name, EntryPoint = "fchmod")]
    public static extern int ChangeMode(int fd, uint mode);

    [DllImport(Name, EntryPoint = "setpriority")]
    public static extern int SetPriority(int which, uint who, int priority);

    [DllImport(Name, EntryPoint = "open")]
    public static extern int Open(byte* path, int flags, uint mode);

    [DllImport(Name, EntryPoint = "mmap")]
    public static extern nint Map(nint address, nint bytes, int protection, int flags, int fd, long offset);

    [DllImport(Name, EntryPoint = "munmap")]
    public static extern int Unmap(nint address, nint bytes);

    [DllImport(Name, EntryPoint = "clock_gettime")]
    public static extern int ClockGetTime(int clock, long* time);

    [DllImport(Name, EntryPoint = "geteuid")]
    public static extern uint UserId();

    public static int Errno => Marshal.GetLastSystemError();

    /// <summary>The last error as text.</summary>
    public static string Error => Text(Errno);

    public static string Text(int errno) => Marshal.GetPInvokeErrorMessage(errno);

    public static int Option(int fd, int level, int name)
    {
        int value = 0;
        uint bytes = sizeof(int);
        return GetSockOpt(fd, level, name, &value, &bytes) < 0 ? -1 : value;
    }

    public static bool SetOption(int fd, int level, int name, int value) =>
        SetSockOpt(fd, level, name, &value, sizeof(int)) == 0;
}

/// <summary>struct pollfd</summary>
internal struct PollEntry
{
    public int Fd;
    public short Events;
    public short Returned;
}
