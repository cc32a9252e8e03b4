using Accel.Wire;

namespace Accel.Testing.Script;

/// <summary>The options of a segment as a script writes them.</summary>
public sealed record OptionSpec
{
    public TcpOptionKinds Kinds { get; private set; }

    /// <summary>Null in all that follows: any value.</summary>
    public ushort? Mss { get; private set; }

    public byte? WindowScale { get; private set; }

    public bool Timestamps => Kinds.HasFlag(TcpOptionKinds.Timestamps);

    /// <summary>Timestamps are named as absent.</summary>
    public bool NoTimestamps { get; private set; }

    public uint? TsVal { get; private set; }

    public uint? TsEcr { get; private set; }

    /// <summary>TSecr is the TSval of the segment that the stack sent at this time.</summary>
    public long? TsEcrOfTime { get; private set; }

    public IReadOnlyList<(uint Left, uint Right)> Sacks { get; private set; } = [];

    public static OptionSpec Parse(string text)
    {
        var spec = new OptionSpec();
        if (text.Trim() == "")
            spec.NoTimestamps = true;
        foreach (var option in text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
            spec.Take(option.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        return spec;
    }

    void Take(string[] words)
    {
        switch (words[0])
        {
            case "mss":
                Kinds |= TcpOptionKinds.Mss;
                Mss = words.Length > 1 ? ushort.Parse(words[1]) : null;
                break;
            case "wscale":
                Kinds |= TcpOptionKinds.WindowScale;
                WindowScale = words.Length > 1 ? byte.Parse(words[1]) : null;
                break;
            case "sackOK":
                Kinds |= TcpOptionKinds.SackPermitted;
                break;
            case "nots":
                NoTimestamps = true;
                break;
            case "ts":
                Kinds |= TcpOptionKinds.Timestamps;
                TakeTimestamps(words.AsSpan(1));
                break;
            case "sack":
                Kinds |= TcpOptionKinds.Sack;
                Sacks = [.. words[1..].Select(w => w.Split(':'))
                    .Select(p => (SegmentSpec.Number(p[0]), SegmentSpec.Number(p[1])))];
                break;
            default:
                throw new FormatException($"no option is '{words[0]}'");
        }
    }

    void TakeTimestamps(ReadOnlySpan<string> words)
    {
        for (; words.Length >= 2; words = words[2..])
        {
            if (words[1] == "*")
                continue;
            if (words[0] == "val")
                TsVal = SegmentSpec.Number(words[1]);
            else if (words[0] == "ecr" && words[1].StartsWith('@'))
                TsEcrOfTime = ScriptTime.Nanoseconds(words[1][1..]);
            else if (words[0] == "ecr")
                TsEcr = SegmentSpec.Number(words[1]);
            else
                throw new FormatException($"timestamps have no '{words[0]}'");
        }
        if (words.Length != 0)
            throw new FormatException("timestamps are 'ts val N ecr N'");
    }
}
