using System.Text.Json.Nodes;
using Accel.Core.Nic;
using Accel.Inspect;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Accel.Stat.Screen;

/// <summary>One look, drawn as the state asks for it.</summary>
public sealed class Picture
{
    /// <summary>Figures of the page of stacks; the others are on a stack's own page.</summary>
    private static readonly string[] Columns =
    [
        "nic", "local", "kernel", "accepts", "connects", "bytes_in", "bytes_out", "calls_in", "calls_out",
        "retransmits", "drops", "doorbells", "wakeups", "sleeps", "cpu", "spin", "useful", "lock_waits", "buffers",
    ];

    private readonly Sample _sample;
    private readonly ScreenState _state;
    private readonly int _height;
    private readonly StackReading[] _stacks;
    private readonly List<(SocketView View, SocketLine Line)> _sockets = [];

    public Picture(Machine machine, Sample sample, ScreenState state, int height)
    {
        _sample = sample;
        _state = state;
        _height = Math.Max(8, height);
        _stacks = [.. Reports.Sorted(sample, state.Sort, state.Reverse).Where(s => Has(Reports.Owners(s), s.Id))];
        if (state.Page == Page.Stacks)
        {
            Rows = _stacks.Length;
            Body = Stacks();
            return;
        }
        StackReading? reading = sample.Stacks.FirstOrDefault(s => s.Id == state.StackId);
        StackView? stack = machine.Stacks.FirstOrDefault(s => $"{s.Id:x16}" == state.StackId);
        if (reading is null || stack is null)
        {
            Body = new Markup("[yellow]this stack has gone: all of its processes have ended[/] (Esc: back)");
            return;
        }
        FindSockets(machine, stack);
        Rows = _sockets.Count;
        Body = state.Page == Page.Stack ? Stack(reading) : Socket(machine, stack);
    }

    /// <summary>Rows in the list of the page.</summary>
    public int Rows { get; }

    public IRenderable Body { get; }

    /// <summary>The stack in the chosen row.</summary>
    public string? ChosenStack => _stacks.Length == 0 ? null : _stacks[Math.Min(_state.Row, _stacks.Length - 1)].Id;

    private bool Has(params string[] texts) => _state.Filter.Length == 0
        || texts.Any(t => t.Contains(_state.Filter, StringComparison.OrdinalIgnoreCase));

    private Rows Stacks()
    {
        Table table = NewTable();
        Figure[] shown = [.. Columns.Select(c => Figures.Find(c)!)];
        foreach (Figure f in shown)
            table.AddColumn(new TableColumn(new Markup(f == _state.Sort ? $"[bold]{f.Title}[/]" : f.Title))
                .RightAligned().NoWrap());
        table.AddColumn(new TableColumn("processes").NoWrap());
        (int first, int end) = Window(_stacks.Length, _height - 4);
        for (int i = first; i < end; i++)
        {
            StackReading s = _stacks[i];
            table.AddRow([.. shown.Select(f => Cell(Numbers.Text(_sample.Value(s, f), f, _sample.HasRates), i)),
                Cell(Reports.Owners(s), i)]);
        }
        string all = $"{_stacks.Length} stack{(_stacks.Length == 1 ? "" : "s")}, by {_state.Sort.Name}"
            + (_state.Reverse ? " (smallest first)" : "");
        return new Rows((IEnumerable<IRenderable>)[Head(all), table,
            .. _sample.Refusals.Take(3).Select(r => new Text(r)),
            Foot("Enter: into a stack  s S: sort  r: reverse  /: filter  q: quit")]);
    }

    private Rows Stack(StackReading stack)
    {
        Table processes = NewTable("pid", "name", "state", "cpu");
        Figure cpu = Figures.Find("cpu")!;
        foreach (ProcessReading p in stack.Processes.Take(8))
        {
            string state = p.State == "running" ? p.State : $"[yellow]{p.State}[/]";
            processes.AddRow($"{p.Pid}", Markup.Escape(p.Name), state,
                Numbers.Text(_sample.Cpu(stack, p), cpu, _sample.HasRates));
        }
        Table figures = NewTable("figure", "now");
        foreach (Figure f in Figures.All.Where(f => _sample.Value(stack, f) != 0))
            figures.AddRow(f.Name, Numbers.Text(_sample.Value(stack, f), f, _sample.HasRates));
        Table drops = NewTable("drop", "total", _sample.HasRates ? "per s" : "");
        foreach ((string name, long total) in stack.Dropped.Where(d => d.Value != 0))
            drops.AddRow(name, $"{total}", _sample.HasRates ? Numbers.Short(_sample.Drop(stack, name)) : "");
        Table reasons = NewTable("on the kernel, why", "sockets");
        foreach ((string why, int sockets) in stack.KernelReasons) reasons.AddRow(Markup.Escape(why), $"{sockets}");
        var above = new Grid().AddColumns(3);
        above.AddRow(new Rows(processes, reasons), figures, drops);
        int taken = Math.Max(stack.Processes.Count, Figures.All.Count(f => _sample.Value(stack, f) != 0)) + 9;
        return new Rows(Head($"stack {stack.Id} of user {stack.Uid}, {_sockets.Count} sockets"), above,
            SocketTable(Math.Max(5, _height - taken)),
            Foot("Enter: into a socket  Esc: back  /: filter  q: quit"));
    }

