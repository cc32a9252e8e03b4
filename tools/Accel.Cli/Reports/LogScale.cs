using System.Globalization;

namespace Accel.Cli.Reports;

/// <summary>A logarithmic axis from one place of a drawing to another.</summary>
internal readonly record struct LogScale(double Low, double High, double From, double To)
{
    /// <summary>Whole decades around the values.</summary>
    public static LogScale Decades(IEnumerable<double> values, double from, double to)
    {
        double[] positive = [.. values.Where(v => v > 0 && double.IsFinite(v)).DefaultIfEmpty(1)];
        double low = Math.Floor(Math.Log10(positive.Min())), high = Math.Ceiling(Math.Log10(positive.Max()));
        return new(Math.Pow(10, low), Math.Pow(10, Math.Max(high, low + 1)), from, to);
    }

    public double At(double value)
    {
        double part = Math.Log10(Math.Clamp(value, Low, High) / Low) / Math.Log10(High / Low);
        return From + part * (To - From);
    }

    public IEnumerable<double> Ticks()
    {
        for (double tick = Low; tick <= High * 1.0001; tick *= 10) yield return tick;
    }

    /// <summary>A number with at most three digits and its multiple: 1.2 k, 34 M.</summary>
    public static string Short(double value)
    {
        (double scaled, string unit) = value switch
        {
            >= 1e9 => (value / 1e9, " G"),
            >= 1e6 => (value / 1e6, " M"),
            >= 1e3 => (value / 1e3, " k"),
            _ => (value, ""),
        };
        string format = scaled >= 100 ? "0" : scaled >= 10 ? "0.#" : scaled >= 0.1 ? "0.##" : "0.####";
        return scaled.ToString(format, CultureInfo.InvariantCulture) + unit;
    }

    /// <summary>A time in microseconds, in the unit that reads best.</summary>
    public static string Time(double micros) => micros switch
    {
        >= 1e6 => string.Create(CultureInfo.InvariantCulture, $"{micros / 1e6:0.##} s"),
        >= 1e3 => string.Create(CultureInfo.InvariantCulture, $"{micros / 1e3:0.##} ms"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{micros:0.##} us"),
    };
}
