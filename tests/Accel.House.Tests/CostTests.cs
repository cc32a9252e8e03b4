using System.Globalization;
using System.Text.RegularExpressions;

namespace Accel.House.Tests;

/// <summary>What an intercepted call on a descriptor that is not ours costs, counted in instructions.</summary>
[Trait("stage", "abi")]
public partial class CostTests
{
    const int Times = 10_000;

    /// <summary>About 5 ns: such straight code retires three and more a cycle.</summary>
    const int MaxInstructions = 50;

    [Fact]
    public void A_call_that_is_not_ours_costs_a_few_instructions()
    {
        var folder = Directory.CreateTempSubdirectory("accel-house-").FullName;
        try
        {
            var program = Path.Combine(folder, "cost");
            House.Run("gcc", ["-O1", "-o", program, House.Path("tests/Accel.House.Tests/cost.c")]);
            var plain = Count(program, null);
            var with = Count(program, House.Library);
            Assert.NotEmpty(plain);
            var rows = plain.Keys.Order(StringComparer.Ordinal)
                .Select(call => (Call: call, Libc: plain[call], Added: with[call] - plain[call])).ToList();
            File.WriteAllLines(House.Path("artifacts/cost.txt"), rows.Select(r => $"{r.Call,-12} {r.Libc,4} +{r.Added}")
                .Prepend("call         libc  added instructions"));
            House.None(rows.Where(r => r.Added > MaxInstructions).Select(r => $"{r.Call}: {r.Added} instructions"),
                $"At most {MaxInstructions}: look the descriptor up, then go.");
        }
        finally
        {
            Directory.Delete(folder, true);
        }
    }

    const int PathTimes = 2_000;

    /// <summary>
    /// Calls on accelerated sockets over the local path, both ends in one process: instructions in user space. What is
    /// added for those who might look, capture or hand over (a test of a word, a counter) must fit in here: each limit
    /// is one part in a hundred above what it was when it was set, that of dup four.
    /// </summary>
    [Theory]
    [InlineData("message", 1_525)] // send + recv, 64 bytes
    [InlineData("bulk", 34_800)] // send + recv, 16 KiB
    [InlineData("epoll", 2_670)] // send + epoll_wait + recv
    [InlineData("poll", 2_215)] // send + poll + recv
    [InlineData("epollctl", 1_715)] // EPOLL_CTL_DEL + EPOLL_CTL_ADD
    [InlineData("connection", 5_735)] // socket + connect + accept + two closes
    [InlineData("dup", 915)] // dup + close
    public void What_the_local_path_costs(string path, int limit)
    {
        var folder = Directory.CreateTempSubdirectory("accel-house-").FullName;
        try
        {
            var program = Path.Combine(folder, "paths");
            House.Run("gcc", ["-O1", "-o", program, House.Path("tests/Accel.House.Tests/paths.c")]);
            var text = House.Run("valgrind", ["--tool=callgrind", "--callgrind-out-file=/dev/null",
                $"--toggle-collect=measure_{path}", program, path, $"{PathTimes}"], House.Library);
            var each = int.Parse(Collected().Match(text).Groups[1].Value, CultureInfo.InvariantCulture) / PathTimes;
            File.WriteAllLines(House.Path($"artifacts/cost-{path}.txt"), [$"{each} instructions, at most {limit}"]);
            Assert.InRange(each, limit / 2, limit);
        }
        finally
        {
            Directory.Delete(folder, true);
        }
    }

    [GeneratedRegex(@"Collected : (\d+)")]
    private static partial Regex Collected();

    /// <summary>Instructions per call, the function's own loop included.</summary>
    static Dictionary<string, int> Count(string program, string? preload)
    {
        var profile = program + ".callgrind";
        House.Run("valgrind", ["--tool=callgrind", "--callgrind-out-file=" + profile, program], preload);
        return Measured().Matches(House.Run("callgrind_annotate", ["--inclusive=yes", "--threshold=100", profile]))
            .ToDictionary(m => m.Groups[2].Value, m => int.Parse(
                m.Groups[1].Value, NumberStyles.AllowThousands, CultureInfo.InvariantCulture) / Times);
    }

    [GeneratedRegex(@"^\s*([\d,]+) .*:measure_(\w+)", RegexOptions.Multiline)]
    private static partial Regex Measured();
}
