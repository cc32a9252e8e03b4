using System.Text.RegularExpressions;
using Accel.Testing.Script;

namespace Accel.Packet.Tests;

/// <summary>Every script of Packets/ holds, except those that known.txt names; those fail.</summary>
public partial class PacketScriptTests
{
    const int Least = 120;

    static readonly string Root = Path.Combine(AppContext.BaseDirectory, "Packets");

    public static IEnumerable<TheoryDataRow<string>> Scripts => Names().Select(name => new TheoryDataRow<string>(name));

    [Theory, MemberData(nameof(Scripts))]
    public void Script_holds(string name)
    {
        var known = Known().GetValueOrDefault(name);
        try
        {
            PacketScript.Run(Path.Combine(Root, name));
        }
        catch (ScriptException) when (known != null)
        {
            return;
        }
        Assert.True(known == null, $"{name} holds now: take it out of Packets/known.txt");
    }

    [Fact]
    public void There_are_many() => Assert.InRange(Names().Count(), Least, int.MaxValue);

    [Fact]
    public void Each_says_first_what_it_proves() =>
        Assert.All(Names(), name => Assert.Matches(Title(), File.ReadLines(Path.Combine(Root, name)).First()));

    [Fact]
    public void Known_failures_are_scripts() => Assert.Empty(Known().Keys.Except(Names()));

    static IEnumerable<string> Names() =>
        Directory.EnumerateFiles(Root, "*.pkt", SearchOption.AllDirectories)
            .Select(path => Path.GetRelativePath(Root, path)).Order(StringComparer.Ordinal);

    static Dictionary<string, string> Known() =>
        File.ReadLines(Path.Combine(Root, "known.txt")).Where(line => line != "" && line[0] != '#')
            .Select(line => line.Split(' ', 2)).ToDictionary(pair => pair[0], pair => pair[1].Trim());

    // A document or an implementation that is followed, a colon, a sentence.
    [GeneratedRegex(@"^# .*(RFC \d+|Linux|tcp\(7\)|DESIGN).*: \w.*")]
    private static partial Regex Title();
}
