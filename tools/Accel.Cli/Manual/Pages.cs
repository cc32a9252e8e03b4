using System.Text.RegularExpressions;
using Accel.Cli.Processes;

namespace Accel.Cli.Manual;

/// <summary>
/// The pages of the manual: a text in tools/manual/source for each, in which a line {{NAME}} stands for what a table of
/// the code has to say, and the page in tools/manual that comes of it.
/// </summary>
public static partial class Pages
{
    public static string Folder => Path.Combine(Installation.Tools, "manual");

    /// <summary>All pages as they should be: file name and text.</summary>
    public static IEnumerable<(string File, string Text)> Render()
    {
        string[] sources = Directory.GetFiles(Path.Combine(Folder, "source"), "*.md");
        foreach (string source in sources.Order(StringComparer.Ordinal))
        {
            string[] lines = File.ReadAllLines(source);
            Match title = Title().Match(lines[0]);
            if (!title.Success)
                throw new FormatException($"{source}: the first line is not `# NAME(SECTION): SUMMARY`");
            (string name, string section) = (title.Groups[1].Value, title.Groups[2].Value);
            IEnumerable<string> text = lines.Skip(1).SelectMany(line => Expand(line, source));
            yield return ($"{name}.{section}", Roff.Page(name, section, title.Groups[3].Value, text));
        }
    }

    /// <summary>The page's file; null if there is none of that name.</summary>
    public static string? Find(string page) => Directory.Exists(Folder)
        ? Directory.GetFiles(Folder, $"{page}.[0-9]").Concat(Directory.GetFiles(Folder))
            .FirstOrDefault(f => Path.GetFileName(f) == page || Path.GetFileNameWithoutExtension(f) == page) : null;

    public static IEnumerable<string> Names() => Directory.GetFiles(Folder).Select(f => Path.GetFileName(f)!)
        .Order(StringComparer.Ordinal);

    private static IEnumerable<string> Expand(string line, string source)
    {
        Match directive = Directive().Match(line);
        if (!directive.Success) return [line];
        return Tables.Of(directive.Groups[1].Value, directive.Groups[2].Value)
            ?? throw new FormatException($"{source}: there is no table for {line}");
    }

    [GeneratedRegex(@"^# ([\w-]+)\((\d)\): (.+)$")]
    private static partial Regex Title();

    [GeneratedRegex(@"^\{\{([\w-]+)(?: ([\w-]+))?\}\}$")]
    private static partial Regex Directive();
}
