using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Accel.Cli.Processes;
using Spectre.Console;

namespace Accel.Cli.Bench;

/// <summary>
/// What the preload costs where it has nothing to do: calls on other descriptors, and whole ordinary programs.
/// </summary>
internal static partial class PassThrough
{
    /// <summary>What an intercepted call may cost more.</summary>
    private const double BudgetNanoseconds = 5;

    private static readonly string[][] Programs =
    [
        ["true"], ["ls", "/"], ["bash", "-c", "for i in 1 2 3; do echo $i; done"], ["git", "--version"],
            ["gcc", "--version"],
    ];

    public static int Run(bool json, int runs, int cpu)
    {
        List<(string Name, double Kernel, double Accel)> calls = Calls(runs, cpu);
        List<(string Name, long Kernel, long Accel)> programs = Installation.Find("valgrind") is null ? []
            : Instructions(cpu);
        bool within = calls.Average(c => c.Accel - c.Kernel) <= BudgetNanoseconds;
        if (json)
        {
            foreach ((string name, double kernel, double accel) in calls)
                Console.WriteLine(Line($"call-{name}", kernel, accel, "ns"));
            foreach ((string name, long kernel, long accel) in programs)
                Console.WriteLine(Line($"program-{name}", kernel, accel, "instructions"));
            return within ? 0 : 1;
        }
        Table table = new Table().Border(TableBorder.Simple).AddColumn("call, not ours");
        foreach (string title in (string[])["without, ns", "with, ns", "added, ns"])
            table.AddColumn(new TableColumn(title).RightAligned());
        foreach ((string name, double kernel, double accel) in calls)
            table.AddRow(name, Number(kernel), Number(accel), Number(accel - kernel));
        Report.Console().Write(table);
        Table counts = new Table().Border(TableBorder.Simple).AddColumn("program");
        foreach (string title in (string[])["instructions without", "with", "added"])
            counts.AddColumn(new TableColumn(title).RightAligned());
        foreach ((string name, long kernel, long accel) in programs)
            counts.AddRow(name, Count(kernel), Count(accel), Count(accel - kernel));
        Report.Console().Write(counts);
        Console.WriteLine(programs.Count > 0
            ? "Instructions of the first process, as valgrind counts them, loading of the library included."
            : "No instruction counts: valgrind is not installed.");
        Console.WriteLine($"{(within ? "within" : "OVER")} the budget of {BudgetNanoseconds} ns a call on the average");
        return within ? 0 : 1;
    }

    private static List<(string Name, double Kernel, double Accel)> Calls(int runs, int cpu)
    {
        var least = new Dictionary<(string, Side), double>();
        var names = new List<string>();
        for (int i = 0; i < runs; i++)
        {
            foreach (Side side in (Side[])[Side.Kernel, Side.Accel])
            {
                (string output, _) = Child.Run(new End(side, new Place(cpu), []), TimeSpan.FromSeconds(30),
                    Installation.LoadProgram("passthrough"));
                foreach (string line in output.Trim().Split('\n'))
                {
                    string[] parts = line.Split(' ');
                    double value = double.Parse(parts[1], CultureInfo.InvariantCulture);
                    if (!names.Contains(parts[0])) names.Add(parts[0]);
                    least[(parts[0], side)] = Math.Min(value,
                        least.GetValueOrDefault((parts[0], side), double.MaxValue));
                }
            }
        }
        return [.. names.Select(n => (n, least[(n, Side.Kernel)], least[(n, Side.Accel)]))];
    }

    private static List<(string Name, long Kernel, long Accel)> Instructions(int cpu)
    {
        var rows = new List<(string, long, long)>();
        foreach (string[] program in Programs)
        {
            if (Installation.Find(program[0]) is not { } path) continue;
            long Count(Side side)
            {
                string log = Path.GetTempFileName();
                try
                {
                    Child.Run(new End(side, new Place(cpu), []), TimeSpan.FromSeconds(60), "valgrind",
                        ["--tool=callgrind", "--callgrind-out-file=/dev/null", $"--log-file={log}", path,
                            .. program[1..]]);
                    Match total = Collected().Match(File.ReadAllText(log));
                    return total.Success ? long.Parse(total.Groups[1].Value, CultureInfo.InvariantCulture)
                        : throw new MeasurementException($"valgrind did not count {program[0]}");
                }
                finally
                {
                    File.Delete(log);
                }
            }
            rows.Add((program[0], Count(Side.Kernel), Count(Side.Accel)));
        }
        return rows;
    }

    [GeneratedRegex(@"Collected : (\d+)")]
    private static partial Regex Collected();

    private static string Line(string name, double kernel, double accel, string unit) => new JsonObject
    {
        ["case"] = name,
        ["kernel"] = kernel,
        ["accel"] = accel,
        ["added"] = Math.Round(accel - kernel, 2),
        ["unit"] = unit,
    }.ToJsonString();

    private static string Number(double value) => value.ToString("0.0", CultureInfo.InvariantCulture);

    private static string Count(long value) => value.ToString("#,0", CultureInfo.InvariantCulture);
}
