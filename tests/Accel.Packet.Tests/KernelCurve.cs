using System.Diagnostics;
using System.Globalization;
using Accel.Core.Tcp;

namespace Accel.Packet.Tests;

/// <summary>
/// The same table for the kernel's CUBIC: real sockets over an emulated path in real time (integration/curve). Runs of
/// cells that carry little go side by side.
/// </summary>
static class KernelCurve
{
    /// <summary>
    /// Without loss our runs are all alike, the kernel's are not, by a little. Where a run has a few losses only they
    /// differ most: this table is taken seldom, and can have more of them than ours.
    /// </summary>
    const int LeastRuns = 3, RunsOfFewLosses = 24;

    /// <summary>A run in which the path itself was late is taken again.</summary>
    const int MaxLateMicros = 1000, MaxTries = 5;

    /// <summary>Takes the cells whose name contains <paramref name="text"/>; the others stay as they are.</summary>
    public static void Take(string program, string golden, string text)
    {
        var known = text != "" && File.Exists(golden) ? ThroughputTable.Read(golden) : [];
        foreach (var cell in ThroughputTable.Cells(CongestionAlgorithm.Cubic))
        {
            if (cell.ToString().Contains(text, StringComparison.Ordinal) || !known.ContainsKey(cell.ToString()))
                known[cell.ToString()] = Measure(program, cell);
        }
        ThroughputTable.Write(golden, "Linux's CUBIC, taken with integration/curve/run.", known);
    }

    static double Measure(string program, ThroughputCell cell)
    {
        var isHeavy = cell.Loss < 0.001 || cell.RoundTripMillis <= 10;
        var isFewLosses = cell is { Loss: > 0 and < 0.01, RoundTripMillis: >= 40 };
        var goodputs = new double[Math.Max(cell.Runs, isFewLosses ? RunsOfFewLosses : LeastRuns)];
        Parallel.For(0, goodputs.Length, new ParallelOptions { MaxDegreeOfParallelism = isHeavy ? 3 : 16 },
            i => goodputs[i] = Run(program, cell, i + 1));
        var spread = goodputs.Max() - goodputs.Min();
        Console.WriteLine($"{cell}: {goodputs.Average():0.00} Mbit/s, between {goodputs.Min():0.00} and "
            + $"{goodputs.Min() + spread:0.00} in {goodputs.Length} runs");
        return goodputs.Average();
    }

    static double Run(string program, ThroughputCell cell, int seed)
    {
        for (var attempt = 1; ; attempt++)
        {
            var arguments = string.Create(CultureInfo.InvariantCulture, $"--rtt-ms {cell.RoundTripMillis} "
                + $"--loss {cell.Loss:0.####} --rate {ThroughputTable.Rate} --seconds {cell.Seconds} --seed {seed}");
            using var process = Process.Start(new ProcessStartInfo(program, arguments)
            {
                RedirectStandardOutput = true,
            })!;
            var words = process.StandardOutput.ReadToEnd().Split();
            process.WaitForExit();
            if (process.ExitCode != 0)
                throw new InvalidOperationException($"{program} {arguments}: exit code {process.ExitCode}");
            if (int.Parse(words[3], CultureInfo.InvariantCulture) <= MaxLateMicros)
                return double.Parse(words[0], CultureInfo.InvariantCulture);
            if (attempt == MaxTries)
                throw new InvalidOperationException($"{arguments}: the machine is too busy to be a path");
        }
    }
}
