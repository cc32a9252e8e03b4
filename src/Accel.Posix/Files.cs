using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>What sendfile() and splice() ask about the descriptor at the other end, with the errors of Linux.</summary>
public static unsafe class Files
{
    private const int AccessMode = 3, WriteOnly = 1;

    /// <summary>0 if sendfile() can read from a descriptor, else minus an errno.</summary>
    public static long CheckSource(PosixStack s, int input, long* offset)
    {
        int flags = s.Kernel.GetFlags(input);
        if (flags < 0)
            return -Errno.EBADF;
        if ((flags & AccessMode) == WriteOnly)
            return -Errno.EBADF;
        if (offset != null && (ulong)offset < 4096)
            return -Errno.EFAULT;
        if (offset != null && *offset < 0)
            return -Errno.EINVAL;
        // Directories, eventfd and the like know no splice.
        return s.Kernel.KindOf(input) is FileKind.Regular or FileKind.Device ? 0 : -Errno.EINVAL;
    }

    /// <summary>0 if splice() can use a descriptor as the pipe at one end, else minus an errno.</summary>
    public static long CheckPipe(PosixStack s, int fd, bool toRead)
    {
        int flags = s.Kernel.GetFlags(fd);
        if (flags < 0)
            return -Errno.EBADF;
        int access = flags & AccessMode;
        if (toRead ? access == WriteOnly : access == 0)
            return -Errno.EBADF;
        return s.Kernel.KindOf(fd) == FileKind.Pipe ? 0 : -Errno.EINVAL;
    }

    /// <summary>Bytes that a pipe takes without waiting when poll() says that it is writable (PIPE_BUF).</summary>
    public const ulong PipeRoom = 4096;

    /// <summary>True if a write of <see cref="PipeRoom"/> bytes will not wait.</summary>
    public static bool HasRoom(PosixStack s, int fd)
    {
        PollFd poll = new() { Fd = fd, Events = (short)Ev.OUT };
        return s.Kernel.Poll(&poll, 1) != 0;
    }

    /// <summary>True if a read would have to wait.</summary>
    public static bool IsEmptyPipe(PosixStack s, int fd)
    {
        PollFd poll = new() { Fd = fd, Events = (short)Ev.IN };
        return s.Kernel.Poll(&poll, 1) == 0;
    }
}
