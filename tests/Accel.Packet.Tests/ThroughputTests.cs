using Accel.Core.Tcp;
using Accel.Testing;

namespace Accel.Packet.Tests;

/// <summary>
/// Goodput of one connection by loss and round trip. Golden/throughput.txt is what it was (ACCEL_UPDATE=1 writes it
/// anew), Golden/linux.txt what the kernel's CUBIC gets from the same path (integration/curve/run takes it anew).
/// </summary>
public class ThroughputTests
{
    const double MaxFall = 0.10;

    static readonly Lazy<Dictionary<string, double>> Measured = new(() =>
        new[] { CongestionAlgorithm.Cubic, CongestionAlgorithm.Reno }.SelectMany(ThroughputTable.Cells)
            .AsParallel().ToDictionary(cell => cell.ToString(), Measure));

    [Fact]
    public void Goodput_is_as_it_was()
    {
        var golden = ThroughputTable.File("throughput.txt");
        if (Environment.GetEnvironmentVariable("ACCEL_UPDATE") == "1" || !File.Exists(golden))
        {
            ThroughputTable.Write(golden, "Accel's TCP.", Measured.Value);
            return;
        }
        var was = ThroughputTable.Read(golden);
        Assert.Equal(Measured.Value.Keys.Order(), was.Keys.Order());
        if (Fallen(was) is { Count: > 0 } fallen)
            Assert.Fail($"{string.Join('\n', fallen)}\nIf that is meant: ACCEL_UPDATE=1, and say why in the commit.");
    }

    [Fact]
    public void Cubic_keeps_up_with_the_kernels()
    {
        var golden = ThroughputTable.File("linux.txt");
        if (Environment.GetEnvironmentVariable("ACCEL_KERNEL_PATH") is { } program)
            KernelCurve.Take(program, golden, Environment.GetEnvironmentVariable("ACCEL_KERNEL_CELLS") ?? "");
        if (Fallen(ThroughputTable.Read(golden)) is { Count: > 0 } fallen)
            Assert.Fail($"Less than Linux has of the same path:\n{string.Join('\n', fallen)}");
    }

    /// <summary>
    /// The queue is as long as the path: slow start ends before all that it has doubled to is thrown at it.
    /// </summary>
    [Theory]
    [InlineData(CongestionAlgorithm.Cubic, 10)]
    [InlineData(CongestionAlgorithm.Cubic, 40)]
    [InlineData(CongestionAlgorithm.Cubic, 100)]
    [InlineData(CongestionAlgorithm.Reno, 40)]
    public void Slow_start_does_not_lose_a_queue_full(CongestionAlgorithm algorithm, int rtt)
    {
        var run = ThroughputRun.Of(new ThroughputCell(algorithm, 0, rtt), seconds: 2, new Prng(1));
        Assert.InRange(run.Lost, 0, ThroughputTable.QueueBytes(rtt) / ThroughputTable.SegmentBytes * 2 / 3);
    }

    /// <summary>Cells that are more than a tenth below what is asked of them.</summary>
    static List<string> Fallen(Dictionary<string, double> asked) =>
        [.. asked.Where(cell => Measured.Value[cell.Key] < cell.Value * (1 - MaxFall)).OrderBy(cell => cell.Key)
            .Select(cell => $"{cell.Key}: {Measured.Value[cell.Key]:0.00} Mbit/s, not {cell.Value:0.00}")];

    /// <summary>Mbit/s of payload that arrived, over several seeds.</summary>
    static double Measure(ThroughputCell cell)
    {
        double sum = 0;
        for (ulong seed = 1; seed <= (ulong)cell.Runs; seed++)
            sum += ThroughputRun.Of(cell, cell.Seconds, new Prng(seed * 7919 + (ulong)cell.RoundTripMillis)).Mbits;
        return sum / cell.Runs;
    }
}
