using System.Globalization;
using System.Reflection;
using System.Text;
using Accel.Core.Tcp;
using Accel.Testing;
using Accel.Testing.Simulation;

namespace Accel.Packet.Tests;

/// <summary>
/// Goodput of one connection by loss and round trip, as a table that shows in review (Golden/throughput.txt).
/// ACCEL_UPDATE=1 writes it anew; a cell that falls by more than a tenth fails.
/// </summary>
public class ThroughputTests
{
    const long Rate = 50_000_000;
    const double HighLoss = 0.01;

    /// <summary>Loss is chance: more runs the more there is of it, which are the shorter ones.</summary>
    const int RunsWithoutLoss = 1, RunsAtLowLoss = 4, RunsAtHighLoss = 16;
    const double MaxFall = 0.10;

    static readonly double[] Losses = [0, 0.0001, 0.001, 0.01, 0.03];
    static readonly int[] RoundTripMillis = [1, 10, 40, 100];
    static readonly CongestionAlgorithm[] Algorithms = [CongestionAlgorithm.Cubic, CongestionAlgorithm.Reno];

    static readonly string Golden = Path.Combine(typeof(ThroughputTests).Assembly
        .GetCustomAttributes<AssemblyMetadataAttribute>().First(a => a.Key == "Golden").Value!, "throughput.txt");

    [Fact]
    public void Goodput_is_as_it_was()
    {
        var now = Algorithms.SelectMany(a => Losses.SelectMany(l => RoundTripMillis.Select(r => (a, l, r))))
            .AsParallel().ToDictionary(cell => Key(cell.a, cell.l, cell.r), cell => Measure(cell.a, cell.l, cell.r));
        if (Environment.GetEnvironmentVariable("ACCEL_UPDATE") == "1" || !File.Exists(Golden))
        {
            File.WriteAllText(Golden, Table(now));
            return;
        }
        var was = Read(File.ReadAllLines(Golden));
        Assert.Equal(now.Keys.Order(), was.Keys.Order());
        var fallen = now.Where(cell => cell.Value < was[cell.Key] * (1 - MaxFall)).OrderBy(cell => cell.Key)
            .Select(cell => $"{cell.Key}: {cell.Value:0.00} Mbit/s, was {was[cell.Key]:0.00}").ToList();
        if (fallen.Count > 0)
            Assert.Fail($"{string.Join('\n', fallen)}\nIf that is meant: ACCEL_UPDATE=1, and say why in the commit.");
    }

    static string Key(CongestionAlgorithm algorithm, double loss, int rtt) =>
        string.Create(CultureInfo.InvariantCulture, $"{algorithm} {loss:0.####} {rtt}");

    /// <summary>Mbit/s of payload that arrived, over several seeds.</summary>
    static double Measure(CongestionAlgorithm algorithm, double loss, int rtt)
    {
        var seconds = Math.Clamp(rtt * 100 / 1000, 4, 10);
        double sum = 0;
        var runs = loss >= HighLoss ? RunsAtHighLoss : loss > 0 ? RunsAtLowLoss : RunsWithoutLoss;
        for (ulong seed = 1; seed <= (ulong)runs; seed++)
            sum += Goodput(algorithm, loss, rtt, seconds, new Prng(seed * 7919 + (ulong)rtt));
        return sum / runs;
    }

    static double Goodput(CongestionAlgorithm algorithm, double loss, int rtt, int seconds, Prng random)
    {
        var clock = new VirtualClock();
        using var memory = new RecordMemory(65_536);
        var plan = new ProgramPlan { Total = long.MaxValue / 4, SendBuffer = 4 << 20, LargestWrite = 262_144 };
        var client = new MachinePeer(Options(algorithm), plan, random, clock, memory, isClient: true);
        var reader = new ProgramPlan { LargestRead = 1 << 20 };
        var server = new MachinePeer(Options(algorithm), reader, random, clock, memory, isClient: false);
        var delay = rtt * VirtualClock.Millisecond / 2;
        // A queue of a bandwidth-delay product, 32 segments at least.
        var queue = Math.Max(Rate / 8 * rtt / 1000, 32 * 1514);
        var there = new LinkFaults { DelayNs = delay, Rate = Rate, QueueBytes = queue, Loss = loss };
        var network = new SimulatedNetwork(clock, client, server, new SimulatedLink(there, random, clock),
            new SimulatedLink(new LinkFaults { DelayNs = delay, Rate = Rate }, random, clock));
        server.Host.Listen(false);
        client.Host.Connect();
        network.RunFor(seconds * VirtualClock.Second);
        return server.Host.Receiving.Delivered * 8.0 / seconds / 1e6;
    }

    static HostOptions Options(CongestionAlgorithm algorithm) => new()
    {
        Congestion = algorithm,
        ReceiveBuffer = 65_536,
        ReceiveMax = 4 << 20,
    };

    static string Table(Dictionary<string, double> cells)
    {
        var text = new StringBuilder();
        text.AppendLine("# Goodput in Mbit/s of one connection over a path of 50 Mbit/s with a queue of one");
        text.AppendLine("# bandwidth-delay product, by random loss (rows) and round trip in ms (columns).");
        foreach (var algorithm in Algorithms)
        {
            text.AppendLine();
            text.AppendLine($"{algorithm,-8}{string.Concat(RoundTripMillis.Select(r => $"{r,10}"))}");
            foreach (var loss in Losses)
            {
                var row = RoundTripMillis.Select(r =>
                    cells[Key(algorithm, loss, r)].ToString("0.00", CultureInfo.InvariantCulture).PadLeft(10));
                text.AppendLine($"{loss.ToString("0.####", CultureInfo.InvariantCulture),-8}{string.Concat(row)}");
            }
        }
        return text.ToString();
    }

    static Dictionary<string, double> Read(string[] lines)
    {
        var cells = new Dictionary<string, double>();
        var (algorithm, columns) = ("", Array.Empty<string>());
        foreach (var line in lines.Where(l => l != "" && l[0] != '#'))
        {
            var words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (char.IsLetter(words[0][0]))
            {
                (algorithm, columns) = (words[0], words[1..]);
                continue;
            }
            for (var i = 0; i < columns.Length; i++)
            {
                var value = double.Parse(words[i + 1], CultureInfo.InvariantCulture);
                cells[$"{algorithm} {words[0]} {columns[i]}"] = value;
            }
        }
        return cells;
    }
}
