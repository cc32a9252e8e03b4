using System.Globalization;
using Accel.Wire;

namespace Accel.Testing.Script;

/// <summary>A segment as a script writes it: what is null is not said.</summary>
public sealed record SegmentSpec
{
    public required TcpFlags Flags { get; init; }

    public required uint From { get; init; }

    public required uint To { get; init; }

    /// <summary>Payload of each segment of a run; 0: one segment.</summary>
    public uint Step { get; init; }

    public uint? Ack { get; set; }

    public ushort? Window { get; set; }

    public bool WindowIsLeast { get; set; }

    public ushort? Urgent { get; set; }

    public byte? Ecn { get; set; }

    public bool CongestionExperienced { get; set; }

    public OptionSpec? Options { get; set; }

    /// <summary>The segments of a run one by one; PSH, FIN and URG are the last one's.</summary>
    public IEnumerable<SegmentSpec> Each()
    {
        if (Step == 0 || To - From <= Step)
            return [this with { Step = 0 }];
        var all = new List<SegmentSpec>();
        for (var at = From; at != To;)
        {
            var end = To - at <= Step ? To : at + Step;
            var flags = end == To ? Flags : Flags & ~(TcpFlags.Psh | TcpFlags.Fin);
            all.Add(this with { From = at, To = end, Step = 0, Flags = flags });
            at = end;
        }
        return all;
    }

    public static SegmentSpec Parse(string text)
    {
        OptionSpec? options = null;
        var open = text.IndexOf('<');
        if (open >= 0)
        {
            var close = text.IndexOf('>', open);
            options = OptionSpec.Parse(text[(open + 1)..close]);
            text = text[..open] + " " + text[(close + 1)..];
        }
        var words = new Queue<string>(text.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        var flags = FlagsOf(words.Dequeue());
        var (from, to, step) = Run(words.Dequeue());
        var spec = new SegmentSpec { Flags = flags, From = from, To = to, Step = step, Options = options };
        while (words.TryDequeue(out var word))
            spec.Take(word, words);
        return spec;
    }

    void Take(string word, Queue<string> rest)
    {
        switch (word)
        {
            case "ack":
                Ack = Number(rest.Dequeue());
                break;
            case "win":
                WindowIsLeast = rest.Peek() == ">=";
                if (WindowIsLeast)
                    rest.Dequeue();
                Window = (ushort)Number(rest.Dequeue());
                break;
            case "urg":
                Urgent = (ushort)Number(rest.Dequeue());
                break;
            case "ect0":
                Ecn = 2;
                break;
            case "notect":
                Ecn = 0;
                break;
            case "ce":
                CongestionExperienced = true;
                break;
            default:
                throw new FormatException($"a segment has no '{word}'");
        }
    }

    static (uint From, uint To, uint Step) Run(string text)
    {
        uint step = 0;
        if (text.Split('/') is [var run, var each])
            (text, step) = (run, Number(each));
        return text.Split(':') is [var from, var to]
            ? (Number(from), Number(to), step)
            : (Number(text), Number(text), step);
    }

    /// <summary>Negative numbers wrap: what is before the SYN can be written too.</summary>
    public static uint Number(string text) => unchecked((uint)long.Parse(text, CultureInfo.InvariantCulture));

    static TcpFlags FlagsOf(string text)
    {
        var flags = TcpFlags.None;
        foreach (var letter in text)
        {
            flags |= letter switch
            {
                'S' => TcpFlags.Syn,
                'F' => TcpFlags.Fin,
                'R' => TcpFlags.Rst,
                'P' => TcpFlags.Psh,
                '.' => TcpFlags.Ack,
                'U' => TcpFlags.Urg,
                'E' => TcpFlags.Ece,
                'W' => TcpFlags.Cwr,
                '-' => TcpFlags.None,
                _ => throw new FormatException($"no flag is '{letter}' in '{text}'"),
            };
        }
        return flags;
    }
}
