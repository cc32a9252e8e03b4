using System.Text.RegularExpressions;
using Accel.HeaderGen;

namespace Accel.House.Tests;

/// <summary>The built library against the tables it is made from.</summary>
[Trait("stage", "abi")]
public partial class AbiTests
{
    [Fact]
    public void Header_of_the_exports_is_the_one_generated() =>
        House.SameAsFile("shim/managed.h", ExportHeader.Write(House.ShimAssembly));

    [Fact]
    public void Library_exports_the_intercepted_calls_and_nothing_else()
    {
        var rows = CallRow().Matches(House.Read("shim/calls.def")).Select(m => m.Groups[1].Value).ToList();
        var exported = House.Run("nm", ["-D", "--defined-only", House.Library]).Split('\n')
            .Where(l => l.Length > 0).Select(l => l.Split(' ').Last()).ToList();
        House.None(rows.GroupBy(r => r).Where(g => g.Count() > 1).Select(g => $"{g.Key} has two rows"), "Keep one.");
        House.None(rows.Except(exported).Select(r => $"{r}: a row in calls.def, but libaccel.so does not export it"),
            "Define it in C with default visibility.");
        House.None(exported.Except(rows).Select(e => $"{e}: exported, but no row in calls.def"),
            "shim/exports.sh exports the rows of calls.def only.");
        House.None(exported.Where(e => e.Contains('@')), "A named version does not stand in for libc's symbol.");
    }

    [Fact]
    public void Library_needs_libc_alone()
    {
        var needed = Needed().Matches(House.Run("readelf", ["-d", House.Library])).Select(m => m.Groups[1].Value);
        House.None(needed.Where(n => !n.StartsWith("libc.so", StringComparison.Ordinal)
            && !n.StartsWith("ld-linux", StringComparison.Ordinal)).Select(n => $"needs {n}"),
            "A preloaded object brings its libraries into every program.");
    }

    [Fact]
    public void Library_is_bound_at_load_and_stays()
    {
        var dynamic = House.Run("readelf", ["-d", House.Library]);
        Assert.Contains("BIND_NOW", dynamic, StringComparison.Ordinal);
        Assert.Contains("NODELETE", dynamic, StringComparison.Ordinal);
    }

    /// <summary>The C code's own calls must not end in the stubs that answer the runtime.</summary>
    [Fact]
    public void Stubs_for_the_runtime_are_for_the_runtime_only()
    {
        var stubs = Wrapped().Matches(House.Read("shim/Accel.Shim.csproj")).Select(m => m.Groups[1].Value).ToHashSet();
        Assert.NotEmpty(stubs);
        House.None(
            from file in Directory.EnumerateFiles(House.Path("artifacts/obj/Accel.Shim/c"), "*.o")
            from line in House.Run("nm", ["-u", file]).Split('\n')
            where stubs.Contains(line.Trim().Split(' ').Last())
            select $"{Path.GetFileName(file)} calls {line.Trim().Split(' ').Last()}",
            "Call libc's through accel_real, or __real_NAME.");
    }

    [GeneratedRegex(@"--wrap=(\w+)")]
    private static partial Regex Wrapped();

    [GeneratedRegex(@"^\s*CALL[A-Z_0-9]*\([^,]*,\s*(\w+)", RegexOptions.Multiline)]
    private static partial Regex CallRow();

    [GeneratedRegex(@"\(NEEDED\).*\[(.+)\]")]
    private static partial Regex Needed();
}
