using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Local;

/// <summary>A process of a stack that is attached to a local region: enough to find out that it has died.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 16)]
public struct Member
{
    /// <summary>0 = no such process.</summary>
    [FieldOffset(0)] public int Pid;

    /// <summary>Low bits of the start time from /proc/PID/stat, so that a reused pid is not taken for it.</summary>
    [FieldOffset(4)] public uint StartTime;

    /// <summary>
    /// A <see cref="SharedLock"/>: thread that takes the process, which has died, from all that it held. The process is
    /// forgotten only when that is done, so that somebody else goes on if the thread dies over it.
    /// </summary>
    [FieldOffset(8)] public int Burier;
}

/// <summary>A stack (a process and those it forked) that uses a local region, with its processes by slot.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 4160)]
public unsafe struct Attachment
{
    public const int MaxMembers = 256;

    [FieldOffset(0)] public ulong StackId;

    [FieldOffset(8)] public uint Uid;

    /// <summary>Array of <see cref="Member"/>.</summary>
    [FieldOffset(64)] public fixed ulong Members[MaxMembers * 2];

    public static Member* MemberAt(Attachment* attachment, int slot) => (Member*)attachment->Members + slot;
}
