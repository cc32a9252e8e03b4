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

    [ColdPath]
    public int CopyEpoll(int epfd, ulong without, ulong alsoWithout)
    {
        const int Most = 1 << 16;
        int info = Open($"/proc/self/fdinfo/{epfd}", 0);
        int made = info < 0 ? info : EpollCreate();
        byte* text = stackalloc byte[Most];
        int have = 0;
        for (long got = 1; made >= 0 && got > 0;)
        {
            got = Read(info, text + have, (ulong)(Most - have), -1);
            have += (int)Math.Max(0, got);
            int used = AddLines(made, new ReadOnlySpan<byte>(text, have), without, alsoWithout);
            // The rest of a line comes with the next piece.
            have -= used;
            Buffer.MemoryCopy(text + used, text, Most, have);
        }
        if (info >= 0)
            Close(info);
        return made;
    }

    /// <summary>Takes whole lines. Returns how many bytes those are.</summary>
    private int AddLines(int made, ReadOnlySpan<byte> text, ulong without, ulong alsoWithout)
    {
        int used = 0;
        for (int end; (end = text[used..].IndexOf((byte)'\n')) >= 0; used += end + 1)
        {
            ReadOnlySpan<byte> line = text.Slice(used, end);
            if (!line.StartsWith("tfd:"u8))
                continue;
            int fd = (int)Field(line, "tfd:"u8, 10);
            uint events = (uint)Field(line, "events:"u8, 16);
            ulong data = Field(line, "data:"u8, 16);
            // A number may be another file's by now, which the program did not mean.
            if (data != without && data != alsoWithout && InodeOf(fd) == Field(line, "ino:"u8, 16))
                EpollCtl(made, 1, fd, events, data);
        }
        return used;
    }

    private static ulong Field(ReadOnlySpan<byte> line, ReadOnlySpan<byte> name, uint radix)
    {
        int at = line.IndexOf(name);
        if (at < 0)
            return ulong.MaxValue;
        line = line[(at + name.Length)..].TrimStart((byte)' ');
        ulong value = 0;
        foreach (byte b in line)
        {
            uint digit = b is >= (byte)'0' and <= (byte)'9' ? b - (uint)'0'
                : b is >= (byte)'a' and <= (byte)'f' ? b - (uint)'a' + 10 : radix;
            if (digit >= radix)
                break;
            value = unchecked(value * radix + digit);
        }
        return value;
    }

    private ulong InodeOf(int fd)
    {
        // struct stat of x86-64: st_ino is at 8.
        byte* stat = stackalloc byte[144];
        return Call(SystemCall.Fstat, fd, (long)stat) < 0 ? 0 : *(ulong*)(stat + 8);
    }
}
