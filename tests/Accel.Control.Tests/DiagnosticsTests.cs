using System.Diagnostics.Tracing;
using Microsoft.Diagnostics.NETCore.Client;
using Microsoft.Diagnostics.Tracing;

namespace Accel.Control.Tests;

/// <summary>acceld's own counters, read from the process as dotnet-counters reads them.</summary>
public class DiagnosticsTests
{
    [Fact]
    public async Task Counters_of_a_running_acceld_are_read_over_its_diagnostics_port()
    {
        using var pair = new NetworkPair();
        using var daemon = new TestDaemon(pair);
        using var stack = new TestStack(daemon.SocketPath);
        var client = new DiagnosticsClient(daemon.ProcessId);
        var provider = new EventPipeProvider("System.Diagnostics.Metrics", EventLevel.Informational, 0x2,
            new Dictionary<string, string>
            {
                ["SessionId"] = Guid.NewGuid().ToString(),
                ["Metrics"] = "Accel",
                ["RefreshInterval"] = "1",
                ["MaxTimeSeries"] = "5000",
                ["MaxHistograms"] = "10",
            });
        using EventPipeSession session = client.StartEventPipeSession([provider], requestRundown: false);
        using var source = new EventPipeEventSource(session.EventStream);
        var clients = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        var frames = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        source.Dynamic.All += what =>
        {
            var instrument = $"{what.PayloadByName("instrumentName")}";
            var tags = $"{what.PayloadByName("tags")}";
            if (instrument == "accel.acceld.clients" && $"{what.PayloadByName("lastValue")}" is { Length: > 0 } value)
                clients.TrySetResult(value);
            if (instrument == "accel.interface.frames" && tags.Contains("steered", StringComparison.Ordinal))
                frames.TrySetResult(tags);
        };
        var reading = new Thread(() => source.Process()) { IsBackground = true };
        reading.Start();
        await Task.WhenAll(clients.Task, frames.Task)
            .WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);
        session.Stop();
        Assert.True(reading.Join(TimeSpan.FromSeconds(10)));
        // The stack, and who asks for the status.
        Assert.Equal("2", await clients.Task);
        Assert.Contains(NetworkPair.NearDevice, await frames.Task, StringComparison.Ordinal);
        Assert.Equal(0, daemon.Stop());
    }
}
