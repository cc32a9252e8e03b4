using System.Globalization;
using Accel.Cli.Processes;

namespace Accel.Cli.Bench;

/// <summary>Figures out of what the load programs print.</summary>
internal static class Printed
{
    /// <summary>The number after a name at the start of a line.</summary>
    public static double Number(string output, string name)
    {
        foreach (string line in output.Split('\n'))
        {
            string text = line.TrimStart();
            if (text.StartsWith(name, StringComparison.Ordinal)) return First(text[name.Length..], output);
        }
        throw new MeasurementException($"no '{name}' in: {output.Trim()}");
    }

    /// <summary>redis-benchmark --csv: requests per second are the second column of the last line.</summary>
    public static double RedisRate(string output)
    {
        string[] cells = output.Trim().Split('\n')[^1].Split(',');
        return cells.Length > 1 && double.TryParse(cells[1].Trim('"'), CultureInfo.InvariantCulture, out double rate)
            ? rate : throw new MeasurementException($"redis-benchmark said: {output.Trim()}");
    }

    /// <summary>wrk: "N requests in T, ..." ; and any failure it tells of makes the run invalid.</summary>
    public static double WrkRequests(string output)
    {
        foreach (string bad in (string[])["Socket errors:", "Non-2xx or 3xx responses:"])
            if (output.Contains(bad, StringComparison.Ordinal)) throw new MeasurementException($"wrk: {output.Trim()}");
        string? line = output.Split('\n').FirstOrDefault(l => l.Contains(" requests in ", StringComparison.Ordinal));
        return line is null ? throw new MeasurementException($"wrk said: {output.Trim()}") : First(line, output);
    }

    private static double First(string text, string output)
    {
        string word = text.Split(' ', StringSplitOptions.RemoveEmptyEntries).FirstOrDefault("").Trim();
        return double.TryParse(word, CultureInfo.InvariantCulture, out double value)
            ? value : throw new MeasurementException($"not a number: '{word}' in: {output.Trim()}");
    }
}
