using System.Text.RegularExpressions;
using Accel.Core.Stack;

namespace Accel.House.Tests;

/// <summary>Each table is declared once: its rows are its enum's members, in order.</summary>
public partial class TableTests
{
    [Fact]
    public void A_row_for_each_counter() => Assert.Equal(
        Enum.GetValues<Counter>().Where(c => c != Counter.Count), CounterTable.Rows.Select(r => r.Counter));

    [Fact]
    public void Counters_are_named_for_their_member() => House.None(
        CounterTable.Rows.Where(r => Snake(r.Counter.ToString()) != r.Name).Select(r => $"{r.Counter}: {r.Name}"),
        "snake_case of the member's name.");

    [Fact]
    public void Counters_fit_their_shard() =>
        Assert.True((int)Counter.Count * sizeof(long) <= LayoutTests.Size(typeof(CounterShard)));

    [Fact]
    public void Each_counter_is_moved_by_some_code() => House.None(
        from counter in Enum.GetNames<Counter>()
        where counter != nameof(Counter.Count)
            && !RoomSources().Any(s => !s.File.EndsWith("/Counters.cs", StringComparison.Ordinal)
                && s.Text.Contains("Counter." + counter, StringComparison.Ordinal))
        select $"Counter.{counter}", "Count it where it happens, or drop the row.");

    [Fact]
    public void A_row_for_each_option() => Assert.Equal(
        Enum.GetValues<Option>().Where(o => o != Option.Count), OptionTable.Rows.Select(r => r.Option));

    [Fact]
    public void Options_have_defaults_in_range_and_a_meaning() => House.None(
        OptionTable.Rows.Where(r => r.Default < r.Min || r.Default > r.Max || r.Meaning.Length == 0
            || !r.Name.StartsWith("ACCEL_", StringComparison.Ordinal)).Select(r => r.Name), "See the row.");

    [Fact]
    public void No_option_is_read_that_is_not_in_the_table() => House.None(
        from file in House.Sources(".cs", ".c", ".h")
        where file.StartsWith("src/", StringComparison.Ordinal) || file.StartsWith("shim/", StringComparison.Ordinal)
        from Match match in EnvironmentName().Matches(House.Read(file))
        where !Known.Contains(match.Groups[1].Value)
        select $"{file}: {match.Groups[1].Value}", "Give it a row in OptionTable.");

    [Fact]
    public void There_are_fewer_than_thirty_options() =>
        Assert.True(OptionTable.Rows.Length + OptionTable.Words.Length < 30,
            "What can be decided by measuring at run time is no option.");

    /// <summary>What tools/accel-run checks settings by, which is a script and cannot ask.</summary>
    [Fact]
    public void The_launcher_knows_the_options() => House.SameAsFile("tools/profiles/options", string.Concat(
        [.. OptionTable.Rows.Select(r => $"{r.Name} {r.Min} {r.Max}\n"),
            .. OptionTable.Words.Select(w => $"{w.Name} - -\n")]));

    [Fact]
    public void A_sentence_for_each_refusal_of_the_control_plane() =>
        Assert.Equal(Enum.GetValues<Core.Nic.NicRefusal>().Length, Core.Nic.NicRefusalText.Rows.Length);

    [Fact]
    public void A_row_for_each_reason() => Assert.Equal(
        Enum.GetValues<PathReason>().Where(r => r != PathReason.Count), PathReasonTable.Rows.Select(r => r.Reason));

    [Fact]
    public void Each_reason_has_a_sentence_and_what_would_change_it() => House.None(
        PathReasonTable.Rows.Where(r => r.Text.Length == 0 || r.Text.EndsWith('.') || r.Remedy.EndsWith('.')
            || r.Text.StartsWith("kernel: ", StringComparison.Ordinal)
                != (r.Verdict is PathVerdict.Fallback or PathVerdict.Kernel)
            || (r.Remedy.Length == 0) != (r.Verdict == PathVerdict.Accelerated)).Select(r => r.Reason.ToString()),
        "The text begins with the path; all but accelerated sockets have a remedy; no full stop.");

    [Fact]
    public void Each_reason_is_recorded_by_some_code() => House.None(
        from reason in Enum.GetNames<PathReason>()
        where reason != nameof(PathReason.Count)
            && !RoomSources().Any(s => s.File.StartsWith("src/Accel.Posix/", StringComparison.Ordinal)
                && s.Text.Contains("PathReason." + reason, StringComparison.Ordinal))
        select $"PathReason.{reason}", "Record it where it happens, or drop the row.");

    static readonly HashSet<string> Known =
        [.. OptionTable.Rows.Select(r => r.Name), .. OptionTable.Words.Select(w => w.Name)];

    static IEnumerable<(string File, string Text)> RoomSources() =>
        House.Sources(".cs").Where(f => f.StartsWith("src/", StringComparison.Ordinal)
            || f.StartsWith("shim/", StringComparison.Ordinal)).Select(f => (f, House.Read(f)));

    static string Snake(string name) => WordStart().Replace(name, "_$0").TrimStart('_').ToLowerInvariant();

    [GeneratedRegex("[A-Z]")]
    private static partial Regex WordStart();

    [GeneratedRegex(@"""(ACCEL_[A-Z_]+)=?""")]
    private static partial Regex EnvironmentName();
}
