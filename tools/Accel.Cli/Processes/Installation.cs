namespace Accel.Cli.Processes;

/// <summary>Where the built things are: this program lies in artifacts/bin/Accel.Cli/release.</summary>
public static class Installation
{
    private static readonly string Artifacts = FindArtifacts();

    /// <summary>ACCEL_LIBRARY names another build to measure.</summary>
    public static string Library =>
        Environment.GetEnvironmentVariable("ACCEL_LIBRARY") ?? Path.Combine(Artifacts, "lib", "libaccel.so");

    /// <summary>Where each tool has a folder of its own.</summary>
    public static string Bin => Path.Combine(Artifacts, "bin");

    public static string StackDump => Path.Combine(Bin, "Accel.StackDump", "release", "stackdump");

    public static string Daemon => Path.Combine(Bin, "Accel.Daemon", "release", "acceld");

    /// <summary>The folder of the sources that tools need where they lie.</summary>
    public static string Tools => Path.Combine(Path.GetDirectoryName(Artifacts)!, "tools");

    public static string Profiles => Path.Combine(Tools, "profiles");

    /// <summary>A load program of tools/bench.</summary>
    public static string LoadProgram(string name) => Path.Combine(Artifacts, "bench", name);

    /// <summary>What is missing for a measurement, or null.</summary>
    public static string? Missing(IEnumerable<string> programs)
    {
        if (!File.Exists(Library)) return $"{Library} is not built: run tools/build";
        string[] absent = [.. programs.Where(p => Find(p) is null)];
        return absent.Length == 0 ? null : $"not installed: {string.Join(", ", absent)}: run tools/setup";
    }

    /// <summary>The program's path. Debian keeps servers in /usr/sbin, which users often have not in PATH.</summary>
    public static string? Find(string program)
    {
        if (program.Contains('/')) return File.Exists(program) ? program : null;
        string path = Environment.GetEnvironmentVariable("PATH") + ":/usr/sbin:/usr/local/sbin";
        return path.Split(':', StringSplitOptions.RemoveEmptyEntries)
            .Select(folder => Path.Combine(folder, program)).FirstOrDefault(File.Exists);
    }

    private static string FindArtifacts()
    {
        for (DirectoryInfo? d = new(AppContext.BaseDirectory); d is not null; d = d.Parent)
            if (d.Name == "artifacts") return d.FullName;
        return Path.Combine(AppContext.BaseDirectory, "artifacts");
    }
}
