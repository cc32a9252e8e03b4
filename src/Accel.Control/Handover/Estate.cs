using System.Diagnostics;
using Accel.Control.Native;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;

namespace Accel.Control.Handover;

/// <summary>
/// The two regions in which a stack's connections are, mapped when it came: when its last process was killed, nobody
/// else has them, if it was honest. The mapping is private and what is written stays here: the reader of a ring keeps
/// notes in it.
/// </summary>
internal sealed unsafe class Estate : IDisposable
{
    private const string NicName = "/memfd:accel-nic (deleted)", LocalName = "/memfd:accel-local (deleted)";
    private const int ProtectReadWrite = 3, MapPrivate = 2, MapNoReserve = 0x4000;
    private const int GetSeals = 1034, SealShrink = 2;

    /// <summary>No local region is larger (ACCEL_LOCAL_MB): there is room for those of all stacks.</summary>
    private const long MostBytes = 16L << 30;

    /// <summary>A process may hold a million files, each with such a name: the looking ends.</summary>
    private const long MostMilliseconds = 500;

    private readonly Part _nic, _local;

    private readonly record struct Part(nint At, nint Bytes, int File);

    private Estate(Part nic, Part local)
    {
        _nic = nic;
        _local = local;
    }

    public NicRegion Nic => new((byte*)_nic.At);

    /// <summary>Not mapped if none was found: then the connections can only be reset.</summary>
    public LocalRegion Local => new((byte*)_local.At);

    /// <summary>
    /// Bytes of memory that the rings' owner took for them. Reading what it did not would take memory here.
    /// </summary>
    public ulong LocalBytesInUse => _local.At == 0 ? 0 : MemoryFile.BytesInUse(_local.File);

    /// <summary>Finds and maps the regions of a stack in one of its processes. Null without a network region.</summary>
    public static Estate? Of(int pid, ulong stackId)
    {
        Part nic = default, local = default;
        long began = Stopwatch.GetTimestamp();
        try
        {
            foreach (string path in Directory.EnumerateFiles($"/proc/{pid}/fd"))
            {
                string? target = new FileInfo(path).LinkTarget;
                if (target == NicName && nic.At == 0)
                    nic = Map(path, RegionKind.Nic, stackId);
                else if (target == LocalName && local.At == 0)
                    local = Map(path, RegionKind.Local, stackId);
                if ((nic.At != 0 && local.At != 0)
                    || Stopwatch.GetElapsedTime(began).TotalMilliseconds > MostMilliseconds)
                    break;
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

    private static Part Map(string path, RegionKind kind, ulong stackId)
    {
        int file = MemoryFile.Open(path);
        if (file < 0)
            return default;
        Part found = Map(file, kind, stackId);
        if (found.At == 0)
            Libc.Close(file);
        return found;
    }

    private static Part Map(int file, RegionKind kind, ulong stackId)
    {
        // Without the seal its owner could cut it short while it is read here.
        const int end = 2;
        if ((Libc.Fcntl(file, GetSeals, 0) & SealShrink) == 0)
            return default;
        long bytes = Libc.Seek(file, 0, end);
        if (kind == RegionKind.Nic ? bytes != NicRegion.SizeBytes : bytes < LocalRegion.FixedBytes || bytes > MostBytes)
            return default;
        nint at = Libc.Map(0, (nint)bytes, ProtectReadWrite, MapPrivate | MapNoReserve, file, 0);
        if (at == -1)
            return default;
        RegionHeader header = *(RegionHeader*)at;
        if (RegionHeader.Refusal(header, kind, LayoutHash.Value) == null && header.SizeBytes == (ulong)bytes
            && header.StackId == stackId)
            return new Part(at, (nint)bytes, file);
        Libc.Unmap(at, (nint)bytes);
        return default;
    }

    /// <summary>From now on no word of the arena's leads out of the mapping.</summary>
    public void Fence()
    {
        if (Local.IsMapped)
            Local.Confine(_local.Bytes);
    }

    public void Dispose()
    {
        foreach (Part part in (ReadOnlySpan<Part>)[_nic, _local])
        {
            if (part.At == 0)
                continue;
            Libc.Unmap(part.At, part.Bytes);
            Libc.Close(part.File);
        }
    }
}
