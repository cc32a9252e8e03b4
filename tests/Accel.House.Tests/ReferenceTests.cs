using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;

namespace Accel.House.Tests;

/// <summary>Which room may use which, and how little of the framework the rooms need.</summary>
public class ReferenceTests
{
    static readonly string[] Framework =
    [
        "System.Runtime", "System.Runtime.InteropServices", "System.Runtime.Intrinsics", "System.Memory",
        "System.Threading", "System.Numerics.Vectors", "System.Runtime.CompilerServices.Unsafe",
        "System.Runtime.Extensions", "System.Collections",
    ];

    [Theory]
    [InlineData("Accel.Wire", "Accel.Wire.dll", "", new string[0])]
    [InlineData("Accel.Core", "Accel.Core.dll", "", new[] { "Accel.Wire" })]
    [InlineData("Accel.Posix", "Accel.Posix.dll", "", new[] { "Accel.Core", "Accel.Wire" })]
    [InlineData("Accel.Os", "Accel.Os.dll", "", new[] { "Accel.Core", "Accel.Wire" })]
    [InlineData("Accel.Shim", "libaccel.dll", "_linux-x64",
        new[] { "Accel.Core", "Accel.Posix", "Accel.Os", "Accel.Wire" })]
    public void Room_uses_only_the_rooms_below_it(string project, string name, string pivot, string[] rooms)
    {
        using var file = new PEReader(File.OpenRead(House.Assembly(project, name, pivot)));
        var reader = file.GetMetadataReader();
        var used = reader.AssemblyReferences.Select(h => reader.GetString(reader.GetAssemblyReference(h).Name));
        House.None(used.Except(rooms).Except(Framework).Select(u => $"{project} uses {u}"),
            "Put the code into the room that may, or ask Core for an interface.");
    }

    [Fact]
    public void Memory_knows_nothing_above_it() => House.None(
        from file in House.Sources(".cs")
        where file.StartsWith("src/Accel.Core/Memory/", StringComparison.Ordinal)
        from line in File.ReadLines(House.Path(file)).Select((text, i) => (text, i))
        where line.text.Contains("Accel.Core.Local") || line.text.Contains("Accel.Core.Stack")
        select $"{file}:{line.i + 1}: {line.text.Trim()}", "Memory is below Local and Stack.");

    /// <summary>The protocol machines know neither sockets nor links: what they need comes as an argument.</summary>
    [Fact]
    public void Protocols_know_only_memory_and_formats() => House.None(
        from file in House.Sources(".cs")
        where file.StartsWith("src/Accel.Core/Tcp/", StringComparison.Ordinal)
        from line in File.ReadLines(House.Path(file)).Select((text, i) => (text, i))
        where line.text.StartsWith("using Accel.Core.", StringComparison.Ordinal)
            && !line.text.StartsWith("using Accel.Core.Memory", StringComparison.Ordinal)
        select $"{file}:{line.i + 1}: {line.text.Trim()}", "Tcp sees Memory and Wire.");

    [Fact]
    public void Local_does_not_know_the_stack() => House.None(
        from file in House.Sources(".cs")
        where file.StartsWith("src/Accel.Core/Local/", StringComparison.Ordinal)
        from line in File.ReadLines(House.Path(file)).Select((text, i) => (text, i))
        where line.text.StartsWith("using Accel.Core.Stack", StringComparison.Ordinal)
        select $"{file}:{line.i + 1}: {line.text.Trim()}", "Local sees Memory; Stack sees all.");
}
