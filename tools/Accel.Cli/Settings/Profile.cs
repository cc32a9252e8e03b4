using Accel.Cli.Processes;
using Accel.Core.Stack;

namespace Accel.Cli.Settings;

/// <summary>
/// A file of options for a purpose, as `accel run --profile` reads it: the first line says what it is for, each option
/// has its reason in the comment above it.
/// </summary>
public sealed record Profile(string Name, string Purpose, IReadOnlyList<(string Option, string Value, string Reason)>
    Settings)
{
    private const string Suffix = ".profile";

    public static IEnumerable<string> Names() => Directory.EnumerateFiles(Installation.Profiles, $"*{Suffix}")
        .Select(f => Path.GetFileName(f)[..^Suffix.Length]).Order(StringComparer.Ordinal);

    /// <summary>The profile of that name; null, and what is wrong, if there is none or it is no profile.</summary>
    public static Profile? Read(string name, out string? complaint)
    {
        string file = Path.Combine(Installation.Profiles, name + Suffix);
        complaint = $"no profile '{name}'; there are: {string.Join(' ', Names())}";
        if (name.Contains('/') || !File.Exists(file)) return null;
        Profile profile = Parse(name, File.ReadAllLines(file), out complaint);
        return complaint is null ? profile : null;
    }

    /// <summary>Reads the lines; the first thing that is wrong goes into <paramref name="complaint"/>.</summary>
    public static Profile Parse(string name, IEnumerable<string> lines, out string? complaint)
    {
        var settings = new List<(string, string, string)>();
        var comment = new List<string>();
        string? purpose = null;
        bool isUsed = false; // options without a line between them have one reason
        complaint = null;
        foreach (string line in lines)
        {
            if (line.Length == 0 || (isUsed && line.StartsWith('#')))
            {
                comment.Clear();
                isUsed = false;
            }
            if (line.StartsWith('#'))
            {
                string text = line[1..].Trim();
                if (purpose is null) purpose = text;
                else comment.Add(text);
                continue;
            }
            if (line.Length == 0) continue;
            complaint ??= Complaint(name, line);
            string[] parts = line.Split('=', 2);
            settings.Add((parts[0], parts.Length > 1 ? parts[1] : "", string.Join(' ', comment)));
            isUsed = true;
        }
        return new(name, purpose ?? "", settings);
    }

    private static string? Complaint(string name, string line)
    {
        int equals = line.IndexOf('=', StringComparison.Ordinal);
        if (equals < 0) return $"profile {name}: not NAME=VALUE: {line}";
        OptionRow row = OptionTable.Rows.FirstOrDefault(r => r.Name == line[..equals]);
        if (row.Name is null) return $"profile {name}: no option {line[..equals]}";
        return OptionTable.Parse(row, line[(equals + 1)..], out _) is { } bad ? $"profile {name}: {bad}" : null;
    }
}
