using System.Text.Json.Nodes;
using Accel.Core.Nic;
using Accel.Inspect;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Accel.Stat.Screen;

/// <summary>One look, drawn as the state asks for it, on a screen of any size.</summary>
public sealed class Picture
{
    /// <summary>Figures of the page of stacks, those that matter most first where there is no room for all.</summary>
    private static readonly string[] Ranked =
    [
        "cpu", "bytes_in", "bytes_out", "nic", "local", "kernel", "spin", "useful", "calls_in", "calls_out", "drops",
        "retransmits", "accepts", "connects", "doorbells", "wakeups", "sleeps", "lock_waits", "buffers",
    ];

    private readonly Sample _sample;
    private readonly ScreenState _state;
    private readonly int _width;
    private readonly StackReading[] _stacks;
    private readonly List<(SocketView View, SocketLine Line)> _sockets = [];
    private readonly List<ScreenLine> _lines = [];

    public Picture(Machine machine, Sample sample, ScreenState state, int width, int height)
    {
        _sample = sample;
        _state = state;
        _width = Math.Max(20, width);
        height = Math.Max(4, height);
        _stacks = [.. Reports.Sorted(sample, state.Sort, state.Reverse).Where(s => Has(Reports.Owners(s), s.Id))];
        StackReading? reading = sample.Stacks.FirstOrDefault(s => s.Id == state.StackId);
        StackView? stack = machine.Stacks.FirstOrDefault(s => $"{s.Id:x16}" == state.StackId);
        string foot;
        if (state.Page == Page.Stacks)
        {
            Rows = _stacks.Length;
            foot = Stacks(height);
        }
        else if (reading is null || stack is null)
        {
            Head("this stack has gone: all of its processes have ended");
            foot = "q: quit  Esc: back";
        }
        else
        {
            FindSockets(machine, stack);
            Rows = _sockets.Count;
            foot = state.Page == Page.Stack ? Stack(reading, height) : Socket(machine, stack);
        }
        Lines = [.. _lines.Take(height - 1).Append(new(foot, ScreenLine.Hint)).Select(l => l.Within(_width))];
    }

    /// <summary>Rows in the list of the page.</summary>
    public int Rows { get; }

    /// <summary>No more and no longer ones than the screen has.</summary>
    public IReadOnlyList<ScreenLine> Lines { get; }

    public IRenderable Body => new Rows(Lines.Select(l => new Text(l.Text, l.Style)));

    /// <summary>The stack in the chosen row.</summary>
    public string? ChosenStack => _stacks.Length == 0 ? null : _stacks[Math.Min(_state.Row, _stacks.Length - 1)].Id;

    private bool Has(params string[] texts) => _state.Filter.Length == 0
        || texts.Any(t => t.Contains(_state.Filter, StringComparison.OrdinalIgnoreCase));

    private string Stacks(int height)
    {
        Head($"{_stacks.Length} stack{(_stacks.Length == 1 ? "" : "s")}, by {_state.Sort.Name}"
            + (_state.Reverse ? " (smallest first)" : ""));
        if (_stacks.Length == 0) Say("no accelerated process that this user may look at", ScreenLine.Plain);
        ScreenTable.Column Of(Figure f) => new(f == _state.Sort ? $"{f.Title}*" : f.Title,
            f == _state.Sort ? 0 : 2 + Array.IndexOf(Ranked, f.Name), true, row => Text(_stacks[row], f));
        var table = new ScreenTable(
            [.. Figures.All.Where(f => f == _state.Sort || Ranked.Contains(f.Name)).Select(Of),
                new("seen", 30, false, row => _stacks[row].Seen),
                new("processes", 1, false, row => Reports.Owners(_stacks[row]))],
            _stacks.Length, _state.Row);
        ScreenLine[] refusals = [.. _sample.Refusals.Take(3).Concat(_sample.Unseen is { } unseen ? [unseen] : [])
            .Select(r => new ScreenLine(r, ScreenLine.Warning))];
        if (_stacks.Length > 0) _lines.AddRange(table.Lines(_width, height - _lines.Count - 1 - refusals.Length));
        _lines.AddRange(refusals);
        return "q: quit  Enter: into a stack  s S: sort  r: reverse  /: filter";
    }

