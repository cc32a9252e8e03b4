using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Accel.Inspect;

/// <summary>Where in a sparse file there is something.</summary>
internal static partial class FileData
{
    private const int SeekData = 3, SeekHole = 4;

    /// <summary>The next byte with data, or -1.</summary>
    public static long Next(SafeFileHandle file, long from) => Seek(file, from, SeekData);

    /// <summary>The next byte without, or -1.</summary>
    public static long NextHole(SafeFileHandle file, long from) => Seek(file, from, SeekHole);

    [LibraryImport("libc", EntryPoint = "lseek", SetLastError = true)]
    private static partial long Seek(SafeFileHandle file, long offset, int whence);
}
