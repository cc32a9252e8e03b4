using System.Text;

namespace Accel.Cli.Manual;

/// <summary>
/// Pages in man(7), from the part of Markdown that our pages are written in: headings, paragraphs, lists, blocks of
/// commands, terms with definitions (": " under the term), `code`, **strong** and *names*.
/// </summary>
internal static class Roff
{
    /// <param name="name">Of the page.</param>
    /// <param name="section">Its number.</param>
    /// <param name="summary">What stands behind the name in a list of pages.</param>
    /// <param name="lines">The page's text.</param>
    public static string Page(string name, string section, string summary, IEnumerable<string> lines)
    {
        var page = new StringBuilder();
        page.Append(".\\\" Written by `accel man --update` from tools/manual/source and the code's tables.\n");
        page.Append($".TH {name.ToUpperInvariant()} {section} \"\" Accel \"Accel Manual\"\n.nh\n.ad l\n");
        page.Append($".SH NAME\n{Prose(name)} \\- {Prose(summary)}\n");
        new Writer(page).Write(lines);
        return page.ToString();
    }

    private sealed class Writer(StringBuilder page)
    {
        private readonly List<string> _paragraph = [];
        private bool _inBlock, _afterHeading;

        public void Write(IEnumerable<string> lines)
        {
            foreach (string line in lines) Take(line);
            Flush();
        }

        private void Take(string line)
        {
            if (line.StartsWith("```", StringComparison.Ordinal)) Block();
            else if (_inBlock) page.Append(Guarded(Code(line))).Append('\n');
            else if (line.StartsWith("## ", StringComparison.Ordinal)) Heading(".SH", line[3..].ToUpperInvariant());
            else if (line.StartsWith("### ", StringComparison.Ordinal)) Heading(".SS", line[4..]);
            else if (line.StartsWith("- ", StringComparison.Ordinal))
            {
                Flush();
                Item(".IP \\(bu 2\n");
                _paragraph.Add(line[2..]);
            }
            else if (line.StartsWith(": ", StringComparison.Ordinal))
            {
                string term = string.Join(' ', _paragraph);
                _paragraph.Clear();
                Item($".TP\n{Guarded(Prose(term))}\n");
                _paragraph.Add(line[2..]);
            }
            else if (line.Length == 0) Flush();
            else _paragraph.Add(line.Trim());
        }

        private void Heading(string macro, string text)
        {
            Flush();
            page.Append($"{macro} {Prose(text)}\n");
            _afterHeading = true;
        }

        private void Item(string start)
        {
            page.Append(start);
            _afterHeading = true;
        }

        private void Block()
        {
            Flush();
            page.Append(_inBlock ? ".EE\n.RE\n" : _afterHeading ? ".RS 4\n.EX\n" : ".PP\n.RS 4\n.EX\n");
            _inBlock = !_inBlock;
            _afterHeading = false;
        }

        private void Flush()
        {
            if (_paragraph.Count == 0) return;
            if (!_afterHeading) page.Append(".PP\n");
            foreach (string line in Wrapped(Prose(string.Join(' ', _paragraph))))
                page.Append(Guarded(line)).Append('\n');
            _paragraph.Clear();
            _afterHeading = false;
        }
    }

    private static IEnumerable<string> Wrapped(string text)
    {
        const int Width = 78;
        var line = new StringBuilder();
        foreach (string word in text.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            if (line.Length > 0 && line.Length + 1 + word.Length > Width)
            {
                yield return line.ToString();
                line.Clear();
            }
            if (line.Length > 0) line.Append(' ');
            line.Append(word);
        }
        if (line.Length > 0) yield return line.ToString();
    }

    /// <summary>A line that begins like a request is none.</summary>
    private static string Guarded(string line) => line.StartsWith('.') || line.StartsWith('\'') ? $"\\&{line}" : line;

    private static string Code(string text)
    {
        var escaped = new StringBuilder();
        foreach (char c in text)
            escaped.Append(c switch { '\\' => "\\e", '-' => "\\-", '^' => "\\(ha", '~' => "\\(ti", '`' => "\\(ga",
                '\'' => "\\(aq", _ => c.ToString() });
        return escaped.ToString();
    }

    private static string Prose(string text)
    {
        var prose = new StringBuilder();
        string[] parts = text.Split('`');
        for (int i = 0; i < parts.Length; i++)
            prose.Append(i % 2 == 1 ? $"\\fB{Code(parts[i])}\\fR" : Marked(parts[i]));
        return prose.ToString();
    }

    private static string Marked(string text)
    {
        var marked = new StringBuilder();
        string[] strong = text.Split("**");
        for (int i = 0; i < strong.Length; i++)
        {
            string[] names = strong[i].Split('*');
            for (int j = 0; j < names.Length; j++)
            {
                string plain = names[j].Replace("\\", "\\e", StringComparison.Ordinal)
                    .Replace("^", "\\(ha", StringComparison.Ordinal).Replace("~", "\\(ti", StringComparison.Ordinal);
                marked.Append(j % 2 == 1 ? $"\\fI{plain}\\fR" : i % 2 == 1 ? $"\\fB{plain}\\fR" : plain);
            }
        }
        return marked.ToString();
    }
}
