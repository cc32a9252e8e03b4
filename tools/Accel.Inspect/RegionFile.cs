using System.Runtime.InteropServices;
using System.Text;
using Accel.Core.Memory;
using Microsoft.Win32.SafeHandles;

namespace Accel.Inspect;

/// <summary>
/// A region's file as a process holds it: reached through /proc/PID/fd, so that there is no registry to go stale.
/// </summary>
public sealed partial record RegionFile(int Pid, int Descriptor, RegionHeader Header)
{
    /// <summary>The names of the memory files, which /proc shows, and what they hold.</summary>
    private static readonly Dictionary<string, RegionKind> Kinds = new()
    {
        ["/memfd:accel-stack (deleted)"] = RegionKind.Stack,
        ["/memfd:accel-local (deleted)"] = RegionKind.Local,
        ["/memfd:accel-nic (deleted)"] = RegionKind.Nic,
    };

    /// <summary>The regions that a process holds; what cannot be used goes into <paramref name="refusals"/>.</summary>
    public static IEnumerable<RegionFile> Of(int pid, ICollection<string> refusals)
    {
        foreach (string entry in Entries(pid))
        {
            if (!int.TryParse(Path.GetFileName(entry), out int descriptor)) continue;
            if (Target(entry) is not { } target || !Kinds.TryGetValue(target, out RegionKind kind)) continue;
            string name = target["/memfd:".Length..^" (deleted)".Length];
            RegionHeader header;
            try
            {
                using SafeFileHandle file = File.OpenHandle(entry);
                if (!TryReadHeader(file, out header)) continue; // being made just now
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                refusals.Add($"{name} of process {pid}: {e.Message}");
                continue;
            }
            if (RegionHeader.Refusal(header, kind, LayoutHash.Value) is { } refusal)
                refusals.Add($"{name} of process {pid}: {refusal}");
            else
                yield return new(pid, descriptor, header);
        }
    }

    /// <summary>A copy of the region's first bytes; zeros behind its end, wherever that lies.</summary>
    public SparseCopy Copy(long bytes)
    {
        using SafeFileHandle file = File.OpenHandle($"/proc/{Pid}/fd/{Descriptor}");
        return new SparseCopy(file, bytes);
    }

    private static bool TryReadHeader(SafeFileHandle file, out RegionHeader header)
    {
        header = default;
        Span<byte> bytes = MemoryMarshal.AsBytes(new Span<RegionHeader>(ref header));
        return RandomAccess.Read(file, bytes, 0) == bytes.Length && header.Magic != 0;
    }

    private static string[] Entries(int pid)
    {
        try
        {
            return Directory.GetFileSystemEntries($"/proc/{pid}/fd");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return []; // ended meanwhile, or somebody else's: not ours to look at
        }
    }

    private static string? Target(string link)
    {
        // Of thousands of descriptors a few are regions: no objects for the others.
        Span<byte> target = stackalloc byte[64];
        int length = (int)ReadLink(link, target, (nuint)target.Length);
        return length <= 0 || !target.StartsWith("/memfd:accel-"u8) ? null : Encoding.UTF8.GetString(target[..length]);
    }

    [LibraryImport("libc", EntryPoint = "readlink", StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint ReadLink(string path, Span<byte> target, nuint size);
}
