using System.CommandLine;
using System.Globalization;
using Accel.Cli.Processes;

namespace Accel.Cli.Bench;

/// <summary>`accel bench local`: the same programs on the kernel and accelerated, side by side.</summary>
internal static class BenchCommand
{
    private const string Reading =
        "ratio above 1: accelerated is better. CPU/op: user and system time of both ends together for one "
        + "operation, in us. "
        + "ring: a round trip of bare shared memory between the two CPUs just before the case, in us "
        + "(0.1: near, 0.5: far).";

    public static Command Create()
    {
        var json = new Option<bool>("--json")
            { Description = "One JSON object a line; the machine's lines go to standard error" };
        var quick = new Option<bool>("--quick") { Description = "3 short runs of each case instead of 7" };
        var runs = new Option<int?>("--runs") { Description = "Runs of each case and side" };
        var only = new Option<string[]>("--case") { Description = "Only this case (may be given again)" };
        var cpus = new Option<string>("--cpus")
        {
            Description = "CPUs of server and client; 0,0 puts both on one",
            DefaultValueFactory = _ => Environment.ProcessorCount > 1 ? "0,1" : "0,0",
        };
        var local = new Command("local", "Both ends on this host: the local path against the kernel's loopback")
        {
            json, quick, runs, only, cpus,
        };
        local.SetAction(parsed =>
        {
            bool isQuick = parsed.GetValue(quick);
            return Run(parsed.GetValue(json), parsed.GetValue(runs) ?? (isQuick ? 3 : 7), isQuick ? 0.4 : 1.0,
                parsed.GetValue(only) ?? [], parsed.GetValue(cpus)!);
        });
        var pass = new Command("passthrough",
            "What the preload costs calls and programs that are none of its business") { json, quick };
        pass.SetAction(parsed => Installation.Missing([]) is { } missing ? Refuse(missing)
            : PassThrough.Run(parsed.GetValue(json), parsed.GetValue(quick) ? 3 : 9, Environment.ProcessorCount - 1));
        return new Command("bench", "Measures kernel and accelerated side by side") { local, pass };
    }

    private static int Run(bool json, int runs, double seconds, string[] only, string cpus)
    {
        BenchCase[] cases = only.Length == 0 ? Cases.Local : [.. Cases.Local.Where(c => only.Contains(c.Name))];
        string[] pair = cpus.Split(',');
        if (cases.Length == 0)
            return Refuse($"no such case; there are: {string.Join(' ', Cases.Local.Select(c => c.Name))}");
        if (pair.Length != 2 || !int.TryParse(pair[0], out int serverCpu) || !int.TryParse(pair[1], out int clientCpu))
            return Refuse("--cpus wants two numbers, as in 0,1");
        if (Installation.Missing(cases.SelectMany(c => c.Programs).Distinct()) is { } missing) return Refuse(missing);

        var at = new Surroundings(serverCpu, clientCpu, seconds);
        bool showProgress = !json && !Console.IsErrorRedirected;
        var results = new List<Result>();
        foreach (BenchCase c in cases)
        {
            double ring = at.RingRoundTripMicros();
            if (json) Console.Error.WriteLine(Machine(c.Name, ring));
            Result result = Interleaved.Measure(c, at, runs, ring, i =>
            {
                if (showProgress) Console.Error.Write($"\r{c.Name,-20} run {i + 1} of {runs} ");
            });
            results.Add(result);
            if (json) Console.Out.WriteLine(result.ToJson());
            if (json) Console.Out.Flush();
        }
        if (showProgress) Console.Error.Write($"\r{new string(' ', 40)}\r");
        if (!json)
        {
            Report.Console().Write(Report.Table(results));
            Console.WriteLine(Reading);
        }
        foreach (Result r in results.Where(r => r.Error is not null))
            Console.Error.WriteLine($"{r.Case.Name}: {r.Error}");
        return results.Any(r => r.Error is not null) ? 1 : 0;
    }

    private static string Machine(string next, double ring)
    {
        string near = ring < 0.25 ? "true" : "false";
        return string.Create(CultureInfo.InvariantCulture,
            $$"""{"case":"machine","before":"{{next}}","ring_rtt_us":{{ring:0.###}},"cpus_near":{{near}}}""");
    }

    private static int Refuse(string why)
    {
        Console.Error.WriteLine($"accel bench: {why}");
        return 2;
    }
}
