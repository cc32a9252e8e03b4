namespace Accel.Daemon.Telemetry;

/// <summary>What kind of figure a metric is.</summary>
public enum MetricKind
{
    /// <summary>Only grows while what it belongs to lives.</summary>
    Counter,
    Gauge,
}

/// <summary>One value of a metric, with the attributes that tell it from the others.</summary>
public readonly record struct MetricValue(double Value, params KeyValuePair<string, string>[] Attributes);

/// <summary>
/// A metric under its OpenTelemetry name and UCUM unit; where it is exported as text it gets Prometheus' name for the
/// same, which follows from these by the rules of OpenTelemetry's specification.
/// </summary>
public sealed record Metric(
    string Name, MetricKind Kind, string Unit, string Meaning, Func<Observation, IEnumerable<MetricValue>> Of)
{
    /// <summary>The unit as a word of the text's name; empty: none.</summary>
    public string TextUnit => Unit switch { "By" => "bytes", "s" => "seconds", _ => "" };

    public string TextName
    {
        get
        {
            string name = Name.Replace('.', '_');
            return TextUnit.Length == 0 || name.EndsWith($"_{TextUnit}", StringComparison.Ordinal) ? name
                : $"{name}_{TextUnit}";
        }
    }
}
