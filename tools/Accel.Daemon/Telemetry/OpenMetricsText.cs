using System.Globalization;
using System.Text;

namespace Accel.Daemon.Telemetry;

/// <summary>The metrics as OpenMetrics 1.0 text.</summary>
public static class OpenMetricsText
{
    public const string ContentType = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    public static string Write(Observation observation)
    {
        var text = new StringBuilder();
        foreach (Metric metric in Metrics.All)
        {
            string name = metric.TextName;
            text.Append($"# TYPE {name} {(metric.Kind == MetricKind.Counter ? "counter" : "gauge")}\n");
            if (metric.TextUnit.Length > 0) text.Append($"# UNIT {name} {metric.TextUnit}\n");
            text.Append($"# HELP {name} {Escaped(metric.Meaning)}\n");
            foreach (MetricValue value in metric.Of(observation))
            {
                text.Append(name);
                if (metric.Kind == MetricKind.Counter) text.Append("_total");
                Attributes(text, value.Attributes);
                text.Append(' ').Append(value.Value.ToString("0.#########", CultureInfo.InvariantCulture)).Append('\n');
            }
        }
        return text.Append("# EOF\n").ToString();
    }

    private static void Attributes(StringBuilder text, KeyValuePair<string, string>[] attributes)
    {
        if (attributes.Length == 0) return;
        text.Append('{');
        for (int i = 0; i < attributes.Length; i++)
        {
            if (i > 0) text.Append(',');
            text.Append(attributes[i].Key.Replace('.', '_')).Append("=\"").Append(Escaped(attributes[i].Value))
                .Append('"');
        }
        text.Append('}');
    }

    private static string Escaped(string text) => text.Replace("\\", @"\\", StringComparison.Ordinal)
        .Replace("\"", "\\\"", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal);
}
