using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using OpenTelemetry;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;

namespace Accel.Daemon.Telemetry;

/// <summary>
/// OpenTelemetry's exporter over the meter, with room for the series that there are. It shows what it has seen once as
/// long as it lives (cumulative points are never given up), so when a series has ended, or there is no room, another
/// follows it.
/// </summary>
sealed class Exposition : IDisposable
{
    /// <summary>Series that a metric has room for beyond twice those that it has.</summary>
    private const int Spare = 64;

    private readonly MeterProvider _provider;
    private readonly HashSet<string> _series = [];
    private readonly Dictionary<string, int> _room;
    private int _users = 1;

    public Exposition(IServiceProvider services, Observation first)
    {
        _room = Metrics.All.ToDictionary(m => m.Name, m => 2 * m.Of(first).Count() + Spare);
        _provider = Sdk.CreateMeterProviderBuilder()
            .SetResourceBuilder(ResourceBuilder.CreateEmpty().AddTelemetrySdk()
                .AddService("acceld", autoGenerateServiceInstanceId: false))
            .AddMeter(AccelMeter.Name)
            .AddView(instrument => new MetricStreamConfiguration { CardinalityLimit = _room[instrument.Name] })
            .AddPrometheusExporter(options =>
            {
                options.ScopeInfoEnabled = false; // there is one meter
                options.ScrapeResponseCacheDurationMilliseconds = 0; // observations are kept already
            })
            .Build();
        var app = new ApplicationBuilder(services);
        app.UseOpenTelemetryPrometheusScrapingEndpoint(
            _provider, predicate: _ => true, path: null, configureBranchedPipeline: null, optionsName: null);
        Answer = app.Build();
    }

    public RequestDelegate Answer { get; }

    /// <summary>Can it show this, and nothing else? What it shows is noted.</summary>
    public bool Fits(Observation now)
    {
        var series = new HashSet<string>();
        foreach (Metric metric in Metrics.All)
        {
            int count = 0;
            foreach (MetricValue value in metric.Of(now))
            {
                series.Add(Key(metric, value));
                count++;
            }
            if (count > _room[metric.Name]) return false;
        }
        if (!_series.IsSubsetOf(series)) return false;
        _series.UnionWith(series);
        return true;
    }

    /// <summary>Somebody is being answered by it: it ends when nobody is, and it has been disposed of.</summary>
    public void Enter() => Interlocked.Increment(ref _users);

    public void Dispose()
    {
        if (Interlocked.Decrement(ref _users) == 0) _provider.Dispose();
    }

    private static string Key(Metric metric, MetricValue value)
    {
        var key = new StringBuilder(metric.Name);
        foreach (KeyValuePair<string, string> attribute in value.Attributes) key.Append('\0').Append(attribute.Value);
        return key.ToString();
    }
}
