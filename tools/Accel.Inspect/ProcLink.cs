using System.Runtime.InteropServices;
using System.Text;

namespace Accel.Inspect;

/// <summary>Where a link of /proc points: no objects for what is not wanted, there may be a million of them.</summary>
internal static partial class ProcLink
{
    /// <summary>Null if there is none, if it is not ours to see, or if it is something else than asked for.</summary>
    public static string? Target(string link, ReadOnlySpan<byte> prefix = default)
    {
        Span<byte> target = stackalloc byte[64];
        int length = (int)ReadLink(link, target, (nuint)target.Length);
        return length <= 0 || !target[..length].StartsWith(prefix) ? null : Encoding.UTF8.GetString(target[..length]);
    }

    /// <summary>The number of the socket that a descriptor is; null if it is none.</summary>
    public static string? Socket(int pid, int descriptor) =>
        Target($"/proc/{pid}/fd/{descriptor}", "socket:["u8) is { } socket ? socket["socket:[".Length..^1] : null;

    /// <summary>The network namespace of a process.</summary>
    public static string? Network(string process) => Target($"/proc/{process}/ns/net");

    [LibraryImport("libc", EntryPoint = "readlink", StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint ReadLink(string path, Span<byte> target, nuint size);
}
