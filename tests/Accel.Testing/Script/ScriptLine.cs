namespace Accel.Testing.Script;

/// <summary>A line of a script, parsed.</summary>
public sealed record ScriptLine(int Number, string Text, ScriptTime Time)
{
    /// <summary>'&gt;' the stack sends, '?' it may send, '&lt;' the peer sends, 'c' a call of the program or the test.
    /// </summary>
    public char Kind { get; private init; } = 'c';

    public SegmentSpec? Segment { get; private init; }

    public string[] Words { get; private init; } = [];

    public static IReadOnlyList<ScriptLine> ParseAll(string[] lines)
    {
        var parsed = new List<ScriptLine>();
        for (var i = 0; i < lines.Length; i++)
        {
            if (lines[i].Trim() is { Length: > 0 } text && !text.StartsWith('#'))
                parsed.Add(Parse(i + 1, text));
        }
        return parsed;
    }

    static ScriptLine Parse(int number, string text)
    {
        try
        {
            var comment = text.IndexOf(" #", StringComparison.Ordinal);
            var bare = comment < 0 ? text : text[..comment].TrimEnd();
            var words = bare.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            var line = new ScriptLine(number, text, ScriptTime.Parse(words[0]));
            if (words[1] is not (">" or "<" or "?>"))
                return line with { Words = words[1..] };
            var segment = bare[words[0].Length..].TrimStart()[words[1].Length..];
            return line with { Kind = words[1][0], Segment = SegmentSpec.Parse(segment) };
        }
        catch (Exception e) when (e is FormatException or IndexOutOfRangeException or ArgumentOutOfRangeException
            or InvalidOperationException or OverflowException)
        {
            throw new ScriptException($"line {number} cannot be read: {text}\n{e.Message}");
        }
    }
}
