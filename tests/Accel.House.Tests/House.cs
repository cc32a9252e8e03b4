using System.Diagnostics;
using System.Reflection;

namespace Accel.House.Tests;

/// <summary>Where things are, and what every house test needs.</summary>
static class House
{
    public static readonly string Root = Metadata("Root");

    /// <summary>ACCEL_UPDATE=1: what is generated is written instead of compared.</summary>
    public static readonly bool Update = Environment.GetEnvironmentVariable("ACCEL_UPDATE") == "1";

    public static string Path(string relative) => System.IO.Path.Combine(Root, relative);

    public static string Read(string relative) => File.ReadAllText(Path(relative));

    /// <summary>The built assembly of a room.</summary>
    public static string Assembly(string project, string name, string pivot = "") =>
        System.IO.Path.Combine(Metadata("Bin"), project, Metadata("Configuration").ToLowerInvariant() + pivot, name);

    public static string ShimAssembly => Assembly("Accel.Shim", "libaccel.dll", "_linux-x64");

    public static string Library => Path("artifacts/lib/libaccel.so");

    /// <summary>The sources of the tree, by extension, without what is built.</summary>
    public static IEnumerable<string> Sources(params string[] extensions) =>
        from room in new[] { "src", "shim", "tools", "tests", "integration" }
        where Directory.Exists(Path(room))
        from file in Directory.EnumerateFiles(Path(room), "*", SearchOption.AllDirectories)
        where extensions.Contains(System.IO.Path.GetExtension(file))
        let relative = System.IO.Path.GetRelativePath(Root, file)
        where !relative.Split('/').Any(part => part is "bin" or "obj" or "artifacts")
        orderby relative
        select relative;

    /// <summary>A generated file is what the code says now; with ACCEL_UPDATE=1 it is made so.</summary>
    public static void SameAsFile(string relative, string expected)
    {
        if (Update)
        {
            File.WriteAllText(Path(relative), expected);
            return;
        }
        var found = File.Exists(Path(relative)) ? Read(relative) : "";
        if (found == expected)
            return;
        var was = found.Split('\n');
        var now = expected.Split('\n');
        var line = 0;
        while (line < was.Length && line < now.Length && was[line] == now[line])
            line++;
        Assert.Fail($"{relative} is stale from line {line + 1}: it has\n  {was.ElementAtOrDefault(line)}\n"
            + $"the code says\n  {now.ElementAtOrDefault(line)}\n"
            + "Run: ACCEL_UPDATE=1 tools/check house abi, and build again");
    }

    public static void None(IEnumerable<string> violations, string advice)
    {
        var list = violations.ToList();
        if (list.Count > 0)
            Assert.Fail($"{string.Join('\n', list.Take(60))}\n{list.Count} in all. {advice}");
    }

    /// <summary>Runs a program and returns what it prints on both outputs; it must end with 0.</summary>
    public static string Run(string program, IEnumerable<string> arguments, string? preload = null)
    {
        var start = new ProcessStartInfo(program) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);
        if (preload != null)
            start.Environment["LD_PRELOAD"] = preload;
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync();
        var text = process.StandardOutput.ReadToEnd() + errors.Result;
        process.WaitForExit();
        if (process.ExitCode != 0)
            Assert.Fail($"{program} {string.Join(' ', start.ArgumentList)} ended with {process.ExitCode}:\n{text}");
        return text;
    }

    static string Metadata(string key) => typeof(House).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
        .First(a => a.Key == key).Value!;
}
