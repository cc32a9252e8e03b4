using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Accel.Inspect;

/// <summary>Which file it is, and whose. The kernel says it, and not who holds it.</summary>
public readonly partial record struct FileIdentity(ulong Device, ulong Inode, uint Uid)
{
    private const int PathOnly = 0x200000 | 0x80000, ReadOnly = 0x80000, EmptyPath = 0x1000, DoNotSync = 0x4000;
    private const int EACCES = 13, EPERM = 1;

    /// <summary>
    /// Opens a memory file that a process holds. A name in /proc may be a lie: a file of a user's own file system can
    /// have it, and who opens or reads one of those waits for that user. Nothing is asked of a file before it is known
    /// to be in the kernel's own memory.
    /// </summary>
    public static SafeFileHandle OpenMemory(string entry, out FileIdentity identity)
    {
        using SafeFileHandle path = Check(Open(entry, PathOnly));
        identity = Of(path);
        if (identity.Device != MemoryDevice) throw new IOException("not a memory file");
        return Check(Open($"/proc/self/fd/{(int)path.DangerousGetHandle()}", ReadOnly));
    }

    /// <summary>Of a file or folder that the kernel itself shows, as /proc/PID.</summary>
    public static uint? OwnerOf(string path)
    {
        using SafeFileHandle file = Open(path, PathOnly);
        return file.IsInvalid ? null : Of(file).Uid;
    }

    private static readonly ulong MemoryDevice = FindMemoryDevice();

    private static ulong FindMemoryDevice()
    {
        using SafeFileHandle file = Check(MemfdCreate("accel-probe", 1));
        return Of(file).Device;
    }

    private static unsafe FileIdentity Of(SafeFileHandle file)
    {
        // struct statx: stx_uid, stx_ino, stx_dev_major and stx_dev_minor.
        byte* status = stackalloc byte[256];
        if (Statx(file, "", EmptyPath | DoNotSync, 0x7FF, status) != 0)
            throw new IOException(Marshal.GetLastPInvokeErrorMessage());
        return new((ulong)*(uint*)(status + 136) << 32 | *(uint*)(status + 140), *(ulong*)(status + 32),
            *(uint*)(status + 20));
    }

    private static SafeFileHandle Check(SafeFileHandle file)
    {
        if (!file.IsInvalid) return file;
        int error = Marshal.GetLastPInvokeError();
        string message = Marshal.GetPInvokeErrorMessage(error);
        throw error is EACCES or EPERM ? new UnauthorizedAccessException(message) : new IOException(message);
    }

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial SafeFileHandle Open(string path, int flags);

    [LibraryImport(
        "libc", EntryPoint = "memfd_create", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial SafeFileHandle MemfdCreate(string name, uint flags);

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static unsafe partial int Statx(SafeFileHandle file, string path, int flags, uint mask, byte* status);
}
