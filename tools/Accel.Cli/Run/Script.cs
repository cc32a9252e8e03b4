using System.Diagnostics;
using Accel.Cli.Processes;

namespace Accel.Cli.Run;

/// <summary>tools/accel-run, for who calls accel-cli itself.</summary>
internal static class Script
{
    /// <summary>Runs it on our own terminal, and ends as it ends.</summary>
    public static int Become(string[] arguments)
    {
        using Process process = Process.Start(Path.Combine(Installation.Tools, "accel-run"), arguments);
        process.WaitForExit();
        return process.ExitCode;
    }
}
