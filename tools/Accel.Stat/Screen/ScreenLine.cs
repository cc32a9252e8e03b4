using Spectre.Console;

namespace Accel.Stat.Screen;

/// <summary>A line of the screen, in one style.</summary>
public readonly record struct ScreenLine(string Text, Style Style)
{
    public static readonly Style Plain = Style.Plain, Title = new(decoration: Decoration.Bold),
        Chosen = new(decoration: Decoration.Invert), Hint = new(Color.Grey), Warning = new(Color.Yellow);

    /// <summary>No longer than the screen is wide; its last column stays free, where terminals differ.</summary>
    public ScreenLine Within(int width)
    {
        int most = Math.Max(1, width - 1);
        return Text.Length <= most ? this : this with { Text = most < 8 ? Text[..most] : $"{Text[..(most - 1)]}>" };
    }

    /// <summary>Items side by side, as many as a line takes, with two blanks between them.</summary>
    public static IEnumerable<ScreenLine> Flow(IEnumerable<string> items, int width, Style style)
    {
        string line = "";
        foreach (string item in items)
        {
            if (line.Length > 0 && line.Length + 2 + item.Length > width - 1)
            {
                yield return new(line, style);
                line = "";
            }
            line = line.Length == 0 ? item : $"{line}  {item}";
        }
        if (line.Length > 0) yield return new(line, style);
    }
}
