using System.Runtime.InteropServices;

namespace Accel.Wire.Tests;

/// <summary>A page of memory between two that may not be touched: who reads a byte too many dies of it.</summary>
sealed unsafe partial class GuardedPage : IDisposable
{
    const int Page = 4096, None = 0, ReadWrite = 3, PrivateAnonymous = 0x22;

    readonly byte* _memory;

    public GuardedPage()
    {
        _memory = Map(null, 3 * Page, None, PrivateAnonymous, -1, 0);
        Assert.NotEqual(-1, (nint)_memory);
        Assert.Equal(0, Protect(_memory + Page, Page, ReadWrite));
    }

    public Span<byte> AtStart(int length) => new(_memory + Page, length);

    public Span<byte> AtEnd(int length) => new(_memory + 2 * Page - length, length);

    public ReadOnlySpan<byte> AtEnd(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(AtEnd(bytes.Length));
        return AtEnd(bytes.Length);
    }

    public void Dispose() => _ = Unmap(_memory, 3 * Page);

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial byte* Map(void* at, nint length, int protection, int flags, int fd, nint offset);

    [LibraryImport("libc", EntryPoint = "mprotect")]
    private static partial int Protect(void* at, nint length, int protection);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Unmap(void* at, nint length);
}
