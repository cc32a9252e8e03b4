using System.Text.RegularExpressions;
using Accel.Cli.Manual;
using Accel.Cli.Processes;

namespace Accel.Cli.Tests;

/// <summary>The manual says what the code's tables and the tools' commands are now.</summary>
public sealed partial class ManualTests
{
    public static TheoryData<string> Files => [.. Pages.Names().Where(n => Page().IsMatch(n))];

    [Fact]
    public void PagesAreWhatTheTablesSay()
    {
        (string File, string Text)[] pages = [.. Pages.Render()];
        Assert.Equal(Files.Select(f => f.Data).Order(), pages.Select(p => p.File).Order());
        foreach ((string file, string text) in pages)
            Assert.True(File.ReadAllText(Path.Combine(Pages.Folder, file)) == text,
                $"tools/manual/{file} is stale: run tools/accel man --update");
    }

    [Theory]
    [MemberData(nameof(Files))]
    public void ManTakesThePageWithoutAWarning(string file)
    {
        if (Installation.Find("man") is null || Installation.Find("groff") is null)
            Assert.Skip("man-db and groff are not installed: run tools/setup");
        (int status, string output, string errors) = Tool.Try("man", "--warnings", "-E", "UTF-8", "-l",
            Path.Combine(Pages.Folder, file));
        Assert.Equal((0, ""), (status, errors));
        Assert.Contains("SEE ALSO", output);
    }

    [Theory]
    [MemberData(nameof(Files))]
    public void PagesNameOnlyPagesThatThereAre(string file)
    {
        string text = File.ReadAllText(Path.Combine(Pages.Folder, file)).Replace("\\-", "-", StringComparison.Ordinal);
        Assert.All(Reference().Matches(text).Select(m => $"{m.Groups[1].Value}.{m.Groups[2].Value}"),
            named => Assert.Contains(named, Files.Select(f => f.Data)));
    }

    [Fact]
    public void APageThatIsNotThereIsAnsweredWithThoseThatAre()
    {
        Assert.Null(Pages.Find("acel"));
        Assert.EndsWith("libaccel.7", Pages.Find("libaccel"));
        Assert.EndsWith("accel.1", Pages.Find("accel"));
    }

    [GeneratedRegex(@"^[\w-]+\.\d$")]
    private static partial Regex Page();

    [GeneratedRegex(@"\\fB([\w-]+)\\fR\((\d)\)")]
    private static partial Regex Reference();
}
