namespace Accel.Os;

/// <summary>System call numbers of x86-64 Linux.</summary>
internal static class SystemCall
{
    public const long Read = 0, Write = 1, Close = 3, Fstat = 5, Poll = 7, Seek = 8, Mmap = 9, Munmap = 11;
    public const long Madvise = 28, ClockGetTime = 228, Pread = 17, Pwrite = 18;
    public const long SchedYield = 24, Dup = 32, Dup2 = 33;
    public const long GetPid = 39, Socket = 41, Connect = 42, SendTo = 44, RecvFrom = 45;
    public const long Bind = 49, Listen = 50, GetSockName = 51, SetSockOpt = 54, GetSockOpt = 55;
    public const long Fcntl = 72, Ftruncate = 77;
    public const long GetUid = 102, GetEuid = 107, SetSid = 112, Tkill = 200, GetDents64 = 217, EpollWait = 232;
    public const long EpollCtl = 233, OpenAt = 257, ReadLinkAt = 267, Accept4 = 288, EpollCreate1 = 291, Dup3 = 292;
    public const long PrLimit = 302, GetRandom = 318, MemfdCreate = 319, Kcmp = 312, Membarrier = 324, PidfdOpen = 434;
    public const long Futex = 202, SendMessage = 46, ReceiveMessage = 47, GetTid = 186, NewFStatAt = 262;
    public const long FAccessAt = 269, Shutdown = 48, Fchown = 93, PidfdGetFd = 438;
}
