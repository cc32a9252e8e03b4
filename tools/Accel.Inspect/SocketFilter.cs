using System.Globalization;
using System.Net;

namespace Accel.Inspect;

/// <summary>What a filter looks at.</summary>
public readonly record struct SocketFacts(
    string State, string Local, string Remote, string Route, IReadOnlyList<int> Pids);

/// <summary>
/// Which sockets to show, in the language of ss(8): `state established and ( dport = :6379 or sport 80 ) and not path
/// kernel`. Tests: state NAME, sport/dport [OP] PORT, src/dst ADDRESS[/BITS][:PORT], path NAME, pid NUMBER; joined by
/// and (or nothing), or, not, parentheses.
/// </summary>
public sealed class SocketFilter
{
    private static readonly Dictionary<string, string[]> States = new(StringComparer.OrdinalIgnoreCase)
    {
        ["established"] = ["ESTAB"], ["estab"] = ["ESTAB"], ["syn-sent"] = ["SYN-SENT"], ["syn-recv"] = ["SYN-RECV"],
        ["fin-wait-1"] = ["FIN-WAIT-1"], ["fin-wait-2"] = ["FIN-WAIT-2"], ["time-wait"] = ["TIME-WAIT"],
        ["closed"] = ["UNCONN", "CLOSE"], ["unconnected"] = ["UNCONN", "CLOSE"], ["close-wait"] = ["CLOSE-WAIT"],
        ["last-ack"] = ["LAST-ACK"], ["listening"] = ["LISTEN"], ["listen"] = ["LISTEN"], ["closing"] = ["CLOSING"],
        ["reset"] = ["RESET"], ["kernel"] = ["KERNEL"], ["all"] = [],
    };

    private static readonly string[] Unconnected = ["UNCONN", "CLOSE", "LISTEN"];
    private static readonly string[] Paths = ["nic", "local", "kernel", "none"];

    private readonly string[] _words;
    private readonly Func<SocketFacts, bool> _matches;
    private int _at;

    private SocketFilter(string[] words)
    {
        _words = words;
        _matches = words.Length == 0 ? _ => true : Either();
        if (_at < words.Length) throw Wrong($"'{words[_at]}' is not expected here");
    }

    /// <exception cref="FormatException">The words are no filter; the text says where and why.</exception>
    public static SocketFilter Parse(IEnumerable<string> words) => new(Split(words));

    public bool Matches(in SocketFacts facts) => _matches(facts);

    /// <summary>Parentheses and "!" need no blanks around them.</summary>
    private static string[] Split(IEnumerable<string> words) => string.Join(' ', words)
        .Replace("(", " ( ", StringComparison.Ordinal).Replace(")", " ) ", StringComparison.Ordinal)
        .Replace("!=", " ne ", StringComparison.Ordinal).Replace("!", " ! ", StringComparison.Ordinal)
        .Split(' ', StringSplitOptions.RemoveEmptyEntries);

    private Func<SocketFacts, bool> Either()
    {
        Func<SocketFacts, bool> left = Both();
        while (TryTake("or", "|", "||"))
        {
            Func<SocketFacts, bool> first = left, second = Both();
            left = f => first(f) || second(f);
        }
        return left;
    }

    private Func<SocketFacts, bool> Both()
    {
        Func<SocketFacts, bool> left = One();
        while (_at < _words.Length && _words[_at] is not (")" or "or" or "|" or "||"))
        {
            _ = TryTake("and", "&", "&&");
            Func<SocketFacts, bool> first = left, second = One();
            left = f => first(f) && second(f);
        }
        return left;
    }

    private Func<SocketFacts, bool> One()
    {
        if (TryTake("not", "!"))
        {
            Func<SocketFacts, bool> inner = One();
            return f => !inner(f);
        }
        if (TryTake("("))
        {
            Func<SocketFacts, bool> inner = Either();
            if (!TryTake(")")) throw Wrong("a ')' is missing");
            return inner;
        }
        string word = Take("a test (state, sport, dport, src, dst, path, pid)");
        switch (word.ToLowerInvariant())
        {
            case "state": return State();
            case "sport": return Port(f => f.Local);
            case "dport": return Port(f => f.Remote);
            case "src": return Address(f => f.Local);
            case "dst": return Address(f => f.Remote);
            case "path":
                string path = Take("nic, local, kernel or none");
                if (!Paths.Contains(path)) throw Wrong($"there is no path '{path}': nic, local, kernel or none");
                return f => f.Route == path;
            case "pid":
                string text = Take("a process's number");
                if (!int.TryParse(text, CultureInfo.InvariantCulture, out int pid))
                    throw Wrong($"'{text}' is no process's number");
                return f => f.Pids.Contains(pid);
            default:
                throw Wrong($"'{word}' is no test: state, sport, dport, src, dst, path, pid");
        }
    }

