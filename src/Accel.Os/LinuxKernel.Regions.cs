using System.Text;
using Accel.Core.Memory;

namespace Accel.Os;

/// <summary>Shared memory files, and finding those of another process.</summary>
public sealed unsafe partial class LinuxKernel
{
    private const int ReadWrite = 2, Directory = 0x10000, ProtectReadWrite = 3, MapShared = 1, MapNoReserve = 0x4000;
    private const int AtCwd = -100;
    private const int MemfdCloexec = 1, MemfdAllowSealing = 2;
    private const int AddSeals = 1033, SealSeal = 1, SealShrink = 2, SealGrow = 4;

    [ColdPath]
    public byte* CreateRegion(string name, long bytes, out int fd)
    {
        fixed (byte* path = Terminated(name))
            fd = (int)Call(SystemCall.MemfdCreate, (long)path, MemfdCloexec | MemfdAllowSealing);
        if (fd < 0)
            return null;
        fd = MoveHigh(fd);
        if (Call(SystemCall.Ftruncate, fd, bytes) < 0)
        {
            Close(fd);
            return null;
        }
        // Nobody who maps it can cut it short under the others.
        Call(SystemCall.Fcntl, fd, AddSeals, SealSeal | SealShrink | SealGrow);
        byte* address = Map(fd, bytes);
        if (address == null)
            Close(fd);
        return address;
    }

    /// <summary>
    /// A process has its neighbours' regions open too: its own is the one of its stack.
    /// </summary>
    [ColdPath]
    public byte* AttachRegion(
        int pid, string name, RegionKind kind, ulong wantedId, out int fd, out string? refusal)
    {
        ulong stack = 0;
        if (wantedId == 0)
        {
            int its = FindRegion(pid, "accel-stack", RegionKind.Stack, 0, 0, out RegionHeader header, out _);
            stack = its < 0 ? 0 : header.Id;
            if (its >= 0)
                Close(its);
        }
        fd = FindRegion(pid, name, kind, wantedId, stack, out _, out refusal);
        if (fd < 0)
            return null;
        byte* found = MapChecked(fd, kind, wantedId, ref refusal);
        if (found == null)
            Close(fd);
        fd = found == null ? -1 : MoveHigh(fd);
        return found;
    }

    /// <summary>Opens a region that a process has open. Returns its descriptor; -1 and why, if there is none.</summary>
    [ColdPath]
    private int FindRegion(
        int pid, string name, RegionKind kind, ulong id, ulong stack, out RegionHeader header, out string? refusal)
    {
        header = default;
        refusal = $"process {pid} shows no region {name}";
        string folder = $"/proc/{pid}/fd";
        int directory = Open(folder, Directory);
        if (directory < 0)
        {
            refusal = $"{folder} cannot be read (errno {-directory})";
            return -1;
        }
        int found = -1;
        byte* entries = stackalloc byte[4096];
        byte* target = stackalloc byte[256];
        ReadOnlySpan<byte> wanted = Terminated($"/memfd:{name} (deleted)");
        wanted = wanted[..^1];
        long bytes;
        while (found < 0 && (bytes = Call(SystemCall.GetDents64, directory, (long)entries, 4096)) > 0)
        {
            for (long at = 0; at < bytes && found < 0; at += *(ushort*)(entries + at + 16))
            {
                byte* entry = entries + at + 19;
                if (*entry == '.')
                    continue;
                long length = Call(SystemCall.ReadLinkAt, directory, (long)entry, (long)target, 256);
                if (length != wanted.Length || !new ReadOnlySpan<byte>(target, (int)length).SequenceEqual(wanted))
                    continue;
                int fd = (int)Call(SystemCall.OpenAt, directory, (long)entry, ReadWrite | Cloexec);
                if (fd < 0)
                    refusal = $"region {name} of process {pid} cannot be opened (errno {-fd})";
                else if (IsRegion(fd, kind, id, stack, out header, ref refusal))
                    found = fd;
                else
                    Close(fd);
            }
        }
        Close(directory);
        if (found >= 0)
            refusal = null;
        return found;
    }

    [ColdPath]
    private bool IsRegion(
        int fd, RegionKind kind, ulong id, ulong stack, out RegionHeader header, ref string? refusal)
    {
        header = default;
        fixed (RegionHeader* to = &header)
        {
            if (Read(fd, to, (ulong)sizeof(RegionHeader), 0) != sizeof(RegionHeader))
            {
                refusal = "region is shorter than its header";
                return false;
            }
        }
        string? unfit = RegionHeader.Refusal(header, kind, LayoutHash.Value)
            ?? ((id != 0 && header.Id != id) || (stack != 0 && header.StackId != stack)
                ? "another region of the same name" : null);
        if (unfit is not null)
            refusal = unfit;
        return unfit is null;
    }

    [ColdPath]
    public byte* MapRegion(int fd, RegionKind kind, ulong wantedId)
    {
        string? refusal = null;
        return MapChecked(fd, kind, wantedId, ref refusal);
    }

