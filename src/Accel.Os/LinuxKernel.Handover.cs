using Accel.Core.Handover;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Os.Handover;

namespace Accel.Os;

/// <summary>What giving a live connection to the kernel needs.</summary>
public sealed unsafe partial class LinuxKernel
{
    [ColdPath]
    public int RestoreTcp(in Endpoint local, in Endpoint remote, in TcpImage image, byte* queues) =>
        TcpRestore.Make(this, in local, in remote, in image, queues, out _);

    [ColdPath]
    public int RestorePair(in Endpoint local, in Endpoint remote, in TcpImage image, byte* queues, in TcpImage peer,
        byte* peerQueues, out int made, out int madePeer) =>
        TcpRestore.MakePair(this, in local, in remote, in image, queues, in peer, peerQueues, out made, out madePeer);

    public long Send(int fd, void* data, ulong length, int flags) =>
        Call(SystemCall.SendTo, fd, (long)data, (long)length, flags);

    public bool IsInherited(int fd) => Call(SystemCall.Fcntl, fd, 1) == 0;

    public int ShutdownSocket(int fd, int how) => (int)Call(SystemCall.Shutdown, fd, how);

    [ColdPath]
    public int Borrow(int pid, int fd)
    {
        int process = WatchProcess(pid);
        if (process < 0)
            return process;
        int borrowed = (int)Call(SystemCall.PidfdGetFd, process, fd, 0);
        Close(process);
        return borrowed;
    }

    [ColdPath]
    public long SendTo(int fd, void* data, ulong length, byte* address, uint addressLength) =>
        Call(SystemCall.SendTo, fd, (long)data, (long)length, DontWait | NoSignal, (long)address, addressLength);

    /// <summary>Makes a socket another user's, as the socket tables show it.</summary>
    [ColdPath]
    public int ChangeOwner(int fd, uint uid, uint gid) => (int)Call(SystemCall.Fchown, fd, uid, gid);

    /// <summary>A file in memory with these bytes. Returns its descriptor or minus an errno.</summary>
    [ColdPath]
    public int FileOf(string name, byte* bytes, ulong count)
    {
        int fd;
        fixed (byte* path = Terminated(name))
            fd = (int)Call(SystemCall.MemfdCreate, (long)path, MemfdCloexec);
        for (ulong done = 0; fd >= 0 && done < count;)
        {
            long written = Write(fd, bytes + done, count - done, (long)done);
            if (written <= 0)
            {
                Close(fd);
                return written < 0 ? (int)written : -Errno.EINVAL;
            }
            done += (ulong)written;
        }
        return fd;
    }
}
