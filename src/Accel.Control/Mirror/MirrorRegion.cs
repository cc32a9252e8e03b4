using System.Security.Cryptography;
using System.Text;
using Accel.Control.Native;
using Accel.Core.Ip;

namespace Accel.Control.Mirror;

/// <summary>The memory of a mirror: written here, read-only for everybody who is given its descriptor.</summary>
internal sealed unsafe class MirrorRegion : IDisposable
{
    private readonly byte* _address;

    public MirrorRegion()
    {
        const uint Cloexec = 1, AllowSealing = 2;
        const int AddSeals = 1033, SealShrink = 2, SealGrow = 4, SealFutureWrite = 16, ReadOnlyCloexec = 0x80000;
        int fd;
        fixed (byte* name = "accel-net\0"u8)
            fd = Libc.MemfdCreate(name, Cloexec | AllowSealing);
        if (fd < 0)
            throw new ControlException($"no memory for the mirror: {Libc.Error}");
        try
        {
            const int ReadWrite = 3, Shared = 1;
            if (Libc.Truncate(fd, NetLimits.SizeBytes) < 0)
                throw new ControlException($"no memory for the mirror: {Libc.Error}");
            nint address = Libc.Map(0, (nint)NetLimits.SizeBytes, ReadWrite, Shared, fd, 0);
            if (address == -1)
                throw new ControlException($"the mirror cannot be mapped: {Libc.Error}");
            _address = (byte*)address;
            // Our mapping stays writable, later ones are not. A descriptor that was opened for reading only would not
            // be enough by itself: whoever has it could open the file again through /proc.
            if (Libc.Fcntl(fd, AddSeals, SealFutureWrite | SealShrink | SealGrow) < 0)
                throw new ControlException($"the mirror cannot be sealed: {Libc.Error}");
            fixed (byte* path = Encoding.ASCII.GetBytes($"/proc/self/fd/{fd}\0"))
                Fd = Libc.Open(path, ReadOnlyCloexec, 0);
            if (Fd < 0)
                throw new ControlException($"the mirror cannot be opened for reading: {Libc.Error}");
        }
        catch
        {
            Dispose();
            throw;
        }
        finally
        {
            Libc.Close(fd);
        }
        Writer = new NetTablesWriter(_address, BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8)) | 1,
            Environment.ProcessId, Libc.UserId(), (DateTime.UtcNow - DateTime.UnixEpoch).Ticks * 100);
    }

    /// <summary>Open for reading.</summary>
    public int Fd { get; } = -1;

    public NetTablesWriter Writer { get; }

    public void Dispose()
    {
        if (_address != null)
            Libc.Unmap((nint)_address, (nint)NetLimits.SizeBytes);
        if (Fd >= 0)
            Libc.Close(Fd);
    }
}
