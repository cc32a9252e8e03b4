using System.Runtime.InteropServices;

namespace Accel.Posix;

/// <summary>struct pollfd.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct PollFd
{
    public int Fd;
    public short Events;
    public short Revents;
}

/// <summary>struct iovec.</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct IoVec
{
    public byte* Base;
    public ulong Length;
}

/// <summary>struct msghdr of x86-64.</summary>
[StructLayout(LayoutKind.Explicit, Size = 56)]
public unsafe struct MsgHdr
{
    [FieldOffset(0)] public byte* Name;
    [FieldOffset(8)] public uint NameLength;
    [FieldOffset(16)] public IoVec* Vectors;
    [FieldOffset(24)] public ulong VectorCount;
    [FieldOffset(32)] public void* Control;
    [FieldOffset(40)] public ulong ControlLength;
    [FieldOffset(48)] public int Flags;
}

/// <summary>struct epoll_event, packed as on x86-64.</summary>
[StructLayout(LayoutKind.Explicit, Size = 12)]
public struct EpollEvent
{
    [FieldOffset(0)] public uint Events;
    [FieldOffset(4)] public ulong Data;
}

/// <summary>struct accel_step of shim/abi.h: something that a child does that has no part in the stack.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct AccelStep
{
    /// <summary>munmap(A, B).</summary>
    public const long Unmap = 1;

    /// <summary>dup3(A, B, C): what was made for the child gets its number.</summary>
    public const long Put = 2;

    /// <summary>The same: a second number.</summary>
    public const long Copy = 3;

    /// <summary>epoll_ctl(A, EPOLL_CTL_ADD, B) with events C and data D.</summary>
    public const long Member = 4;

    /// <summary>A is a listener that others ask without waiting; B: as far as the program knows it blocks.</summary>
    public const long Lent = 5;

    /// <summary>close(A): the library's own.</summary>
    public const long Close = 6;

    public long What;
    public long A;
    public long B;
    public long C;
    public long D;
}

/// <summary>struct accel_wait of shim/abi.h: the progress of one blocking call.</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct AccelWait
{
    public const int SmallFds = 8;
    public const uint SleepPoll = 1, SleepEpoll = 2;

    public uint Phase;
    public uint Kind;
    public long Deadline;
    public PollFd* Fds;
    public uint FdCount;
    public int Epfd;
    public long Result;
    public ulong Done;
    public fixed ulong State[6];
    public fixed ulong Small[SmallFds];
}

/// <summary>struct accel_thread of shim/abi.h.</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct AccelThread
{
    public uint Inside;
    public uint Pending;
    public int Tid;
    public uint ScratchFds;
    public PollFd* Scratch;
    public fixed ulong Own[11];
    public AccelWait Wait;
}

/// <summary>struct accel_process of shim/abi.h.</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct AccelProcess
{
    public uint* FdMap;
    public uint FdLimit;
    public uint Slot;
    public byte* FdMapBase;
    public ulong FdMapStride;
    public int Pid;
    public uint Adopted;
    public uint InternalMin;
    public uint Strict;
    public void* SystemCall;
    public void* Ticks;
    public void* Cpu;
    public void* StartProgress;
    public int Inherited;
    public uint PidsBefore;
    public int Numbers;
    public uint NestWords;
    public ulong* Nests;
}

/// <summary>Results that are no result: see shim/abi.h.</summary>
public static class AccelResult
{
    public const long Wait = -4096;
    public const long Pass = -4097;
}
