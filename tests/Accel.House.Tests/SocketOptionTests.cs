using System.Text;
using System.Text.RegularExpressions;
using Accel.Posix;

namespace Accel.House.Tests;

/// <summary>The table of socket options against the headers of this machine: each option has its row.</summary>
public partial class SocketOptionTests
{
    const string Includes = """
        #include <sys/socket.h>
        #include <linux/in.h>
        #include <linux/in6.h>
        #include <linux/tcp.h>
        #include <linux/udp.h>

        """;

    /// <summary>How the names of a level's options begin; those of groups are options of both IPs.</summary>
    static readonly (string Prefix, int[] Levels)[] Prefixes =
    [
        ("SO_", [So.SOL_SOCKET]), ("TCP_", [So.IPPROTO_TCP]), ("IP_", [So.IPPROTO_IP]), ("IPV6_", [So.IPPROTO_IPV6]),
        ("UDP_", [So.IPPROTO_UDP]), ("MCAST_", [So.IPPROTO_IP, So.IPPROTO_IPV6]),
    ];

    [Fact]
    public void Every_option_of_the_headers_has_a_row()
    {
        var missing =
            from option in Headers()
            from level in Prefixes.First(p => option.Name.StartsWith(p.Prefix, StringComparison.Ordinal)).Levels
            where SocketOptionTable.Find(level, option.Value) < 0
            select $"{option.Name} = {option.Value}";
        House.None(missing, "Give it a row in SocketOptionTable; what is no option belongs to this test's pattern.");
    }

    [Fact]
    public void Rows_have_the_numbers_of_the_headers()
    {
        var numbers = Headers().ToDictionary(o => o.Name, o => o.Value);
        House.None(
            from row in SocketOptionTable.Rows
            where numbers.TryGetValue(row.Text, out var number) && number != row.Name
            select $"{row.Text}: {row.Name}, and C says {numbers[row.Text]}", "The header is right.");
    }

    [Fact]
    public void Rows_are_in_order_and_named_for_their_level() => House.None(
        from i in Enumerable.Range(0, SocketOptionTable.Rows.Length)
        let row = SocketOptionTable.Rows[i]
        let next = SocketOptionTable.Rows.ElementAtOrDefault(i + 1)
        where (next.Text != null && next.Level == row.Level && next.Name <= row.Name)
            || SocketOptionTable.Find(row.Level, row.Name) != i
            || !Prefixes.Any(p => row.Text.StartsWith(p.Prefix, StringComparison.Ordinal)
                && p.Levels.Contains(row.Level))
        select row.Text, "One row for each, by number.");

    [Fact]
    public void Kept_flags_have_a_place_in_the_socket()
    {
        var kept = SocketOptionTable.Rows.Where(r => r.Tcp == OptionVerdict.Kept).ToList();
        Assert.True(kept.Count <= Core.Stack.Socket.MaxOptions);
        Assert.Equal(Enumerable.Range(0, kept.Count),
            kept.Select(r => SocketOptionTable.PlaceOf(SocketOptionTable.Find(r.Level, r.Name))));
    }

    /// <summary>The macros that are options, with their values, as the C compiler sees them.</summary>
    static List<(string Name, int Value)> Headers()
    {
        var directory = Directory.CreateTempSubdirectory("accel-options");
        try
        {
            var source = Path.Combine(directory.FullName, "options.c");
            var program = Path.Combine(directory.FullName, "options");
            File.WriteAllText(source, Includes);
            var names = Macro().Matches(House.Run("gcc", ["-dM", "-E", source])).Select(m => m.Groups[1].Value)
                .Where(n => !NoOption().IsMatch(n)).ToList();
            var text = new StringBuilder(Includes + "#include <stdio.h>\nint main(void)\n{\n");
            foreach (var name in names)
                text.Append("    printf(\"%s %d\\n\", \"").Append(name).Append("\", (int)").Append(name).Append(");\n");
            File.WriteAllText(source, text.Append("}\n").ToString());
            House.Run("gcc", [source, "-o", program]);
            var lines = House.Run(program, []).Split('\n', StringSplitOptions.RemoveEmptyEntries);
            Assert.True(lines.Length > 150, $"only {lines.Length} options: are these the headers?");
            return [.. lines.Select(l => l.Split(' ')).Select(w => (w[0], int.Parse(w[1])))];
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    [GeneratedRegex(@"^#define ((?:SO|TCP|IP|IPV6|UDP|MCAST)_[A-Z0-9_]+) \S", RegexOptions.Multiline)]
    private static partial Regex Macro();

    /// <summary>Values and limits of options, and names that no kernel has had an option for.</summary>
    [GeneratedRegex("^(SO_EE_|SO_SECURITY_|TCP_(MSS|MD5SIG_|REPAIR_O[NF]|ENCAP|RECEIVE_ZEROCOPY_|AO_(MAX|KEYF))"
        + "|IP_(PMTUDISC|DEFAULT)_|IPV6_(PMTUDISC|FL_[AFS]|PRIORITY|TLV|PREFER_SRC)_|IPV6_FLOWINFO_(FLOWLABEL|PRIORITY)"
        + "|MCAST_(INCLUDE|EXCLUDE)|UDP_ENCAP_)")]
    private static partial Regex NoOption();
}
