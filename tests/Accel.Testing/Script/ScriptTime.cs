using System.Globalization;

namespace Accel.Testing.Script;

/// <summary>The time column of a line: from when to when, in nanoseconds.</summary>
public readonly record struct ScriptTime(bool IsRelative, long From, long To)
{
    /// <summary>How far a segment may be off its time.</summary>
    const long Tolerance = VirtualClock.Millisecond;
    const long AnyTime = 3600 * VirtualClock.Second;

    public static ScriptTime Parse(string text)
    {
        if (text == "*")
            return new(true, 0, AnyTime);
        var isRelative = text.StartsWith('+');
        var (from, to) = text.TrimStart('+').Split('~') is [var low, var high] ? (low, high) : (text, text);
        return new(isRelative, Nanoseconds(from), Nanoseconds(to));
    }

    /// <summary>When a segment must come, earliest and latest.</summary>
    public (long Earliest, long Latest) Window(long last) =>
        (Start(last) - Tolerance, (IsRelative ? last + To : To) + Tolerance);

    /// <summary>When a line that is no segment of the stack happens.</summary>
    public long Start(long last) => IsRelative ? last + From : From;

    public static long Nanoseconds(string text) =>
        (long)Math.Round(double.Parse(text.TrimStart('+'), CultureInfo.InvariantCulture) * VirtualClock.Second);

    public static string Text(long ns) =>
        (ns / (double)VirtualClock.Second).ToString("0.000", CultureInfo.InvariantCulture);
}
