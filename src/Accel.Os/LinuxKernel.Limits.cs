using System.Text;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Os;

/// <summary>What the process may have: the numbers of its descriptors, and the memory of its control group.</summary>
public sealed unsafe partial class LinuxKernel
{
    private const int LimitDescriptors = 7, FewDescriptors = 1024, RoomAbove = 1024;
    private static readonly string[] s_groupRoots =
        ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/memory"];

    private int _raising;

    /// <summary>
    /// The library's descriptors sit at the top of what the soft limit allows: programs count on the lowest number
    /// being theirs, and many close everything from 3 upwards. Where the limit is low they sit above it, so that the
    /// program has as many as on the kernel.
    /// </summary>
    public int MoveHigh(int fd)
    {
        int moved = fd < 0 ? -1 : CopyHigh(fd);
        if (moved < 0)
            return fd;
        Close(fd);
        return moved;
    }

    public int DuplicateHigh(int fd) => CopyHigh(fd) is var copy and >= 0 ? copy : Duplicate(fd, closeOnExec: true);

    /// <summary>Negative if there is no number up there.</summary>
    private int CopyHigh(int fd)
    {
        if (_highest < 0)
            _highest = HighestAllowed();
        int copy = _highest <= FewDescriptors ? CopyAbove(fd) : -1;
        for (int reserve = 256; copy < 0 && reserve <= 4096; reserve *= 4)
        {
            int from = Math.Max(_highest - reserve, _highest / 2);
            copy = (int)Call(SystemCall.Fcntl, fd, DuplicateCloexec, from);
        }
        return copy;
    }

    /// <summary>
    /// The soft limit says which numbers are given out, not which may be there: it is raised for the moment. Negative
    /// if the hard limit leaves no room, or another thread is at the same.
    /// </summary>
    private int CopyAbove(int fd)
    {
        if (Interlocked.Exchange(ref _raising, 1) != 0)
            return -1;
        int copy = -1;
        ulong* limit = stackalloc ulong[2];
        if (Call(SystemCall.PrLimit, 0, LimitDescriptors, 0, (long)limit) >= 0 && limit[0] < limit[1]
            && limit[0] <= FewDescriptors)
        {
            ulong* raised = stackalloc ulong[2];
            raised[0] = Math.Min(limit[1], limit[0] + RoomAbove);
            raised[1] = limit[1];
            if (Call(SystemCall.PrLimit, 0, LimitDescriptors, (long)raised, 0) >= 0)
            {
                copy = (int)Call(SystemCall.Fcntl, fd, DuplicateCloexec, (long)limit[0]);
                Call(SystemCall.PrLimit, 0, LimitDescriptors, (long)limit, 0);
            }
        }
        Volatile.Write(ref _raising, 0);
        return copy;
    }

    private int HighestAllowed()
    {
        ulong* limit = stackalloc ulong[2];
        if (Call(SystemCall.PrLimit, 0, LimitDescriptors, 0, (long)limit) < 0)
            return 1024;
        return (int)Math.Min(limit[0], StackRegion.MaxDescriptors);
    }

    /// <summary>
    /// The least that the process's control group, or one that it is in, may have. Whoever touches more than that is
    /// killed, where the kernel's own sockets would only have been held back.
    /// </summary>
    [ColdPath]
    public long MemoryLimit()
    {
        long least = long.MaxValue;
        foreach (string line in ReadText("/proc/self/cgroup").Split('\n'))
        {
            // cgroups(7): hierarchy number, controllers (none: version 2), path.
            string[] parts = line.Split(':', 3);
            if (parts.Length < 3 || (parts[1].Length != 0 && !$",{parts[1]},".Contains(",memory,")))
                continue;
            string file = parts[1].Length == 0 ? "memory.max" : "memory.limit_in_bytes";
            foreach (string root in s_groupRoots)
            {
                // In a container the path may be one outside of it: the root is asked in any case.
                for (string path = parts[2].TrimEnd('/'); ; path = path[..path.LastIndexOf('/')])
                {
                    if (long.TryParse(ReadText($"{root}{path}/{file}").Trim(), out long limit))
                        least = Math.Min(least, limit);
                    if (path.LastIndexOf('/') < 0)
                        break;
                }
            }
        }
        return least;
    }

    [ColdPath]
    public bool TryReadPortRange(out ushort low, out ushort high)
    {
        string[] parts = ReadText("/proc/sys/net/ipv4/ip_local_port_range").Split(
            (char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        low = high = 0;
        return parts.Length == 2 && ushort.TryParse(parts[0], out low) && ushort.TryParse(parts[1], out high)
            && low != 0 && high > low;
    }

    /// <summary>What is in a small file of the kernel's; nothing if it cannot be read.</summary>
    [ColdPath]
    private string ReadText(string path)
    {
        const int Most = 4096;
        int fd = Open(path, 0);
        if (fd < 0)
            return "";
        byte* text = stackalloc byte[Most];
        long length = Read(fd, text, Most, -1);
        Close(fd);
        return length <= 0 ? "" : Encoding.UTF8.GetString(text, (int)length);
    }
}
