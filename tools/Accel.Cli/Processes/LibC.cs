using System.Runtime.InteropServices;

namespace Accel.Cli.Processes;

/// <summary>The one call that .NET's Process has not: a signal other than SIGKILL.</summary>
internal static partial class LibC
{
    public const int SigKill = 9, SigTerm = 15;

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    public static partial int Kill(int pid, int signal);
}
