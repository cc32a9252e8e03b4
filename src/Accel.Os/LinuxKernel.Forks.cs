using Accel.Core.Memory;

namespace Accel.Os;

/// <summary>What a fork() needs whose child is to have no part in the stack.</summary>
public sealed unsafe partial class LinuxKernel
{
    private const int OpenFileGetLock = 36, OpenFileSetLock = 37;
    private const short ReadLock = 0, WriteLock = 1, Unlocked = 2;

    [ColdPath]
    public int OpenAgain(int fd) => Open($"/proc/self/fd/{fd}", ReadWrite);

    [ColdPath]
    public int LockByte(int fd, long at)
    {
        long* flock = stackalloc long[4];
        Describe(flock, ReadLock, at);
        return (int)Call(SystemCall.Fcntl, fd, OpenFileSetLock, (long)flock);
    }

    [ColdPath]
    public bool IsByteLocked(int fd, long at)
    {
        long* flock = stackalloc long[4];
        Describe(flock, WriteLock, at);
        return Call(SystemCall.Fcntl, fd, OpenFileGetLock, (long)flock) < 0 || *(short*)flock != Unlocked;
    }

    /// <summary>struct flock: type and whence, start, length, pid.</summary>
    private static void Describe(long* flock, short type, long at)
    {
        flock[0] = 0;
        *(short*)flock = type;
        flock[1] = at;
        flock[2] = 1;
        flock[3] = 0;
    }
}
