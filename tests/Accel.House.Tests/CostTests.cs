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

    /// <summary>
    /// Of 64 bytes through a local connection, send() and recv(), while nobody captures and nobody looks. What is added
    /// for those who might (a test of a word, a counter) must stay within one part in a hundred of what this is.
    /// </summary>
    const int MaxMessageInstructions = 1_445;

    const int Rounds = 20_000;

    [Fact]
    public void A_message_that_nobody_captures_costs_what_it_did()
    {
        var folder = Directory.CreateTempSubdirectory("accel-house-").FullName;
        try
        {
            var program = Path.Combine(folder, "limits");
            var source = House.Path("integration/limits/limits.c");
            House.Run("gcc", ["-O1", "-std=gnu17", "-o", program, source, "-lpthread"]);
            var text = House.Run("sh", ["-c", "echo | exec valgrind --tool=callgrind --callgrind-out-file=/dev/null "
                + $"--toggle-collect=measure_rounds {program} rounds 10 {Rounds}"], House.Library);
            var each = int.Parse(Collected().Match(text).Groups[1].Value, CultureInfo.InvariantCulture) / Rounds;
            File.WriteAllLines(House.Path("artifacts/cost-message.txt"), [$"64 B, send + recv: {each} instructions"]);
            Assert.InRange(each, 500, MaxMessageInstructions);
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