    private string Stack(StackReading stack, int height)
    {
        Head($"{_sockets.Count} sockets of stack {stack.Id}, user {stack.Uid}"
            + (stack.IsForeign ? ", as acceld shows it" : ""));
        Figure cpu = Figures.Find("cpu")!;
        List<ScreenLine> above =
        [
            .. ScreenLine.Flow(stack.Processes.Take(8).Select(p => $"{p.Pid} {p.Name} {p.State} "
                + Numbers.Text(_sample.Cpu(stack, p), cpu, _sample.HasRates)), _width,
                stack.Processes.All(p => p.State == "running") ? ScreenLine.Plain : ScreenLine.Warning),
            .. ScreenLine.Flow(Figures.All.Where(f => _sample.Value(stack, f) != 0)
                .Select(f => $"{f.Name} {Text(stack, f)}"), _width, ScreenLine.Plain),
            .. ScreenLine.Flow(stack.Dropped.Where(d => d.Value != 0).Select(d => $"dropped: {d.Key} {d.Value}"
                + (_sample.HasRates ? $" ({Numbers.Short(_sample.Drop(stack, d.Key))}/s)" : "")), _width,
                ScreenLine.Warning),
            .. stack.KernelReasons.Select(r => new ScreenLine($"on the kernel: {r.Value}, {r.Key}", ScreenLine.Plain)),
        ];
        // The sockets have the lower half at least.
        int room = Math.Max(1, height / 2 - 1);
        if (above.Count > room) above = [.. above.Take(room - 1), new("...", ScreenLine.Hint)];
        _lines.AddRange(above);
        _lines.AddRange(SocketTable().Lines(_width, height - _lines.Count - 1));
        return "q: quit  Enter: into a socket  Esc: back  /: filter";
    }

    private ScreenTable SocketTable()
    {
        ScreenTable.Column Of(string title, int rank, bool isNumber, Func<SocketView, SocketLine, string> text) =>
            new(title, rank, isNumber, row => text(_sockets[row].View, _sockets[row].Line));
        return new(
        [
            Of("state", 1, false, (_, l) => l.State),
            Of("recv-q", 5, true, (_, l) => $"{l.ReceiveQueue}"),
            Of("send-q", 6, true, (_, l) => $"{l.SendQueue}"),
            Of("local", 2, false, (_, l) => l.Local),
            Of("peer", 0, false, (_, l) => l.Remote),
            Of("process", 4, false, (v, _) => v.Holders.Count == 0 ? "-"
                : $"{v.Holders[0].Process.Name},{v.Holders[0].Process.Pid},{v.Holders[0].Descriptor}"),
            Of("path and why", 3, false, (_, l) => l.Path),
        ], _sockets.Count, _state.Row);
    }

    private unsafe string Socket(Machine machine, StackView stack)
    {
        const string Foot = "q: quit  up, down: other sockets  Esc: back";
        if (_sockets.Count == 0)
        {
            Head("no such socket");
            return Foot;
        }
        (SocketView view, SocketLine line) = _sockets[Math.Min(_state.Row, _sockets.Count - 1)];
        Head($"socket {view.Index} of stack {_state.StackId}");
        foreach ((string name, string value) in ((string, string)[])[("state", line.State), ("local", line.Local),
            ("peer", line.Remote), ("path and why", line.Path), ("recv-q", $"{line.ReceiveQueue}"),
            ("send-q", $"{line.SendQueue}"),
            ("descriptors", string.Join(' ', view.Holders.Select(h => $"{h.Process.Pid}:{h.Descriptor}")))])
            Say($"{name,-12} {value}", ScreenLine.Plain);
        if (line.Block >= 0 && machine.Nic(stack) is { } nic)
        {
            NicBlock* block = nic.Region.BlockAt(line.Block);
            _lines.AddRange(ScreenLine.Flow(TcpText.Info(in block->Tcb, stack.NowNs)
                .Select((KeyValuePair<string, JsonNode?> f) => $"{f.Key} {f.Value}"), _width, ScreenLine.Plain));
        }
        return Foot;
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

    private string Text(StackReading stack, Figure f) => Numbers.Text(_sample.Value(stack, f), f, _sample.HasRates);

    private void Say(string text, Style style) => _lines.Add(new(text, style));

    private void Head(string text) => Say($"accelstat  {text}" + (_sample.HasRates ? "  (per second)" : "  (totals)")
        + (_state.Filter.Length > 0 || _state.IsTyping ? $"  filter: {_state.Filter}" : "")
        + (_state.IsTyping ? "_" : ""), ScreenLine.Title);
}
