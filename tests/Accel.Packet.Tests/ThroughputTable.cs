using System.Globalization;
using System.Reflection;
using System.Text;
using Accel.Core.Tcp;

namespace Accel.Packet.Tests;

/// <summary>A cell of the table: one connection over a path of <see cref="ThroughputTable.Rate"/>.</summary>
readonly record struct ThroughputCell(CongestionAlgorithm Algorithm, double Loss, int RoundTripMillis)
{
    /// <summary>Many losses, or many round trips, to a run: chance is to matter little.</summary>
    public int Seconds => Math.Clamp(RoundTripMillis / 4, 4, 20);

    /// <summary>
    /// Loss is chance, and a few losses in a run are more of it than many. Reno is held against itself alone, by the
    /// same seeds.
    /// </summary>
    public int Runs => Loss == 0 ? 1 : Loss >= 0.001 ? 16
        : RoundTripMillis >= 100 && Algorithm == CongestionAlgorithm.Cubic ? 24 : 8;

    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Algorithm} {Loss:0.####} {RoundTripMillis}");
}

/// <summary>
/// Goodput in Mbit/s by loss and round trip, as a file under Golden that shows in review. What is in a cell is the
/// average of its runs, each from the SYN on.
/// </summary>
static class ThroughputTable
{
    public const long Rate = 50_000_000;

    /// <summary>The queue is a bandwidth-delay product, and so many segments at least.</summary>
    public const int LeastSegments = 32, SegmentBytes = 1514;

    static readonly double[] Losses = [0, 0.0001, 0.001, 0.01, 0.03];
    static readonly int[] RoundTripMillis = [1, 10, 40, 100];

    static readonly string Folder = typeof(ThroughputTable).Assembly
        .GetCustomAttributes<AssemblyMetadataAttribute>().First(a => a.Key == "Golden").Value!;

    public static string File(string name) => Path.Combine(Folder, name);

    public static long QueueBytes(int rtt) => Math.Max(Rate / 8 * rtt / 1000, LeastSegments * SegmentBytes);

    public static IEnumerable<ThroughputCell> Cells(CongestionAlgorithm algorithm) =>
        Losses.SelectMany(loss => RoundTripMillis.Select(rtt => new ThroughputCell(algorithm, loss, rtt)));

    public static void Write(string file, string title, IReadOnlyDictionary<string, double> cells)
    {
        var text = new StringBuilder();
        text.AppendLine($"# {title}");
        text.AppendLine("# Goodput in Mbit/s of one connection over a path of 50 Mbit/s with a queue of one");
        text.AppendLine("# bandwidth-delay product, by random loss (rows) and round trip in ms (columns).");
        foreach (var algorithm in Enum.GetValues<CongestionAlgorithm>())
        {
            if (!Cells(algorithm).All(cell => cells.ContainsKey(cell.ToString())))
                continue;
            text.AppendLine();
            text.AppendLine($"{algorithm,-8}{string.Concat(RoundTripMillis.Select(r => $"{r,10}"))}");
            foreach (var row in Cells(algorithm).GroupBy(cell => cell.Loss))
            {
                var values = row.Select(cell =>
                    cells[cell.ToString()].ToString("0.00", CultureInfo.InvariantCulture).PadLeft(10));
                var loss = row.Key.ToString("0.####", CultureInfo.InvariantCulture);
                text.AppendLine($"{loss,-8}{string.Concat(values)}");
            }
        }
        System.IO.File.WriteAllText(file, text.ToString());
    }

    public static Dictionary<string, double> Read(string file)
    {
        var cells = new Dictionary<string, double>();
        var (algorithm, columns) = ("", Array.Empty<string>());
        foreach (var line in System.IO.File.ReadAllLines(file).Where(l => l != "" && l[0] != '#'))
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
