using System.Diagnostics.Metrics;

namespace Accel.Daemon.Telemetry;

/// <summary>The metrics as instruments of a meter, for dotnet-counters and whoever listens in the same way.</summary>
public sealed class AccelMeter : IDisposable
{
    public const string Name = "Accel";

    private readonly Meter _meter = new(Name);

    public AccelMeter(Func<Observation> source)
    {
        foreach (Metric metric in Metrics.All)
        {
            IEnumerable<Measurement<double>> Read() => metric.Of(source()).Select(value => new Measurement<double>(
                value.Value, value.Attributes.Select(a => new KeyValuePair<string, object?>(a.Key, a.Value))));
            if (metric.Kind == MetricKind.Counter)
                _meter.CreateObservableCounter(metric.Name, Read, metric.Unit, metric.Meaning);
            else
                _meter.CreateObservableGauge(metric.Name, Read, metric.Unit, metric.Meaning);
        }
    }

    public void Dispose() => _meter.Dispose();
}
