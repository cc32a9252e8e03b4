namespace Accel.Stat.Screen;

/// <summary>What is on the screen.</summary>
public enum Page
{
    Stacks,
    Stack,
    Socket,
}

/// <summary>What the person at the keyboard has chosen. A key leads to the next state; nothing else does.</summary>
public sealed record ScreenState(Figure Sort, bool Reverse)
{
    /// <summary>Rows that a page key moves by.</summary>
    private const int PageRows = 10;

    public Page Page { get; init; }

    /// <summary>The stack that was entered.</summary>
    public string? StackId { get; init; }

    /// <summary>The row of the list on the page; never beyond its end.</summary>
    public int Row { get; init; }

    /// <summary>Only stacks and sockets whose line contains this.</summary>
    public string Filter { get; init; } = "";

    /// <summary>Keys go into the filter.</summary>
    public bool IsTyping { get; init; }

    public bool IsOver { get; init; }

    /// <summary>The state after a key.</summary>
    /// <param name="key">The key.</param>
    /// <param name="rows">Rows in the list.</param>
    /// <param name="stackId">Of the chosen row, on the page of stacks.</param>
    public ScreenState After(ConsoleKeyInfo key, int rows, string? stackId)
    {
        if (IsTyping) return Typed(key);
        int last = Math.Max(0, rows - 1);
        return (key.Key, key.KeyChar) switch
        {
            (ConsoleKey.UpArrow, _) or (_, 'k') => this with { Row = Math.Clamp(Row - 1, 0, last) },
            (ConsoleKey.DownArrow, _) or (_, 'j') => this with { Row = Math.Clamp(Row + 1, 0, last) },
            (ConsoleKey.PageUp, _) => this with { Row = Math.Clamp(Row - PageRows, 0, last) },
            (ConsoleKey.PageDown, _) => this with { Row = Math.Clamp(Row + PageRows, 0, last) },
            (ConsoleKey.Home, _) => this with { Row = 0 },
            (ConsoleKey.End, _) => this with { Row = last },
            (ConsoleKey.Enter, _) => Entered(rows, stackId),
            (ConsoleKey.Escape, _) or (ConsoleKey.Backspace, _) or (ConsoleKey.LeftArrow, _) => Left(),
            (_, 's') => this with { Sort = Next(1), Row = 0 },
            (_, 'S') => this with { Sort = Next(-1), Row = 0 },
            (_, 'r') => this with { Reverse = !Reverse },
            (_, '/') => this with { IsTyping = true, Filter = "" },
            (_, 'q') => this with { IsOver = true },
            _ => this,
        };
    }

    private ScreenState Typed(ConsoleKeyInfo key) => key.Key switch
    {
        ConsoleKey.Enter => this with { IsTyping = false, Row = 0 },
        ConsoleKey.Escape => this with { IsTyping = false, Filter = "", Row = 0 },
        ConsoleKey.Backspace => this with { Filter = Filter.Length == 0 ? "" : Filter[..^1] },
        _ => char.IsControl(key.KeyChar) ? this : this with { Filter = Filter + key.KeyChar, Row = 0 },
    };

    private ScreenState Entered(int rows, string? stackId) => Page switch
    {
        Page.Stacks when stackId is not null =>
            this with { Page = Page.Stack, StackId = stackId, Row = 0, Filter = "" },
        Page.Stack when rows > 0 => this with { Page = Page.Socket },
        _ => this,
    };

    private ScreenState Left() => Page switch
    {
        Page.Socket => this with { Page = Page.Stack },
        Page.Stack => this with { Page = Page.Stacks, StackId = null, Row = 0, Filter = "" },
        _ => this with { Filter = "" },
    };

    private Figure Next(int step)
    {
        int at = Array.IndexOf(Figures.All, Sort);
        return Figures.All[(at + step + Figures.All.Length) % Figures.All.Length];
    }
}
