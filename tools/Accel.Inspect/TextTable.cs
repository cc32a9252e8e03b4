using System.Text;

namespace Accel.Inspect;

/// <summary>Columns as wide as their widest cell; the last one is as long as it likes.</summary>
public sealed class TextTable(params string[] titles)
{
    private readonly List<string[]> _rows = [titles];
    private readonly HashSet<int> _right = [];

    /// <summary>Columns of numbers.</summary>
    public TextTable Right(params int[] columns)
    {
        _right.UnionWith(columns);
        return this;
    }

    public void Add(params string[] cells) => _rows.Add(cells);

    public List<string> Lines(string indent = "")
    {
        int[] widths = [.. titles.Select((_, column) => _rows.Max(row => row[column].Length))];
        var lines = new List<string>();
        foreach (string[] row in _rows)
        {
            var line = new StringBuilder(indent);
            for (int i = 0; i < row.Length; i++)
            {
                bool last = i == row.Length - 1;
                line.Append(_right.Contains(i) ? row[i].PadLeft(widths[i]) : last ? row[i]
                    : row[i].PadRight(widths[i]));
                if (!last) line.Append("  ");
            }
            lines.Add(line.ToString());
        }
        return lines;
    }
}
