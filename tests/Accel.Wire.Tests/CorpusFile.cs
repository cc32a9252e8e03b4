namespace Accel.Wire.Tests;

/// <summary>
/// An input that is kept. Lines: <c># why it is here</c>, <c>= the frame in words</c> (not of inputs that are no
/// frames), then hexadecimal digits.
/// </summary>
sealed record CorpusFile(string Name, string? Text, byte[] Bytes)
{
    static readonly string Folder = Path.Combine(AppContext.BaseDirectory, "Corpus");

    public static readonly IReadOnlyList<CorpusFile> All =
        [.. Directory.EnumerateFiles(Folder, "*.hex", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
            .Select(Read)];

    public static CorpusFile Named(string name) => All.Single(f => f.Name == name);

    static CorpusFile Read(string path)
    {
        var lines = File.ReadAllLines(path);
        Assert.True(lines[0].StartsWith("# ", StringComparison.Ordinal), $"{path}: the first line says why it is here");
        var text = lines.FirstOrDefault(l => l.StartsWith("= ", StringComparison.Ordinal))?[2..];
        var digits = string.Concat(lines.Where(l => l.Length > 0 && l[0] is not ('#' or '='))).Replace(" ", "");
        return new(Path.GetRelativePath(Folder, path), text, Convert.FromHexString(digits));
    }
}
