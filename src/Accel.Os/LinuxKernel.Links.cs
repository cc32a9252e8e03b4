using Accel.Core.Memory;

namespace Accel.Os;

/// <summary>What links and the conversation with the control plane need.</summary>
public sealed unsafe partial class LinuxKernel
{
    private const int MapPopulate = 0x8000, PollIn = 1;

    /// <summary>Maps a part of a file or of a socket, shared, with all its pages, or page by page as they are used.
    /// Null if it cannot.</summary>
    [ColdPath]
    public byte* MapShare(int fd, long bytes, long offset = 0, bool populate = true)
    {
        int flags = populate ? MapShared | MapPopulate : MapShared;
        long address = Call(SystemCall.Mmap, 0, bytes, ProtectReadWrite, flags, fd, offset);
        return address is < 0 and > -4096 ? null : (byte*)address;
    }

    /// <summary>Maps a file for reading, page by page as they are looked at. Null if it cannot.</summary>
    [ColdPath]
    public byte* MapView(int fd, long bytes, long offset = 0)
    {
        const int ProtectRead = 1;
        long address = Call(SystemCall.Mmap, 0, bytes, ProtectRead, MapShared, fd, offset);
        return address is < 0 and > -4096 ? null : (byte*)address;
    }

    [ColdPath]
    public void Unmap(byte* address, long bytes) => Call(SystemCall.Munmap, (long)address, bytes);

    /// <summary>Size of a file in bytes, or minus an errno.</summary>
    [ColdPath]
    public long SizeOf(int fd) => Call(SystemCall.Seek, fd, 0, 2);

    /// <summary>Tells the kernel that frames wait in the send ring. Returns 0 or minus an errno.</summary>
    public int Kick(int fd)
    {
        long result = Call(SystemCall.SendTo, fd, 0, 0, DontWait);
        return result < 0 ? (int)result : 0;
    }

    /// <summary>sendmsg()</summary>
    public long SendMessage(int fd, void* message, int flags) =>
        Call(SystemCall.SendMessage, fd, (long)message, flags | NoSignal);

    /// <summary>recvmsg(); descriptors that come along are close-on-exec.</summary>
    public long ReceiveMessage(int fd, void* message, int flags)
    {
        const int CloexecDescriptors = 0x40000000;
        return Call(SystemCall.ReceiveMessage, fd, (long)message, flags | CloexecDescriptors);
    }

    /// <summary>Waits until a descriptor is readable. False if the time is over before.</summary>
    [ColdPath]
    public bool WaitReadable(int fd, int milliseconds)
    {
        long end = NowNs() + milliseconds * 1_000_000L;
        while (true)
        {
            ulong entry = (uint)fd | (ulong)PollIn << 32;
            long left = Math.Max(0, (end - NowNs() + 999_999) / 1_000_000);
            long ready = Call(SystemCall.Poll, (long)&entry, 1, left);
            if (ready > 0)
                return true;
            if (ready == 0 || ready != -Errno.EINTR)
                return false;
        }
    }

    /// <summary>The number of this thread's network namespace; 0 if it cannot be seen.</summary>
    [ColdPath]
    public ulong NetworkNamespace()
    {
        // struct stat of x86-64: st_ino is at 8.
        byte* stat = stackalloc byte[144];
        long result;
        fixed (byte* path = "/proc/thread-self/ns/net\0"u8)
            result = Call(SystemCall.NewFStatAt, AtCwd, (long)path, (long)stat, 0);
        return result < 0 ? 0 : *(ulong*)(stat + 8);
    }

    /// <summary>True if there is a file of that name, which ends with a zero byte.</summary>
    public bool Exists(byte* path) => Call(SystemCall.FAccessAt, AtCwd, (long)path, 0) == 0;

    public int CurrentTid() => (int)Brief(SystemCall.GetTid);
}
