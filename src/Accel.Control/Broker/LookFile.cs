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

    private LookFile(SafeFileHandle own, long bytes) => (_own, Bytes) = (own, bytes);

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
            if (Libc.ChangeMode(made, OwnerReads) < 0
                || Libc.Fcntl(made, AddSeals, SealSeal | SealGrow | SealWrite) < 0)
                throw new IOException($"a look cannot be sealed: {Libc.Error}");
            return new LookFile(own, RandomAccess.GetLength(own));
        }
        catch
        {
            own.Dispose();
            throw;
        }
    }

    /// <summary>
    /// A descriptor to give away, or minus one: opened for each one anew, since those that were opened together share
    /// a position and flags that any of them can change.
    /// </summary>
    public unsafe int Open()
    {
        fixed (byte* path = System.Text.Encoding.ASCII.GetBytes($"/proc/self/fd/{(int)_own.DangerousGetHandle()}\0"))
            return Libc.Open(path, ReadOnly, 0);
    }

    public void Dispose()
    {
        _ = Libc.Truncate((int)_own.DangerousGetHandle(), 0);
        _own.Dispose();
    }
}
