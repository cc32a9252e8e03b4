namespace Accel.Stat.Screen;

/// <summary>
/// A list of which some rows and some columns are on the screen: the rows about the chosen one, and of the columns
/// those that matter most, as far as there is room.
/// </summary>
/// <param name="columns">In the order in which they stand.</param>
/// <param name="rows">Rows in all.</param>
/// <param name="chosen">The chosen row.</param>
sealed class ScreenTable(IReadOnlyList<ScreenTable.Column> columns, int rows, int chosen)
{
    /// <param name="Title">Above it.</param>
    /// <param name="Rank">The lower, the sooner it has its place.</param>
    /// <param name="IsNumber">To the right.</param>
    /// <param name="Cell">The text in a row.</param>
    public sealed record Column(string Title, int Rank, bool IsNumber, Func<int, string> Cell);

    public IEnumerable<ScreenLine> Lines(int width, int height)
    {
        (int first, int end) = Window(Math.Max(1, height - 1));
        var shown = new List<(Column Column, int Width)>();
        int left = width - 1;
        foreach (Column column in columns.OrderBy(c => c.Rank))
        {
            int wanted = column.Title.Length;
            for (int i = first; i < end; i++) wanted = Math.Max(wanted, column.Cell(i).Length);
            // A text may be cut off, a number may not.
            int least = column.IsNumber || shown.Count == 0 ? wanted : Math.Min(wanted, 12);
            if (least > left) continue;
            shown.Add((column, Math.Min(wanted, left)));
            left -= Math.Min(wanted, left) + 1;
        }
        shown = [.. shown.OrderBy(s => columns.ToList().IndexOf(s.Column))];
        yield return new(Line(shown, c => c.Title), ScreenLine.Title);
        for (int i = first; i < end; i++)
        {
            int row = i;
            string line = Line(shown, c => c.Cell(row));
            yield return i == chosen ? new(line.PadRight(width - 1), ScreenLine.Chosen) : new(line, ScreenLine.Plain);
        }
    }

    private static string Line(List<(Column Column, int Width)> shown, Func<Column, string> text) =>
        string.Join(' ', shown.Select(s => Fitted(text(s.Column), s.Width, s.Column.IsNumber))).TrimEnd();

    private static string Fitted(string text, int width, bool isNumber) =>
        text.Length > width ? $"{text[..(width - 1)]}>" : isNumber ? text.PadLeft(width) : text.PadRight(width);

    /// <summary>The part of a long list that has the chosen row in it.</summary>
    private (int First, int End) Window(int visible)
    {
        int first = Math.Clamp(chosen - visible / 2, 0, Math.Max(0, rows - visible));
        return (first, Math.Min(rows, first + visible));
    }
}
