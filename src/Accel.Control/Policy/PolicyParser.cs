using System.Globalization;
using Accel.Control.Broker;
using Accel.Core.Nic;

namespace Accel.Control.Policy;

/// <summary>Reads one line of a policy. What makes no sense is a FormatException that says what was expected.</summary>
internal sealed class PolicyParser(IAccountNames names)
{
    private const string Clauses = "uid, gid, interface, transport or ports", LookClauses = "uid or gid";

    public PolicyLine Parse(string line, int number)
    {
        string[] words = line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        if (words[0] == "look")
            return ParseLook(words, number);
        bool allows = words[0] switch
        {
            "allow" => true,
            "deny" => false,
            _ => throw new FormatException($"\"{words[0]}\": a line begins with allow, deny or look"),
        };
        return ParseClauses(words, number, allows, Clauses);
    }

    /// <summary>look all|own|none, and whom it is about.</summary>
    private PolicyLine ParseLook(string[] words, int number)
    {
        LookScope scope = words.ElementAtOrDefault(1) switch
        {
            "all" => LookScope.All,
            "own" => LookScope.Own,
            "none" => LookScope.None,
            _ => throw new FormatException("look: at whose stacks? (all, own or none)"),
        };
        PolicyLine line = ParseClauses([$"look {words[1]}", .. words[2..]], number, true, LookClauses);
        return line with { Look = scope };
    }

    private PolicyLine ParseClauses(string[] words, int number, bool allows, string known)
    {
        if (words.Length == 1)
            throw new FormatException($"whom? (\"{words[0]} any\" is everybody)");
        int at = words[1] == "any" ? 2 : 1;
        Dictionary<string, string> clauses = [];
        for (; at < words.Length; at += 2)
        {
            string clause = words[at];
            if (clause is not ("uid" or "gid" or "interface" or "transport" or "ports")
                || (known == LookClauses && clause is not ("uid" or "gid")))
                throw new FormatException($"\"{clause}\": expected {known}");
            if (at + 1 == words.Length)
                throw new FormatException($"{clause}: what? ({Example(clause)})");
            if (!clauses.TryAdd(clause, words[at + 1]))
                throw new FormatException($"{clause} stands there twice (separate several by commas, without spaces)");
        }
        if (words[1] == "any" && (clauses.ContainsKey("uid") || clauses.ContainsKey("gid")))
            throw new FormatException("\"any\" and a uid or gid contradict each other");
        if (words[1] != "any" && !clauses.ContainsKey("uid") && !clauses.ContainsKey("gid"))
            throw new FormatException("whom? (uid, gid, or \"any\" after the first word)");
        return new PolicyLine(number, allows, Accounts("uid", names.Uid), Accounts("gid", names.Gid),
            clauses.TryGetValue("interface", out string? patterns) ? Patterns(patterns) : null,
            clauses.TryGetValue("transport", out string? transport) ? TransportOf(transport) : null,
            clauses.TryGetValue("ports", out string? ports) ? Ports(ports) : null);

        List<NumberRange>? Accounts(string clause, Func<string, uint?> lookup) =>
            clauses.TryGetValue(clause, out string? text)
                ? [.. Parts(clause, text).Select(p => Account(clause, p, lookup))] : null;
    }

    private static string Example(string clause) => clause switch
    {
        "uid" => "uid 33, uid www-data, uid 1000-1999",
        "gid" => "gid 33, gid www-data",
        "interface" => "interface eth0, interface veth*,eth1",
        "transport" => "transport tcp",
        _ => "ports 80,8000-8100",
    };

    private static string[] Parts(string clause, string text)
    {
        string[] parts = text.Split(',');
        return parts.Any(p => p.Length == 0)
            ? throw new FormatException($"{clause} {text}: nothing between the commas ({Example(clause)})") : parts;
    }

    private static NumberRange Account(string clause, string text, Func<string, uint?> lookup)
    {
        if (char.IsAsciiDigit(text[0]))
            return Range(clause, text, uint.MaxValue - 1);
        return lookup(text) is { } id ? new NumberRange(id, id)
            : throw new FormatException($"{clause} {text}: there is no such account");
    }

    private static NumberRange Range(string clause, string text, uint most)
    {
        string[] ends = text.Split('-');
        if (ends.Length > 2 || !TryNumber(ends[0], out uint first) || !TryNumber(ends[^1], out uint last))
            throw new FormatException($"{clause} {text}: neither a number nor a range ({Example(clause)})");
        if (last > most)
            throw new FormatException($"{clause} {text}: {most} is the largest");
        if (first > last)
            throw new FormatException($"{clause} {text}: the range ends before it begins");
        return new NumberRange(first, last);
    }

    private static bool TryNumber(string text, out uint number) =>
        uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);

    private static List<NumberRange> Ports(string text) =>
        [.. Parts("ports", text).Select(p => Range("ports", p, ushort.MaxValue))];

    private static string[] Patterns(string text)
    {
        string[] patterns = Parts("interface", text);
        foreach (string pattern in patterns)
        {
            if (pattern.Contains('/') || pattern.Length > 15)
                throw new FormatException($"interface {pattern}: no interface can have such a name");
        }
        return patterns;
    }

    private static Transport TransportOf(string text) => text switch
    {
        "tcp" => Transport.Tcp,
        "udp" => Transport.Udp,
        _ => throw new FormatException($"transport {text}: expected tcp or udp"),
    };
}
