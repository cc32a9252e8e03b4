using Accel.Core.Memory;

namespace Accel.Os;

/// <summary>What the kernel tells of an epoll set's members, in /proc.</summary>
public sealed unsafe partial class LinuxKernel
{
    private const int EpollAdd = 1, MemberText = 1 << 16;

    [ColdPath]
    public int CopyEpoll(int epfd, ulong without, ulong alsoWithout)
    {
        int info = Open($"/proc/self/fdinfo/{epfd}", 0);
        int made = info < 0 ? info : EpollCreate();
        byte* text = stackalloc byte[MemberText];
        var members = new Members(this, info, text);
        while (made >= 0 && members.Next())
        {
            // A number may be another file's by now, which the program did not mean.
            if (members.Data != without && members.Data != alsoWithout && InodeOf(members.Fd) == members.Inode)
                EpollCtl(made, EpollAdd, members.Fd, members.Events, members.Data);
        }
        if (info >= 0)
            Close(info);
        return made;
    }

    [ColdPath]
    public bool FindMember(int epfd, int fd, out uint events, out ulong data)
    {
        (events, data) = (0, 0);
        int info = Open($"/proc/self/fdinfo/{epfd}", 0);
        if (info < 0)
            return false;
        byte* text = stackalloc byte[MemberText];
        var members = new Members(this, info, text);
        bool isFound = false;
        while (!isFound && members.Next())
            isFound = members.Fd == fd;
        Close(info);
        if (isFound)
            (events, data) = (members.Events, members.Data);
        return isFound;
    }

    /// <summary>The members of a set, one after the other, from its file in /proc/self/fdinfo.</summary>
    private struct Members(LinuxKernel kernel, int info, byte* text)
    {
        private int _at, _have;

        public int Fd { get; private set; }

        public uint Events { get; private set; }

        public ulong Data { get; private set; }

        public ulong Inode { get; private set; }

        public bool Next()
        {
            while (true)
            {
                var rest = new ReadOnlySpan<byte>(text + _at, _have - _at);
                int end = rest.IndexOf((byte)'\n');
                if (end < 0 && !Refill())
                    return false;
                if (end < 0)
                    continue;
                _at += end + 1;
                if (rest.StartsWith("tfd:"u8))
                    return Take(rest[..end]);
            }
        }

        private bool Take(ReadOnlySpan<byte> line)
        {
            Fd = (int)Field(line, "tfd:"u8, 10);
            Events = (uint)Field(line, "events:"u8, 16);
            Data = Field(line, "data:"u8, 16);
            Inode = Field(line, "ino:"u8, 16);
            return true;
        }

        /// <summary>The rest of a line comes with the next piece.</summary>
        private bool Refill()
        {
            _have -= _at;
            Buffer.MemoryCopy(text + _at, text, MemberText, _have);
            _at = 0;
            long got = kernel.Read(info, text + _have, (ulong)(MemberText - _have), -1);
            _have += (int)Math.Max(0, got);
            return got > 0;
        }
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
