using System.Text;

namespace Accel.Testing.Script;

/// <summary>What was expected and what happened, line by line, for the message of a failure.</summary>
sealed class ScriptTranscript
{
    const int Shown = 30;
    const int Column = 64;

    readonly List<(long At, string Script, string Stack)> _rows = [];
    int _matched;

    public void Clear()
    {
        _rows.Clear();
        _matched = 0;
    }

    /// <summary>A line of the script that is no segment of the stack.</summary>
    public void Line(long at, ScriptLine line)
    {
        _matched = _rows.Count + 1;
        _rows.Add((at, Bare(line), ""));
    }

    public void Sent(long at, string segment) => _rows.Add((at, "", "> " + segment));

    /// <summary>The oldest segment without a line has found its line.</summary>
    public void Matched(long at, ScriptLine line)
    {
        for (; _matched < _rows.Count; _matched++)
        {
            if (_rows[_matched].Stack == "" || _rows[_matched].Script != "")
                continue;
            _rows[_matched] = _rows[_matched] with { Script = Bare(line) };
            _matched++;
            return;
        }
    }

    public string Failure(ScriptLine? line, string reason)
    {
        var text = new StringBuilder();
        text.AppendLine(line == null ? reason : $"line {line.Number}: {line.Text}\n  {reason}");
        text.AppendLine($"  {"time",9}  {"script",-Column}  stack");
        foreach (var (at, script, stack) in _rows.TakeLast(Shown))
            text.AppendLine($"  {ScriptTime.Text(at),9}  {script,-Column}  {stack}");
        if (line != null)
            text.AppendLine($"  {"!!",9}  {Bare(line)}");
        return text.ToString();
    }

    static string Bare(ScriptLine line) => line.Text[line.Text.IndexOf(' ', StringComparison.Ordinal)..].Trim();
}
