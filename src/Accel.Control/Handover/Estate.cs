using Accel.Control.Native;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Microsoft.Win32.SafeHandles;

namespace Accel.Control.Handover;

/// <summary>
/// The two regions in which a stack's connections are, mapped when it came: when its last process was killed, nobody
/// else has them. The mapping is private and what is written stays here: the reader of a ring keeps notes in it.
/// </summary>
internal sealed unsafe class Estate : IDisposable
{
    private const string NicName = "/memfd:accel-nic (deleted)", LocalName = "/memfd:accel-local (deleted)";
    private const int ProtectReadWrite = 3, MapPrivate = 2, MapNoReserve = 0x4000;
    private const int GetSeals = 1034, SealShrink = 2;

    private readonly (nint At, nint Bytes) _nic, _local;

    private Estate((nint, nint) nic, (nint, nint) local)
    {
        _nic = nic;
        _local = local;
    }

    public NicRegion Nic => new((byte*)_nic.At);

    /// <summary>Not mapped if none was found: then the connections can only be reset.</summary>
    public LocalRegion Local => new((byte*)_local.At);

    /// <summary>Finds and maps the regions of a stack in one of its processes. Null without a network region.</summary>
    public static Estate? Of(int pid, ulong stackId)
    {
        (nint At, nint Bytes) nic = default, local = default;
        try
        {
            foreach (string path in Directory.EnumerateFiles($"/proc/{pid}/fd"))
            {
                string? target = new FileInfo(path).LinkTarget;
                if (target == NicName && nic.At == 0)
                    nic = Map(path, RegionKind.Nic, stackId);
                else if (target == LocalName && local.At == 0)
                    local = Map(path, RegionKind.Local, stackId);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It has gone already, or shows nothing.
        }
        var found = new Estate(nic, local);
        if (nic.At != 0)
            return found;
        found.Dispose();
        return null;
    }

    private static (nint At, nint Bytes) Map(string path, RegionKind kind, ulong stackId)
    {
        using SafeFileHandle file = File.OpenHandle(path, share: FileShare.ReadWrite);
        int fd = (int)file.DangerousGetHandle();
        // Without the seal its owner could cut it short while it is read here.
        if ((Libc.Fcntl(fd, GetSeals, 0) & SealShrink) == 0)
            return default;
        long bytes = RandomAccess.GetLength(file);
        if (bytes < (kind == RegionKind.Nic ? NicRegion.SizeBytes : LocalRegion.FixedBytes))
            return default;
        nint at = Libc.Map(0, (nint)bytes, ProtectReadWrite, MapPrivate | MapNoReserve, fd, 0);
        if (at == -1)
            return default;
        RegionHeader header = *(RegionHeader*)at;
        if (RegionHeader.Refusal(header, kind, LayoutHash.Value) == null && header.SizeBytes == (ulong)bytes
            && header.StackId == stackId && (kind != RegionKind.Nic || bytes == NicRegion.SizeBytes))
            return (at, (nint)bytes);
        Libc.Unmap(at, (nint)bytes);
        return default;
    }

    /// <summary>
    /// From now on no word of the arena's leads out of the mapping, whatever its owner wrote there: the page is this
    /// mapping's own once it was written to.
    /// </summary>
    public void Fence()
    {
        if (!Local.IsMapped)
            return;
        BufferArena* buffers = &Local.Tables->Buffers;
        buffers->FirstByte = Math.Max(buffers->FirstByte, (ulong)LocalRegion.FixedBytes);
        buffers->EndByte = Math.Min(buffers->EndByte, (ulong)_local.Bytes);
    }

    public void Dispose()
    {
        if (_nic.At != 0)
            Libc.Unmap(_nic.At, _nic.Bytes);
        if (_local.At != 0)
            Libc.Unmap(_local.At, _local.Bytes);
    }
}
