using System.Text.RegularExpressions;

namespace Accel.House.Tests;

/// <summary>What a reader should not have to put up with.</summary>
public partial class TidyTests
{
    const int MaxLines = 600;
    const int MaxColumns = 120;

    static readonly string[] Code = [".cs", ".c", ".h"];

    [Fact]
    public void Files_are_short() => House.None(
        from file in House.Sources(Code)
        let lines = File.ReadLines(House.Path(file)).Count()
        where lines > MaxLines
        select $"{file}: {lines} lines", $"At {MaxLines} lines, find the noun inside that wants its own file.");

    [Fact]
    public void Lines_are_short() => House.None(
        Lines(Code).Where(l => l.Text.Length > MaxColumns).Select(l => $"{l.Where}: {l.Text.Length} columns"),
        $"Break it: {MaxColumns} columns at most.");

    [Fact]
    public void No_tabs_and_nothing_trailing() => House.None(
        Lines(Code).Where(l => l.Text.Contains('\t') || l.Text.EndsWith(' ')).Select(l => l.Where),
        "Indent with spaces, end where the text ends.");

    [Fact]
    public void Nothing_is_left_to_do() => House.None(
        from line in Lines([.. Code, ".md", ".sh", ".def"])
        where Unfinished().IsMatch(line.Text)
        select $"{line.Where}: {line.Text.Trim()}",
        "Do it, or open an issue.");

    [Fact]
    public void No_code_is_commented_out() => House.None(
        Lines(Code).Where(l => CommentedOut().IsMatch(l.Text)).Select(l => $"{l.Where}: {l.Text.Trim()}"),
        "Delete it: the history has it.");

    static IEnumerable<(string Where, string Text)> Lines(string[] extensions) =>
        from file in House.Sources(extensions)
        from line in File.ReadLines(House.Path(file)).Select((text, i) => (Where: $"{file}:{i + 1}", Text: text))
        select line;

    // Spelled so that this file does not find itself.
    [GeneratedRegex(@"\b(TO" + @"DO|FIX" + @"ME|XX" + @"X|HA" + @"CK)\b|NotImplemented" + "Exception")]
    private static partial Regex Unfinished();

    // A comment that ends like a statement, and has what prose has not: a call, an assignment or a declaration.
    [GeneratedRegex(@"^\s*//(?!/)\s*((if|for|while|return|var|int|uint|long|static|public)\b.*|\S+\(.*\)|\S+\s*=\s*\S+)"
        + @";\s*$")]
    private static partial Regex CommentedOut();
}