    private Table SocketTable(int height)
    {
        Table table = NewTable("state", "recv-q", "send-q", "local", "peer", "process", "path and why");
        (int first, int end) = Window(_sockets.Count, height);
        for (int i = first; i < end; i++)
        {
            (SocketView view, SocketLine line) = _sockets[i];
            string process = view.Holders.Count == 0 ? "-"
                : $"{view.Holders[0].Process.Name},{view.Holders[0].Process.Pid},{view.Holders[0].Descriptor}";
            table.AddRow([.. ((string[])[line.State, $"{line.ReceiveQueue}", $"{line.SendQueue}", line.Local,
                line.Remote, process, line.Path]).Select(text => Cell(text, i))]);
        }
        return table;
    }

    private unsafe Rows Socket(Machine machine, StackView stack)
    {
        if (_sockets.Count == 0) return new Rows(Head("no such socket"), Foot("Esc: back"));
        (SocketView view, SocketLine line) = _sockets[Math.Min(_state.Row, _sockets.Count - 1)];
        var table = NewTable("field", "value");
        void Row(string name, string value) => table.AddRow(name, Markup.Escape(value));
        Row("state", line.State);
        Row("local", line.Local);
        Row("peer", line.Remote);
        Row("path and why", line.Path);
        Row("recv-q", $"{line.ReceiveQueue}");
        Row("send-q", $"{line.SendQueue}");
        Row("descriptors", string.Join(' ', view.Holders.Select(h => $"{h.Process.Pid}:{h.Descriptor}")));
        if (line.Block >= 0 && machine.Nic(stack) is { } nic)
        {
            NicBlock* block = nic.Region.BlockAt(line.Block);
            foreach ((string name, JsonNode? value) in TcpText.Info(in block->Tcb, machine.NowNs))
                Row(name, $"{value}");
        }
        return new Rows(Head($"socket {view.Index} of stack {_state.StackId}"), table,
            Foot("up, down: other sockets  Esc: back  q: quit"));
    }

    /// <summary>Only those that can be on the screen are asked the kernel about.</summary>
    private void FindSockets(Machine machine, StackView stack)
    {
        foreach (SocketView view in stack.Sockets())
        {
            SocketLine line = SocketLine.Of(machine, view);
            if (Has(line.State, line.Local, line.Remote, line.Path,
                string.Join(' ', view.Holders.Select(h => $"{h.Process.Name},{h.Process.Pid},{h.Descriptor}"))))
                _sockets.Add((view, line));
        }
    }

    /// <summary>The part of a long list that has the chosen row in it.</summary>
    private (int First, int End) Window(int rows, int height)
    {
        int visible = Math.Max(1, height);
        int first = Math.Clamp(_state.Row - visible / 2, 0, Math.Max(0, rows - visible));
        return (first, Math.Min(rows, first + visible));
    }

    private string Cell(string text, int row) =>
        row == _state.Row ? $"[invert]{Markup.Escape(text)}[/]" : Markup.Escape(text);

    private Markup Head(string text) => new($"[bold]accelstat[/]  {Markup.Escape(text)}"
        + (_sample.HasRates ? "  (per second)" : "  (totals)")
        + (_state.Filter.Length > 0 || _state.IsTyping ? $"  filter: {Markup.Escape(_state.Filter)}" : "")
        + (_state.IsTyping ? "_" : ""));

    private static Markup Foot(string text) => new($"[grey]{Markup.Escape(text)}[/]");

    private static Table NewTable(params string[] titles)
    {
        var table = new Table { Border = TableBorder.None };
        foreach (string title in titles) table.AddColumn(new TableColumn(title).NoWrap());
        return table;
    }
}
