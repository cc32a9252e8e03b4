using System.Globalization;
using System.IO.Enumeration;
using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Microsoft.Win32.SafeHandles;

namespace Accel.Inspect;

/// <summary>
/// A region's file as a process holds it: reached through /proc/PID/fd, so that there is no registry to go stale.
/// </summary>
public sealed record RegionFile(int Pid, int Descriptor, RegionHeader Header)
{
    /// <summary>The file itself, whoever holds it, and the user who made it: the header may say anything.</summary>
    public FileIdentity Identity { get; init; }

    /// <summary>The names of the memory files, which /proc shows, and what they hold.</summary>
    private static readonly Dictionary<string, RegionKind> Kinds = new()
    {
        ["/memfd:accel-stack (deleted)"] = RegionKind.Stack,
        ["/memfd:accel-local (deleted)"] = RegionKind.Local,
        ["/memfd:accel-nic (deleted)"] = RegionKind.Nic,
    };

    /// <summary>The regions that a process holds; what cannot be used goes into <paramref name="refusals"/>.</summary>
    public static IEnumerable<RegionFile> Of(int pid, ICollection<string> refusals) =>
        Of(pid, Descriptors(pid), refusals);

    /// <summary>The same of some of its descriptors.</summary>
    public static IEnumerable<RegionFile> Of(int pid, IEnumerable<int> descriptors, ICollection<string> refusals)
    {
        foreach (int descriptor in descriptors)
        {
            string entry = $"/proc/{pid}/fd/{descriptor}";
            if (ProcLink.Target(entry, "/memfd:accel-"u8) is not { } target
                || !Kinds.TryGetValue(target, out RegionKind kind))
                continue;
            string name = target["/memfd:".Length..^" (deleted)".Length];
            RegionHeader header;
            FileIdentity identity;
            try
            {
                using SafeFileHandle file = FileIdentity.OpenMemory(entry, out identity);
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
                yield return new(pid, descriptor, header with { OwnerUid = identity.Uid }) { Identity = identity };
        }
    }

    /// <summary>A copy of the region's first bytes; zeros behind its end, wherever that lies.</summary>
    public SparseCopy Copy(long bytes)
    {
        using SafeFileHandle file = Open();
        return new SparseCopy(file, bytes);
    }

    /// <summary>The region again. Throws if its process has closed it meanwhile.</summary>
    public SafeFileHandle Open()
    {
        SafeFileHandle file = FileIdentity.OpenMemory($"/proc/{Pid}/fd/{Descriptor}", out FileIdentity identity);
        if (identity == Identity) return file;
        file.Dispose();
        throw new IOException("the process has put another file in its place");
    }

    private static bool TryReadHeader(SafeFileHandle file, out RegionHeader header)
    {
        header = default;
        Span<byte> bytes = MemoryMarshal.AsBytes(new Span<RegionHeader>(ref header));
        return RandomAccess.Read(file, bytes, 0) == bytes.Length && header.Magic != 0;
    }

    /// <summary>All that a process has open; none if it has ended meanwhile, or is not ours to look at.</summary>
    internal static int[] Descriptors(int pid) => Descriptors(pid, static () => true, out _);

    /// <summary>The same, as long as the caller wants more.</summary>
    internal static int[] Descriptors(int pid, Func<bool> goOn, out bool isDenied)
    {
        isDenied = false;
        try
        {
            return
            [
                .. new FileSystemEnumerable<int>($"/proc/{pid}/fd", Number, Everything).Where(d => d >= 0)
                    .TakeWhile(_ => goOn()),
            ];
        }
        catch (UnauthorizedAccessException)
        {
            isDenied = true;
            return [];
        }
        catch (IOException)
        {
            return [];
        }
    }

    private static readonly EnumerationOptions Everything = new() { AttributesToSkip = 0, IgnoreInaccessible = false };

    private static int Number(ref FileSystemEntry entry) =>
        int.TryParse(entry.FileName, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : -1;
}
