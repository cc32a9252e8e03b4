using System.Text;
using Accel.Control.Native;

namespace Accel.Control.Handover;

/// <summary>
/// A memory file that another user's process holds. A name in /proc may be a lie: a file of a user's own file system
/// can have it, and who opens one of those waits for that user; and there may be no page for a file of huge ones, so
/// that who reads it is killed. Nothing is asked of a file before it is known to be in the kernel's ordinary memory.
/// </summary>
internal static unsafe class MemoryFile
{
    private const int PathOnly = 0x200000 | 0x80000, ReadOnly = 0x80000, EmptyPath = 0x1000, DoNotSync = 0x4000;
    private const uint Basic = 0x7FF, Cloexec = 1;

    // struct statx: stx_blocks, stx_dev_major and stx_dev_minor.
    private const int StatusBytes = 256, BlocksAt = 48, MajorAt = 136, MinorAt = 140, BlockBytes = 512;

    private static ulong _device;

    private static ulong Device => _device != 0 ? _device : _device = FindDevice();

    /// <summary>Opens it for reading. -1 if it is none.</summary>
    public static int Open(string path)
    {
        int found = Open(path, PathOnly);
        if (found < 0)
            return -1;
        int file = TryStat(found, out ulong device, out _) && device == Device
            ? Open($"/proc/self/fd/{found}", ReadOnly) : -1;
        Libc.Close(found);
        return file;
    }

    /// <summary>Bytes of memory that it has.</summary>
    public static ulong BytesInUse(int file) => TryStat(file, out _, out ulong bytes) ? bytes : 0;

    private static int Open(string path, int flags)
    {
        fixed (byte* text = Encoding.UTF8.GetBytes(path + "\0"))
            return Libc.Open(text, flags, 0);
    }

    private static bool TryStat(int file, out ulong device, out ulong bytes)
    {
        byte* status = stackalloc byte[StatusBytes];
        byte nothing = 0;
        bool known = Libc.Status(file, &nothing, EmptyPath | DoNotSync, Basic, status) == 0;
        device = known ? (ulong)*(uint*)(status + MajorAt) << 32 | *(uint*)(status + MinorAt) : 0;
        bytes = known ? *(ulong*)(status + BlocksAt) * BlockBytes : 0;
        return known;
    }

    private static ulong FindDevice()
    {
        int file;
        fixed (byte* name = "accel-probe\0"u8)
            file = Libc.MemfdCreate(name, Cloexec);
        if (file < 0)
            return 0;
        TryStat(file, out ulong device, out _);
        Libc.Close(file);
        return device;
    }
}
