using System.Net;
using System.Runtime.CompilerServices;
using Accel.Inspect;

namespace Accel.Daemon.Telemetry;

/// <summary>
/// What acceld tells the world about itself and its namespace's stacks: a meter and an event source, which cost nothing
/// until somebody attaches, and the metrics as text where that was asked for.
/// </summary>
public sealed class TelemetryService : IDisposable
{
    /// <summary>Between two looks for events, while somebody listens.</summary>
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(100);

    private readonly AccelMeter _meter;
    private readonly IDisposable? _server; // a MetricsServer
    private readonly Action<string> _log;
    private readonly ManualResetEventSlim _over = new();
    private readonly Lock _gate = new();
    private Thread? _feeding;

    public TelemetryService(string socketPath, EndPoint? metrics, Action<string> log)
    {
        _log = log;
        Func<Observation> source = Observation.Source(socketPath);
        _meter = new AccelMeter(source);
        AccelEvents.Wanted += Feed;
        if (metrics is not null) _server = Serve(metrics, source, log);
    }

    public void Dispose()
    {
        AccelEvents.Wanted -= Feed;
        _over.Set();
        lock (_gate) _feeding?.Join();
        _server?.Dispose();
        _meter.Dispose();
        _over.Dispose();
    }

    /// <summary>Apart, so that nothing of the web framework is looked for before it can be found.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static IDisposable Serve(EndPoint metrics, Func<Observation> source, Action<string> log)
    {
        WebFramework.Find();
        return MetricsServer.Start(metrics, source, log);
    }

    /// <summary>Somebody listens: a thread looks for events as long as this is so.</summary>
    private void Feed()
    {
        lock (_gate)
        {
            if (_feeding is { IsAlive: true } || _over.IsSet) return;
            _feeding = new Thread(() =>
            {
                var feed = new EventFeed();
                do
                {
                    try
                    {
                        using Machine machine = Machine.Look();
                        feed.Look(machine, Observation.Here(machine), AccelEvents.Log);
                    }
                    catch (Exception e) when (e is IOException or UnauthorizedAccessException)
                    {
                        _log($"events: {e.Message}");
                    }
                }
                while (!_over.Wait(Interval) && AccelEvents.Log.IsEnabled());
            }) { IsBackground = true, Name = "events" };
            _feeding.Start();
        }
    }
}
