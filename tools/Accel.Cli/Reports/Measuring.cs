using System.Globalization;
using Accel.Cli.Bench;
using Accel.Cli.Nic;
using Accel.Cli.Processes;

namespace Accel.Cli.Reports;

/// <summary>All runs of a report, kernel and accelerated by turns.</summary>
internal sealed class Measuring(int runs, double seconds, bool isQuick, int serverCpu, int clientCpu,
    Action<string> said)
{
    private static readonly Side[] Sides = [Side.Kernel, Side.Accel];
    private readonly Surroundings _local = new(serverCpu, clientCpu, seconds);

    /// <summary>Offered loads as parts of what the kernel takes at most; the last is beyond it.</summary>
    private double[] Parts => isQuick ? [0.25, 0.75, 1.5] : [0.25, 0.5, 0.75, 0.9, 1.5];

    public Findings Run(bool withNic)
    {
        List<(string, string)> machine = MachineText.Read(_local);
        List<CaseFinding> cases = [.. Cases.Local.Where(c => !IsStream(c)).Select(c => Measure("local", c, _local))];
        if (withNic)
        {
            using var nic = new NicSurroundings(serverCpu, clientCpu, seconds);
            cases.AddRange(NicCases.All.Where(IsShown).Select(c => Measure("nic", c, nic)));
        }
        (int, CaseFinding)[] sizes = [.. ((int[])[64, 256, 1024, 4096, 16384, 65536]).Select(bytes => (bytes,
            Measure("local", Stream(bytes), _local)))];
        LatencyFinding[] latencies = [.. OpenLoad.All.Where(l => l.Programs.All(p => Installation.Find(p) is not null))
            .Select(Latency)];
        return new(machine, runs, seconds, isQuick, cases, sizes, latencies);
    }

    private static bool IsStream(BenchCase c) => c.Name.StartsWith("stream-", StringComparison.Ordinal);

    /// <summary>Of the network's cases those that programs meet; a quick report has them with both ends accelerated.
    /// </summary>
    private bool IsShown(BenchCase c) =>
        (c.Name.StartsWith("redis-", StringComparison.Ordinal) || c.Name.StartsWith("nginx-", StringComparison.Ordinal)
            || c.Name.StartsWith("connect-", StringComparison.Ordinal)
            || c.Name.StartsWith("tcp-pingpong-64-block", StringComparison.Ordinal)
            || (c.Name.StartsWith("bulk-", StringComparison.Ordinal)
                && !c.Name.Contains("plain", StringComparison.Ordinal)))
        && (c.Accelerated == Ends.Both || (!isQuick && c.Accelerated == Ends.Server));

    private static BenchCase Stream(int bytes) => new(
        string.Create(CultureInfo.InvariantCulture, $"stream-{bytes}"), "GB/s", false, [], [],
        (s, _, a) => OwnLoads.Stream(s, a, bytes, "bytes_per_second", 1e9));

    private CaseFinding Measure(string path, BenchCase c, Surroundings at)
    {
        Dictionary<Side, List<Sample>> samples = Interleaved.Run(c, at, runs, out string? error,
            i => said($"{path} {c.Name}, run {i + 1} of {runs}"));
        return new(path, c, samples, error);
    }

    private LatencyFinding Latency(OpenLoad load)
    {
        var loads = new SortedDictionary<double, Dictionary<Side, List<LoadRun>>>();
        double kernel = 0, accel = 0;
        try
        {
            said($"{load.Name}, the most that each side takes");
            kernel = Most(load, Side.Kernel);
            accel = Most(load, Side.Accel);
            // What the kernel is asked for at most must not be what the generator can do at most.
            foreach (double part in Parts)
                loads[Math.Round(part * kernel, 0)] = new() { [Side.Kernel] = [], [Side.Accel] = [] };
            for (int i = 0; i < runs; i++)
            {
                foreach ((double rate, Dictionary<Side, List<LoadRun>> sides) in loads)
                {
                    said(string.Create(CultureInfo.InvariantCulture,
                        $"{load.Name}, {rate:0}/s, run {i + 1} of {runs}"));
                    foreach (Side side in Sides) sides[side].Add(load.Run(side, _local, rate));
                }
            }
        }
        catch (MeasurementException e)
        {
            return new(load.Name, load.Title, kernel, accel, loads, e.Message);
        }
        return new(load.Name, load.Title, kernel, accel, loads, null);
    }

    private double Most(OpenLoad load, Side side) =>
        Statistics.Median(Enumerable.Range(0, 3).Select(_ => load.Run(side, _local, 0).Achieved));
}
