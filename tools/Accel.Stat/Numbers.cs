using System.Globalization;

namespace Accel.Stat;

/// <summary>Numbers for people, short enough for a column.</summary>
public static class Numbers
{
    private static readonly string[] Thousands = ["", "k", "M", "G", "T"], Binary = ["", "K", "M", "G", "T"];

    public static string Text(double value, Figure figure, bool isRate)
    {
        if (figure.Unit == Figures.Nanoseconds)
            return isRate ? string.Create(CultureInfo.InvariantCulture, $"{value / 1e7:0}%") : Seconds(value);
        return figure.Unit == Figures.Bytes ? Short(value, 1024, Binary) : Short(value, 1000, Thousands);
    }

    public static string Short(double value) => Short(value, 1000, Thousands);

    private static string Seconds(double ns) => string.Create(CultureInfo.InvariantCulture, $"{ns / 1e9:0.00}s");

    private static string Short(double value, double step, string[] units)
    {
        int unit = 0;
        while (Math.Abs(value) >= step * 10 && unit < units.Length - 1)
        {
            value /= step;
            unit++;
        }
        bool isWhole = unit == 0 && value == Math.Floor(value);
        return value.ToString(isWhole || value >= 100 ? "0" : "0.0", CultureInfo.InvariantCulture) + units[unit];
    }
}
