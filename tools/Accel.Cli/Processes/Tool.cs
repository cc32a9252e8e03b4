using System.Diagnostics;

namespace Accel.Cli.Processes;

/// <summary>A short command of the system's (ip, ethtool, sysctl) that is run to its end.</summary>
internal static class Tool
{
    public static string Run(params string[] command)
    {
        (int status, string output, string errors) = Try(command);
        return status == 0 ? output
            : throw new MeasurementException($"{string.Join(' ', command)}: {errors.Trim()} (status {status})");
    }

    public static (int Status, string Output, string Errors) Try(params string[] command)
    {
        string path = Installation.Find(command[0])
            ?? throw new MeasurementException($"{command[0]} is not installed: run tools/setup");
        using Process process = Process.Start(new ProcessStartInfo(path, command[1..])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output, errors.Result);
    }
}
