using System.CommandLine;
using Accel.Cli.Bench;
using Accel.Cli.Processes;
using Spectre.Console;

namespace Accel.Cli.Demo;

/// <summary>`accel demo`: Debian's redis with and without the preload, and a look inside while it runs.</summary>
internal static class DemoCommand
{
    private static readonly string[] Shown = ["redis-get-c50-p1", "redis-get-c1-p1", "redis-get-c50-p16"];

    public static Command Create()
    {
        var quick = new Option<bool>("--quick") { Description = "One short run of each instead of three" };
        var nic = new Option<bool>("--nic")
        {
            Description = "Across a wire: two network namespaces, acceld, redis, nginx, curl and iperf3 (needs root)",
        };
        var command = new Command("demo",
            "Unmodified redis-server and redis-benchmark, on the kernel and accelerated") { quick, nic };
        command.SetAction(parsed => parsed.GetValue(nic) ? NicDemo.Run(parsed.GetValue(quick))
            : Run(parsed.GetValue(quick)));
        return command;
    }

    private static int Run(bool quick)
    {
        if (Installation.Missing(["redis-server", "redis-benchmark"]) is { } missing)
        {
            Console.Error.WriteLine($"accel demo: {missing}");
            return 2;
        }
        IAnsiConsole console = Report.Console();
        console.WriteLine("Debian's redis-server and redis-benchmark, unmodified: first as they are, then with");
        console.WriteLine($"  LD_PRELOAD={Installation.Library}");
        var at = new Surroundings(0, Environment.ProcessorCount > 1 ? 1 : 0, quick ? 0.5 : 1.5);
        double? ring = at.RingRoundTripMicros();
        var results = new List<Result>();
        foreach (BenchCase c in Cases.Local.Where(c => Shown.Contains(c.Name)))
            results.Add(Interleaved.Measure(c, at, quick ? 1 : 3, ring));
        console.Write(Report.Table(results));
        foreach (Result r in results.Where(r => r.Error is not null))
            Console.Error.WriteLine($"{r.Case.Name}: {r.Error}");

        bool seen = Look(console, at);
        return seen && results.All(r => r.Error is null) ? 0 : 1;
    }

    /// <summary>stackdump, from outside, on the server under load.</summary>
    private static bool Look(IAnsiConsole console, Surroundings at)
    {
        if (!File.Exists(Installation.StackDump)) return true;
        string dump = "";
        BenchCase c = Cases.Local.First(c => c.Name == Shown[0]);
        try
        {
            var end = new End(Side.Accel, new(at.ServerCpu), c.Environment);
            RedisLoad.Run(new(end, end with { Place = new(at.ClientCpu) }), c.Name, at, "get", 50, 1,
                pid => dump = StackDump.Text("sockets", $"{pid}"));
        }
        catch (MeasurementException e)
        {
            Console.Error.WriteLine(e.Message);
            return false;
        }
        string[] lines = dump.TrimEnd().Split('\n');
        console.WriteLine("What stackdump shows of the server while it is loaded (tools/stackdump sockets PID):");
        foreach (string line in lines.Take(8)) Console.WriteLine("  " + line);
        if (lines.Length > 8) Console.WriteLine($"  ... {lines.Length - 8} more");
        return lines.Length > 2;
    }
}
