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