    private Func<SocketFacts, bool> State()
    {
        string name = Take("a state");
        if (name is "connected" or "synchronized")
        {
            string[] not = name == "connected" ? Unconnected : [.. Unconnected, "SYN-SENT"];
            return f => !not.Contains(f.State);
        }
        if (!States.TryGetValue(name, out string[]? states))
            throw Wrong($"there is no state '{name}': connected, synchronized, {string.Join(", ", States.Keys)}");
        return f => states.Length == 0 || states.Contains(f.State);
    }

    private Func<SocketFacts, bool> Port(Func<SocketFacts, string> of)
    {
        string word = Take("a port");
        Func<int, int, bool>? compare = word switch
        {
            "=" or "==" or "eq" => (a, b) => a == b,
            "ne" => (a, b) => a != b,
            ">" or "gt" => (a, b) => a > b,
            "<" or "lt" => (a, b) => a < b,
            ">=" or "ge" => (a, b) => a >= b,
            "<=" or "le" => (a, b) => a <= b,
            _ => null,
        };
        if (compare != null) word = Take("a port");
        compare ??= (a, b) => a == b;
        if (!ushort.TryParse(word.TrimStart(':'), CultureInfo.InvariantCulture, out ushort port))
            throw Wrong($"'{word}' is no port");
        return f => TrySplit(of(f), out _, out int found) && compare(found, port);
    }

    private Func<SocketFacts, bool> Address(Func<SocketFacts, string> of)
    {
        bool equal = !TryTake("ne");
        if (equal) _ = TryTake("=", "==", "eq");
        string word = Take("an address");
        string host = word;
        int port = -1;
        // One colon: IPv4 with a port. More: IPv6, which has a port only in brackets.
        if (word.StartsWith('[') || word.AsSpan().Count(':') == 1)
        {
            int colon = word.LastIndexOf(':');
            if (colon > word.LastIndexOf(']'))
            {
                if (!ushort.TryParse(word[(colon + 1)..], CultureInfo.InvariantCulture, out ushort number))
                    throw Wrong($"'{word[(colon + 1)..]}' is no port");
                port = number;
                host = word[..colon];
            }
        }
        host = host.Replace("[", "", StringComparison.Ordinal).Replace("]", "", StringComparison.Ordinal);
        IPNetwork network = Network(host, word);
        return f => (TrySplit(of(f), out IPAddress? address, out int found) && (port < 0 || port == found)
            && (host is "" or "*" || (address != null && network.Contains(address)))) == equal;
    }

    private IPNetwork Network(string host, string word)
    {
        if (host is "" or "*") return default;
        int slash = host.IndexOf('/', StringComparison.Ordinal), bits = -1;
        if (!IPAddress.TryParse(slash < 0 ? host : host[..slash], out IPAddress? address)
            || (slash >= 0 && !int.TryParse(host[(slash + 1)..], CultureInfo.InvariantCulture, out bits)))
            throw Wrong($"'{word}' is no address");
        int all = address.GetAddressBytes().Length * 8;
        if (bits < 0) bits = all;
        if (bits > all) throw Wrong($"'{word}': no more than {all} bits");
        byte[] bytes = address.GetAddressBytes();
        for (int bit = bits; bit < all; bit++) bytes[bit / 8] &= (byte)~(0x80 >> bit % 8);
        return new IPNetwork(new IPAddress(bytes), bits);
    }

    /// <summary>"127.0.0.1:80", "[::1]:*", "*:*".</summary>
    private static bool TrySplit(string name, out IPAddress? address, out int port)
    {
        int colon = name.LastIndexOf(':');
        address = null;
        port = 0;
        if (colon < 0) return false;
        _ = int.TryParse(name.AsSpan(colon + 1), CultureInfo.InvariantCulture, out port);
        if (IPAddress.TryParse(name.AsSpan(0, colon).Trim("[]"), out IPAddress? parsed))
            address = parsed.IsIPv4MappedToIPv6 ? parsed.MapToIPv4() : parsed;
        return true;
    }

    private bool TryTake(params ReadOnlySpan<string> words)
    {
        if (_at >= _words.Length || !words.Contains(_words[_at])) return false;
        _at++;
        return true;
    }

    private string Take(string what) =>
        _at < _words.Length ? _words[_at++] : throw Wrong($"the filter ends where {what} is expected");

    private FormatException Wrong(string why) => new($"filter '{string.Join(' ', _words)}': {why}");
}
