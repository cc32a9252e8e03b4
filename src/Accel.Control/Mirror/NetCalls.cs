using System.Runtime.InteropServices;

namespace Accel.Control.Mirror;

/// <summary>The calls of libc that the mirror makes. Results as in C: -1 and errno.</summary>
internal static unsafe class NetCalls
{
    public const int AfInet = 2, AfInet6 = 10, AfNetlink = 16, SockRaw = 3;
    public const int SockCloexec = 0x80000, SockNonBlock = 0x800, DontWait = 0x40, Truncate = 0x20;
    public const int SolSocket = 1, SoReceiveBuffer = 8, SoReceiveTimeout = 20, SoReceiveBufferForce = 33;
    public const int SolNetlink = 270, AddMembership = 1, StrictCheck = 12;
    public const int EINTR = 4, EAGAIN = 11, EBUSY = 16, ENOBUFS = 105;
    public const short PollIn = 1;

    private const string Library = "libc";

    [DllImport(Library, EntryPoint = "socket")]
    public static extern int Socket(int domain, int type, int protocol);

    [DllImport(Library, EntryPoint = "bind")]
    public static extern int Bind(int fd, void* address, uint bytes);

    [DllImport(Library, EntryPoint = "setsockopt")]
    public static extern int SetSockOpt(int fd, int level, int name, void* value, uint bytes);

    [DllImport(Library, EntryPoint = "send")]
    public static extern nint Send(int fd, void* bytes, nint count, int flags);

    [DllImport(Library, EntryPoint = "recv")]
    public static extern nint Receive(int fd, void* bytes, nint count, int flags);

    [DllImport(Library, EntryPoint = "recvfrom")]
    public static extern nint ReceiveFrom(int fd, void* bytes, nint count, int flags, void* address, uint* length);

    [DllImport(Library, EntryPoint = "read")]
    public static extern nint Read(int fd, void* bytes, nint count);

    [DllImport(Library, EntryPoint = "write")]
    public static extern nint Write(int fd, void* bytes, nint count);

    [DllImport(Library, EntryPoint = "close")]
    public static extern int Close(int fd);

    [DllImport(Library, EntryPoint = "poll")]
    public static extern int Poll(PollItem* items, nint count, int milliseconds);

    [DllImport(Library, EntryPoint = "eventfd")]
    public static extern int EventFd(uint initial, int flags);

    [DllImport(Library, EntryPoint = "memfd_create")]
    public static extern int MemfdCreate(byte* name, uint flags);

    [DllImport(Library, EntryPoint = "ftruncate")]
    public static extern int Resize(int fd, long bytes);

    [DllImport(Library, EntryPoint = "fcntl")]
    public static extern int Fcntl(int fd, int command, nint argument);

    [DllImport(Library, EntryPoint = "open")]
    public static extern int Open(byte* path, int flags);

    [DllImport(Library, EntryPoint = "mmap")]
    public static extern nint Map(nint address, nint bytes, int protection, int flags, int fd, long offset);

    [DllImport(Library, EntryPoint = "munmap")]
    public static extern int Unmap(nint address, nint bytes);

    [DllImport(Library, EntryPoint = "geteuid")]
    public static extern uint UserId();

    public static int Errno => Marshal.GetLastSystemError();

    public static string Error => Marshal.GetPInvokeErrorMessage(Errno);

    public static bool SetOption(int fd, int level, int name, int value) =>
        SetSockOpt(fd, level, name, &value, sizeof(int)) == 0;
}

/// <summary>struct pollfd</summary>
internal struct PollItem
{
    public int Fd;
    public short Events;
    public short Returned;
}