    [ColdPath]
    private byte* MapChecked(int fd, RegionKind kind, ulong wantedId, ref string? refusal)
    {
        if (!IsRegion(fd, kind, wantedId, 0, out RegionHeader header, ref refusal))
            return null;
        long size = Call(SystemCall.Seek, fd, 0, 2);
        if (size < (long)header.SizeBytes)
        {
            refusal = $"region of {size} bytes says that it has {header.SizeBytes}";
            return null;
        }
        byte* address = Map(fd, (long)header.SizeBytes);
        if (address == null)
            refusal = "region cannot be mapped (address space limit?)";
        return address;
    }

    public void UnmapRegion(byte* address) =>
        Call(SystemCall.Munmap, (long)address, (long)((RegionHeader*)address)->SizeBytes);

    public void DropPages(byte* address, ulong bytes)
    {
        const int Remove = 9;
        Call(SystemCall.Madvise, (long)address, (long)bytes, Remove);
    }

    [ColdPath]
    public void WantHugePages(byte* region, ulong from, ulong bytes)
    {
        const int HugePage = 14;
        const ulong Huge = 1ul << BufferArena.HugeLog2, Page = 4096;
        if (!MayHaveHugePages())
            return;
        // Only a page that lies wholly in what is asked for can be huge.
        ulong first = from & ~(Huge - 1), end = (from + bytes) & ~(Page - 1);
        Call(SystemCall.Madvise, (long)(region + first), (long)(end - first), HugePage);
    }

    /// <summary>
    /// Without leave madvise() succeeds as well, and means nothing. Asked each time: it is rare, and may be changed.
    /// </summary>
    [ColdPath]
    private bool MayHaveHugePages()
    {
        int fd = Open("/sys/kernel/mm/transparent_hugepage/shmem_enabled", 0);
        if (fd < 0)
            return false;
        byte* text = stackalloc byte[128];
        long length = Read(fd, text, 128, 0);
        Close(fd);
        ReadOnlySpan<byte> modes = new(text, (int)Math.Max(0, length));
        return length > 0 && modes.IndexOf("[never]"u8) < 0 && modes.IndexOf("[deny]"u8) < 0;
    }

    private byte* Map(int fd, long bytes)
    {
        long address = Call(SystemCall.Mmap, 0, bytes, ProtectReadWrite, MapShared | MapNoReserve, fd, 0);
        return address is < 0 and > -4096 ? null : (byte*)address;
    }

    [ColdPath]
    private int Open(string path, int flags)
    {
        fixed (byte* bytes = Terminated(path))
            return (int)Call(SystemCall.OpenAt, AtCwd, (long)bytes, flags | Cloexec);
    }

    [ColdPath]
    private static byte[] Terminated(string text)
    {
        byte[] bytes = new byte[Encoding.UTF8.GetByteCount(text) + 1];
        Encoding.UTF8.GetBytes(text, bytes);
        return bytes;
    }

    /// <summary>0 also for a process that has ended and that its parent has not waited for yet.</summary>
    public uint StartTime(int pid)
    {
        // A main thread that ended before the others looks like a zombie too, but the process lives.
        uint start = ReadStat(pid, out bool zombie, out uint threads);
        return zombie && threads <= 1 ? 0 : start;
    }

    /// <summary>
    /// tkill() finds zombies. Whoever waits for a lock of one may be the very parent that would have to reap it.
    /// </summary>
    public bool IsThreadAlive(int tid)
    {
        if (Call(SystemCall.Tkill, tid, 0) == -Errno.ESRCH)
            return false;
        ReadStat(tid, out bool zombie, out _);
        return !zombie;
    }

    /// <summary>Start time, state and number of threads from /proc/PID/stat. 0 if there is no such process.</summary>
    private uint ReadStat(int pid, out bool zombie, out uint threads)
    {
        zombie = false;
        threads = 0;
        byte* path = stackalloc byte[32];
        int at = 0;
        foreach (byte b in "/proc/"u8)
            path[at++] = b;
        int divisor = 1_000_000_000;
        bool started = false;
        for (int rest = pid; divisor > 0; divisor /= 10)
        {
            int digit = rest / divisor;
            rest %= divisor;
            started |= digit != 0;
            if (started)
                path[at++] = (byte)('0' + digit);
        }
        foreach (byte b in "/stat"u8)
            path[at++] = b;
        path[at] = 0;
        int fd = (int)Call(SystemCall.OpenAt, AtCwd, (long)path, Cloexec);
        if (fd < 0)
            return 0;
        byte* text = stackalloc byte[1024];
        long length = Read(fd, text, 1024, -1);
        Close(fd);
        if (length <= 0)
            return 0;
        ReadOnlySpan<byte> line = new(text, (int)length);
        // proc(5): the name in parentheses may hold anything; starttime is field 22, the 20th after it.
        line = line[(line.LastIndexOf((byte)')') + 1)..];
        for (int field = 0; field < 20; field++)
        {
            int space = line.IndexOf((byte)' ');
            if (space < 0)
                return 0;
            line = line[(space + 1)..];
            if (field == 0)
                zombie = line.Length > 0 && line[0] is (byte)'Z' or (byte)'X';
            else if (field == 17)
                threads = Number(line);
        }
        return Number(line) | 1;
    }

    private static uint Number(ReadOnlySpan<byte> line)
    {
        uint value = 0;
        foreach (byte b in line)
        {
            if (b is < (byte)'0' or > (byte)'9')
                break;
            value = unchecked(value * 10 + (b - (uint)'0'));
        }
        return value;
    }
}
