using System.CommandLine;
using System.Globalization;
using Accel.Cli.Nic;
using Accel.Cli.Processes;
using Accel.Cli.Reports;

namespace Accel.Cli.Bench;

/// <summary>`accel bench`: the same programs on the kernel and accelerated, side by side.</summary>
internal static class BenchCommand
{
    public static Command Create()
    {
        var json = new Option<bool>("--json")
            { Description = "One JSON object a line; the machine's lines go to standard error" };
        var quick = new Option<bool>("--quick") { Description = "3 short runs of each case instead of 7" };
        var runs = new Option<int?>("--runs") { Description = "Runs of each case and side" };
        var only = new Option<string[]>("--case")
            { Description = "Only this case, or those whose names begin so (may be given again)" };
        var cpus = new Option<string>("--cpus")
        {
            Description = "CPUs of server and client; 0,0 puts both on one",
            DefaultValueFactory = _ => Environment.ProcessorCount > 1 ? "0,1" : "0,0",
        };
        var set = new Option<string[]>("--set")
            { Description = "NAME=VALUE: an option of the accelerated side (may be given again)" };
        var profile = new Option<string?>("--profile") { Description = "A profile for the accelerated side" };
        var mode = new Option<string?>("--mode") { Description = "acceld's: auto, native, generic or ring" };
        Command Measuring(string name, string description, BenchCase[] cases,
            Func<int, int, double, string?, Surroundings> where)
        {
            var command = new Command(name, description) { json, quick, runs, only, cpus, profile, set };
            command.SetAction(parsed =>
            {
                bool isQuick = parsed.GetValue(quick);
                string[] names = parsed.GetValue(only) ?? [];
                BenchCase[] chosen = [.. cases.Where(c => names.Length == 0
                    || names.Any(n => c.Name == n || c.Name.StartsWith($"{n}-", StringComparison.Ordinal)))];
                if (chosen.Length == 0)
                    return Refuse($"no such case; there are: {string.Join(' ', cases.Select(c => c.Name))}");
                if (Overrides.Of(parsed.GetValue(profile), parsed.GetValue(set) ?? [], out string? complaint) is not
                    { } settings) return Refuse(complaint!);
                chosen = [.. chosen.Select(settings.On)];
                if (!TryCpus(parsed.GetValue(cpus)!, out int server, out int client))
                    return Refuse("--cpus wants two numbers, as in 0,1");
                string? attached = command.Options.Contains(mode) ? parsed.GetValue(mode) : null;
                Surroundings at = where(server, client, isQuick ? 0.4 : 1.0, attached);
                using (at as IDisposable)
                    return Run(chosen, at, parsed.GetValue(json), parsed.GetValue(runs) ?? (isQuick ? 3 : 7));
            });
            return command;
        }

        Command local = Measuring("local", "Both ends on this host: the local path against the kernel's loopback",
            Cases.Local, (server, client, seconds, _) => new Surroundings(server, client, seconds));
        Command nic = Measuring("nic", "Two network namespaces joined by a veth pair: with the server, the client, or "
            + "both accelerated", NicCases.All,
            (server, client, seconds, attached) => new NicSurroundings(server, client, seconds) { Mode = attached });
        nic.Options.Add(mode);
        var pass = new Command("passthrough",
            "What the preload costs calls and programs that are none of its business") { json, quick };
        pass.SetAction(parsed => Installation.Missing([]) is { } missing ? Refuse(missing)
            : PassThrough.Run(parsed.GetValue(json), parsed.GetValue(quick) ? 3 : 9, Environment.ProcessorCount - 1));
        return new Command("bench", "Measures kernel and accelerated side by side")
        {
            local, nic, pass, ReportCommand.Create(),
        };
    }

    private static bool TryCpus(string text, out int server, out int client)
    {
        string[] pair = text.Split(',');
        client = 0;
        return int.TryParse(pair[0], CultureInfo.InvariantCulture, out server) && pair.Length == 2
            && int.TryParse(pair[1], CultureInfo.InvariantCulture, out client);
    }

    private static int Run(BenchCase[] cases, Surroundings at, bool json, int runs)
    {
        if (at.Missing() is { } here) return Refuse(here);
        if (Installation.Missing(cases.SelectMany(c => c.Programs).Distinct()) is { } missing) return Refuse(missing);
        bool showProgress = !json && !Console.IsErrorRedirected;
        var results = new List<Result>();
        foreach (BenchCase c in cases)
        {
            double? ring = at.RingRoundTripMicros();
            if (json && ring is { } micros) Console.Error.WriteLine(Machine(c.Name, micros));
            Result result = Interleaved.Measure(c, at, runs, ring, i =>
            {
                if (showProgress) Console.Error.Write($"\r{c.Name,-28} run {i + 1} of {runs} ");
            });
            results.Add(result);
            if (json) Console.Out.WriteLine(result.ToJson());
            if (json) Console.Out.Flush();
        }
        if (showProgress) Console.Error.Write($"\r{new string(' ', 50)}\r");
        if (!json)
        {
            Report.Console().Write(Report.Table(results));
            Console.WriteLine(at.Reading);
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
