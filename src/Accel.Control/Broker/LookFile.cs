using Accel.Control.Native;
using Microsoft.Win32.SafeHandles;

namespace Accel.Control.Broker;

/// <summary>
/// A look in a memory file: sealed against writing, and given away for reading only. Whoever has it may keep it, but
/// not its memory, which is acceld's: that goes a while after the next look was taken.
/// </summary>
internal sealed class LookFile : IDisposable
{
    private const int Cloexec = 1, AllowSealing = 2, ReadOnly = 0x80000, AddSeals = 1033;
    private const int SealSeal = 1, SealGrow = 4, SealWrite = 8;
    private const uint OwnerReads = 0x100;

    private readonly SafeFileHandle _own;

    private LookFile(SafeFileHandle own, int fd, long bytes) => (_own, Fd, Bytes) = (own, fd, bytes);

    /// <summary>The descriptor to give away.</summary>
    public int Fd { get; }

    public long Bytes { get; }

    /// <summary>A file with what <paramref name="write"/> writes. Throws <see cref="IOException"/>.</summary>
    public static unsafe LookFile Make(Action<Stream> write)
    {
        int made;
        fixed (byte* name = "acceld-look\0"u8)
            made = Libc.MemfdCreate(name, Cloexec | AllowSealing);
        if (made < 0)
            throw new IOException($"no memory file: {Libc.Error}");
        var own = new SafeFileHandle(made, ownsHandle: true);
        try
        {
            using (var stream = new FileStream(
                new SafeFileHandle(made, ownsHandle: false), FileAccess.Write, 1 << 18))
                write(stream);
            int fd;
            fixed (byte* path = System.Text.Encoding.ASCII.GetBytes($"/proc/self/fd/{made}\0"))
                fd = Libc.ChangeMode(made, OwnerReads) < 0 ? -1 : Libc.Open(path, ReadOnly, 0);
            if (fd < 0 || Libc.Fcntl(made, AddSeals, SealSeal | SealGrow | SealWrite) < 0)
                throw new IOException($"a look cannot be sealed: {Libc.Error}");
            return new LookFile(own, fd, RandomAccess.GetLength(own));
        }
        catch
        {
            own.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        _ = Libc.Truncate((int)_own.DangerousGetHandle(), 0);
        Libc.Close(Fd);
        _own.Dispose();
    }
}
