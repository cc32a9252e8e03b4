using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Accel.Inspect;

/// <summary>
/// A private copy of a shared region's first bytes, at the same offsets. A copy and no mapping: touching a hole of a
/// mapped
/// memory file would make the kernel put memory there, and a look from outside must change nothing.
/// </summary>
public sealed unsafe partial class SparseCopy : IDisposable
{
    private const int ProtectReadWrite = 3, MapPrivate = 2, MapAnonymous = 0x20, MapNoReserve = 0x4000;

    private readonly nuint _bytes;

    private readonly List<(long Start, long Bytes)> _runs = [];

    /// <summary>An empty one: all zeros.</summary>
    public SparseCopy(long bytes)
    {
        _bytes = (nuint)bytes;
        Address = Map(null, _bytes, ProtectReadWrite, MapPrivate | MapAnonymous | MapNoReserve, -1, 0);
        if ((nint)Address == -1) throw new IOException("no address space for a copy of the region");
    }

    public SparseCopy(SafeFileHandle file, long bytes)
        : this(bytes)
    {
        for (long at = 0; (at = FileData.Next(file, at)) >= 0 && at < bytes;)
        {
            long end = Math.Min(FileData.NextHole(file, at), bytes);
            if (end < at) break; // cut short meanwhile
            _runs.Add((at, end - at));
            while (at < end)
            {
                int wanted = (int)Math.Min(end - at, 1 << 24);
                int got = RandomAccess.Read(file, new Span<byte>(Address + at, wanted), at);
                if (got <= 0) return;
                at += got;
            }
        }
    }

    public byte* Address { get; private set; }

    public long Bytes => (long)_bytes;

    /// <summary>What was copied: all else is zero.</summary>
    public IReadOnlyList<(long Start, long Bytes)> Runs => _runs;

    /// <summary>A part of the copy to be filled in.</summary>
    public Span<byte> Fill(long start, int bytes)
    {
        if (start < 0 || bytes < 0 || start > Bytes - bytes) throw new InvalidDataException("a part lies outside");
        _runs.Add((start, bytes));
        return new Span<byte>(Address + start, bytes);
    }

    public void Dispose()
    {
        if (Address != null) _ = Unmap(Address, _bytes);
        Address = null;
    }

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial byte* Map(void* address, nuint length, int protection, int flags, int fd, long offset);

    [LibraryImport("libc", EntryPoint = "munmap", SetLastError = true)]
    private static partial int Unmap(void* address, nuint length);
}
