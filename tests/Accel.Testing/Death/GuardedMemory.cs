using System.Runtime.InteropServices;

namespace Accel.Testing.Death;

/// <summary>
/// Zeroed memory between two stretches of addresses that nothing may touch: who reads beyond its ends is killed.
/// </summary>
public sealed unsafe partial class GuardedMemory : IDisposable
{
    private const int None = 0, ReadWrite = 3, PrivateAnonymous = 0x22, NoReserve = 0x4000;
    private const long GuardBytes = 1L << 32;

    private readonly byte* _all;
    private readonly long _bytes;

    public GuardedMemory(long bytes)
    {
        _bytes = (bytes + 4095 & ~4095L) + 2 * GuardBytes;
        _all = Map(null, (nuint)_bytes, None, PrivateAnonymous | NoReserve, -1, 0);
        if ((nint)_all == -1 || Protect(_all + GuardBytes, (nuint)(_bytes - 2 * GuardBytes), ReadWrite) != 0)
            throw new IOException("no guarded memory");
        // Its end, if it is no multiple of a page, is where the guard begins.
        Address = _all + _bytes - GuardBytes - bytes;
    }

    public byte* Address { get; }

    public void Dispose() => _ = Unmap(_all, (nuint)_bytes);

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial byte* Map(void* address, nuint length, int protection, int flags, int fd, long offset);

    [LibraryImport("libc", EntryPoint = "mprotect")]
    private static partial int Protect(void* address, nuint length, int protection);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Unmap(void* address, nuint length);
}
