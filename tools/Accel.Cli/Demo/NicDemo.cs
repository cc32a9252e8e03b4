using System.Globalization;
using Accel.Cli.Bench;
using Accel.Cli.Nic;
using Accel.Cli.Processes;
using Spectre.Console;

namespace Accel.Cli.Demo;

/// <summary>
/// `accel demo --nic`: two hosts on this machine, and unmodified programs between them: with the servers, the clients,
/// and both ends accelerated, each beside the kernel.
/// </summary>
internal static class NicDemo
{
    private static readonly string[] Programs = ["redis-server", "redis-benchmark", "nginx", "wrk", "curl", "iperf3"];

    private static readonly BenchCase[] Servers = Named("server", "redis-get-c50-p1", "redis-get-c1-p1",
        "redis-get-c50-p16", "nginx-1k-c32");

    private static readonly BenchCase[] Clients =
    [
        .. Named("client", "redis-get-c50-p1", "nginx-1k-c32"),
        new("curl-64M-client", "Gb/s", false, [], ["nginx", "curl"], FileLoads.Curl) { Accelerated = Ends.Client },
        new("iperf3-R-client", "Gb/s", false, [], ["iperf3"], FileLoads.IperfReverse) { Accelerated = Ends.Client },
    ];

    private static readonly BenchCase[] Both =
    [
        .. Named("both", "redis-get-c50-p1", "redis-get-c1-p1", "redis-get-c50-p16", "nginx-1k-c32"),
        new("curl-64M-both", "Gb/s", false, [], ["nginx", "curl"], FileLoads.Curl),
        new("iperf3-R-both", "Gb/s", false, [], ["iperf3"], FileLoads.IperfReverse),
    ];

    public static int Run(bool quick)
    {
        if ((World.Missing() ?? Installation.Missing(Programs)) is { } missing)
        {
            Console.Error.WriteLine($"accel demo: {missing}");
            return 2;
        }
        IAnsiConsole console = Report.Console();
        using var at = new NicSurroundings(0, Environment.ProcessorCount > 1 ? 1 : 0, quick ? 0.5 : 1.5);
        console.WriteLine("Two network namespaces joined by a veth pair. What is accelerated runs, unmodified, with");
        console.WriteLine($"  LD_PRELOAD={Installation.Library}");
        console.WriteLine("and acceld serves its interface; the other end, and the column \"kernel\", are plain.");
        console.WriteLine();
        bool good = true;
        good &= Show(console, at, "Servers accelerated, plain clients", Servers, quick);
        good &= Look(console, at);
        good &= Show(console, at, "Clients accelerated, plain servers", Clients, quick);
        good &= Show(console, at, "Both ends accelerated", Both, quick);
        Console.WriteLine(at.Reading);
        return good ? 0 : 1;
    }

    private static BenchCase[] Named(string suffix, params string[] names) =>
        [.. names.Select(n => NicCases.All.Single(c => c.Name == $"{n}-{suffix}") with { Target = null })];

    private static bool Show(IAnsiConsole console, NicSurroundings at, string title, BenchCase[] cases, bool quick)
    {
        console.WriteLine(title);
        double? ring = at.RingRoundTripMicros();
        Result[] results = [.. cases.Select(c => Interleaved.Measure(c, at, quick ? 1 : 3, ring))];
        console.Write(Report.Table(results));
        foreach (Result r in results.Where(r => r.Error is not null))
            Console.Error.WriteLine($"{r.Case.Name}: {r.Error}");
        return results.All(r => r.Error is null);
    }

    /// <summary>stackdump, from outside, on the server under load.</summary>
    private static bool Look(IAnsiConsole console, NicSurroundings at)
    {
        if (!StackDump.IsThere) return true;
        var dumps = new List<(string Command, string Text)>();
        try
        {
            World world = at.WorldOf(Ends.Server);
            // Long enough for a look in the middle of it, on a busy machine too.
            RedisLoad.Run(at.StageOf(world, Ends.Server, []), "look", at with { Seconds = 3 }, "get", 50, 1, pid =>
            {
                string process = pid.ToString(CultureInfo.InvariantCulture);
                foreach (string verb in (string[])["sockets", "links"])
                    dumps.Add(($"{verb} {process}", StackDump.Text(verb, process)));
            });
        }
        catch (MeasurementException e)
        {
            Console.Error.WriteLine(e.Message);
            return false;
        }
        foreach ((string command, string text) in dumps)
        {
            string[] lines = text.TrimEnd().Split('\n');
            console.WriteLine($"What stackdump shows of the server while it is loaded (tools/stackdump {command}):");
            foreach (string line in lines.Take(8)) Console.WriteLine("  " + line);
            if (lines.Length > 8) Console.WriteLine($"  ... {lines.Length - 8} more");
            Console.WriteLine();
        }
        return dumps.Count > 0;
    }
}
