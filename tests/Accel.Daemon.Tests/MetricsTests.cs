using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Accel.Control;
using Accel.Core.Stack;
using Accel.Daemon.Telemetry;
using Accel.Testing;
using Socket = System.Net.Sockets.Socket;

namespace Accel.Daemon.Tests;

/// <summary>The metrics as text, read by Prometheus' own parser, and the server that gives them.</summary>
[Collection("meter")]
public sealed unsafe class MetricsTests
{
    private const string Python = "/usr/bin/python3";

    // Everything that the parser understood, as [[family, type, unit, sample, attributes, value]...].
    private const string Parse = """
        import json, sys
        from prometheus_client.openmetrics.parser import text_string_to_metric_families
        print(json.dumps([[f.name, f.type, f.unit, s.name, s.labels, s.value]
            for f in text_string_to_metric_families(sys.stdin.read()) for s in f.samples]))
        """;

    /// <summary>acceld's in the tree.</summary>
    private static string Folder =>
        Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "../../../../tools/Accel.Daemon"));

    private const string OpenMetrics = "application/openmetrics-text;version=1.0.0";

    private const string Request =
        $"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: {OpenMetrics}\r\n\r\n";

    private static int _lastId = 600_000;

    private static SharedStack NewStack() => new((ulong)Interlocked.Increment(ref _lastId));

    private static JsonElement[] Parsed(string text)
    {
        if (!File.Exists("/usr/lib/python3/dist-packages/prometheus_client/__init__.py"))
            Assert.Skip("needs python3-prometheus-client: tools/setup");
        var start = new ProcessStartInfo(Python, ["-c", Parse])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process python = Process.Start(start)!;
        Task<string> errors = python.StandardError.ReadToEndAsync();
        Task<string> output = python.StandardOutput.ReadToEndAsync();
        python.StandardInput.Write(text);
        python.StandardInput.Close();
        python.WaitForExit();
        Assert.True(python.ExitCode == 0, errors.Result);
        return [.. JsonDocument.Parse(output.Result).RootElement.EnumerateArray()];
    }

    private static JsonElement Sample(JsonElement[] all, string name, SharedStack stack, string? value = null) =>
        all.Single(s => s[3].GetString() == name
            && s[4].TryGetProperty("accel_stack_id", out JsonElement id) && id.GetString() == $"{stack.Id:x16}"
            && (value is null || s[4].EnumerateObject().Any(l => l.Value.GetString() == value)));

    [Fact]
    public void TheParserUnderstandsEveryMetric()
    {
        using SharedStack stack = NewStack();
        stack.Add(4, SocketState.Kernel, PathReason.PeerNotAccelerated);
        stack.Stack.ShardAt(3)->Values[(int)Counter.Sleeps] = 77;
        stack.Stack.ShardAt(3)->Values[(int)Counter.SpinNs] = 1_500_000_000;
        stack.Stack.ShardAt(3)->Values[(int)Counter.BytesSent] = 1L << 45;
        string text = Scraped(stack);
        JsonElement[] all = Parsed(text);
        Assert.Equal(77, Sample(all, "accel_stack_sleeps_total", stack)[5].GetDouble());
        JsonElement spin = Sample(all, "accel_stack_spin_seconds_total", stack);
        Assert.Equal(("counter", "seconds", 1.5),
            (spin[1].GetString(), spin[2].GetString(), spin[5].GetDouble()));
        Assert.Equal(1L << 45, Sample(all, "accel_network_io_bytes_total", stack, "transmit")[5].GetDouble());
        Assert.Equal(1, Sample(all, "accel_network_connections", stack, "kernel")[5].GetDouble());
        Assert.Equal(1, Sample(all, "accel_network_kernel_sockets", stack,
            PathReasonText.Rows[(int)PathReason.PeerNotAccelerated])[5].GetDouble());
        JsonElement labels = Sample(all, "accel_stack_sleeps_total", stack)[4];
        Assert.Equal($"{Environment.ProcessId}", labels.GetProperty("process_pid").GetString());
        // Of the name and kind that METRICS.md says; those that only a daemon has are missing.
        foreach (Metric metric in Metrics.All.Where(m => m.Of(Observation.Take(null)).Any()))
            Assert.Contains($"# TYPE {metric.TextName} {(metric.Kind == MetricKind.Counter ? "counter" : "gauge")}\n",
                text, StringComparison.Ordinal);
        Assert.DoesNotContain("otel_metric_overflow", text, StringComparison.Ordinal);
    }

    [Fact]
    public void SeriesEndWithWhatTheyAreOf()
    {
        Observation[] now = [Observation.Take(null)];
        using var meter = new AccelMeter(() => now[0]);
        using var server = new MetricsServer(MetricsAddress.Parse("0"), () => now[0]);
        using SharedStack stays = NewStack();
        stays.Add(4, SocketState.Kernel, PathReason.PeerNotAccelerated);
        JsonElement[] all;
        using (SharedStack goes = NewStack())
        {
            goes.Add(4, SocketState.Listening, PathReason.Local);
            now[0] = Observation.Take(null);
            all = Parsed(Body(server.Address));
            Assert.Equal(1, Sample(all, "accel_network_listeners", goes)[5].GetDouble());
        }
        stays.Stack.SocketAt(0)->Reason = (byte)PathReason.NoPort;
        now[0] = Observation.Take(null);
        all = Parsed(Body(server.Address));
        JsonElement reason = all.Single(s => s[3].GetString() == "accel_network_kernel_sockets"
            && s[4].GetProperty("accel_stack_id").GetString() == $"{stays.Id:x16}");
        Assert.Equal(PathReasonText.Rows[(int)PathReason.NoPort],
            reason[4].GetProperty("accel_path_reason").GetString());
        string[] stacks = [.. all.Where(s => s[3].GetString() == "accel_network_listeners")
            .Select(s => s[4].GetProperty("accel_stack_id").GetString()!)];
        Assert.Equal([.. now[0].Stacks.Select(s => s.Id).Order()], stacks.Order());
    }

    [Fact]
    public void ThereIsRoomForAnyNumberOfSeries()
    {
        Observation[] now = [Observation.Take(null)];
        using var meter = new AccelMeter(() => now[0]);
        using var server = new MetricsServer(MetricsAddress.Parse("0"), () => now[0]);
        Parsed(Body(server.Address));
        List<SharedStack> many = [.. Enumerable.Range(0, 80).Select(_ => NewStack())];
        try
        {
            foreach (SharedStack stack in many) stack.Add(4, SocketState.Listening, PathReason.Local);
            now[0] = Observation.Take(null);
            string text = Body(server.Address);
            Assert.DoesNotContain("otel_metric_overflow", text, StringComparison.Ordinal);
            JsonElement[] all = Parsed(text);
            Assert.All(many, s => Assert.Equal(1, Sample(all, "accel_network_listeners", s)[5].GetDouble()));
        }
        finally
        {
            many.ForEach(s => s.Dispose());
        }
    }

    [Fact]
    public void ASilentReaderKeepsNobodyWaiting()
    {
        using var meter = new AccelMeter(Observation.Source(null));
        using var server = new MetricsServer(MetricsAddress.Parse("0"), () => Observation.Take(null));
        using SharedStack stack = NewStack();
        stack.Add(4, SocketState.Listening, PathReason.Local);
        using var silent = new Socket(SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 2048 };
        silent.Connect(server.Address);
        for (int i = 0; i < 20; i++) silent.Send(Encoding.ASCII.GetBytes(Request));
        Assert.Equal(1, Sample(Parsed(Body(server.Address)), "accel_network_listeners", stack)[5].GetDouble());
    }

    [Fact]
    public void EachMetricHasANameOfItsOwn()
    {
        Assert.Equal(Metrics.All.Length, Metrics.All.Select(m => m.TextName).Distinct().Count());
        Assert.All(Metrics.All, m => Assert.Matches("^accel(\\.[a-z0-9_]+)+$", m.Name));
    }

    [Fact]
    public void TheDocumentNamesEveryMetric()
    {
        string path = Path.Combine(Folder, "METRICS.md");
        string expected = MetricsDocument.Write();
        if (Environment.GetEnvironmentVariable("ACCEL_UPDATE") == "1") File.WriteAllText(path, expected);
        Assert.True(File.ReadAllText(path) == expected,
            "METRICS.md is stale: run artifacts/bin/Accel.Daemon.Tests/release/Accel.Daemon.Tests with ACCEL_UPDATE=1");
    }

    [Fact]
    public void TheDashboardAsksForMetricsThatThereAre()
    {
        string text = File.ReadAllText(Path.Combine(Folder, "grafana-dashboard.json"));
        using JsonDocument dashboard = JsonDocument.Parse(text);
        var names = Metrics.All.Select(m => m.Kind == MetricKind.Counter ? $"{m.TextName}_total" : m.TextName)
            .ToHashSet();
        int asked = 0;
        foreach (JsonElement panel in dashboard.RootElement.GetProperty("panels").EnumerateArray())
        {
            foreach (JsonElement target in panel.GetProperty("targets").EnumerateArray())
            {
                foreach (System.Text.RegularExpressions.Match name in System.Text.RegularExpressions.Regex.Matches(
                    target.GetProperty("expr").GetString()!, "accel_[a-z0-9_]+(?=[{\\[])"))
                {
                    Assert.Contains(name.Value, names);
                    asked++;
                }
            }
        }
        Assert.True(asked > 8, $"{asked} metrics");
    }

    [Theory]
    [InlineData(Request, "HTTP/1.1 200 OK", true)]
    [InlineData("GET /metrics HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK", false)] // Prometheus' own text, which has no end
    [InlineData("HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK", false)]
    [InlineData("GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 404 Not Found", false)]
    [InlineData("GET /metrics/x HTTP/1.0\r\n\r\n", "HTTP/1.1 404 Not Found", false)]
    [InlineData("POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 405 Method Not Allowed", false)]
    [InlineData("nonsense\r\n\r\n", "HTTP/1.1 400 Bad Request", false)]
    public void TheServerAnswersOverTcp(string request, string status, bool hasMetrics)
    {
        using var meter = new AccelMeter(Observation.Source(null));
        using var server = new MetricsServer(MetricsAddress.Parse("127.0.0.1:0"), () => Observation.Take(null));
        string answer = Ask(server.Address, request);
        Assert.StartsWith(status, answer, StringComparison.Ordinal);
        Assert.Equal(hasMetrics, answer.Contains("# EOF\n", StringComparison.Ordinal));
    }

    [Fact]
    public void TheServerAnswersOverAUnixSocketThatStrangersCannotOpen()
    {
        string path = Path.Combine(Path.GetTempPath(), $"accel-metrics-{Guid.NewGuid():N}");
        // One that an acceld which was killed left behind.
        using (var left = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
            left.Bind(new UnixDomainSocketEndPoint(path));
        using var meter = new AccelMeter(Observation.Source(null));
        using (var server = new MetricsServer(MetricsAddress.Parse($"unix:{path}"), () => Observation.Take(null)))
        {
            Assert.Equal(UnixFileMode.None, File.GetUnixFileMode(path)
                & (UnixFileMode.OtherRead | UnixFileMode.OtherWrite));
            Assert.NotEmpty(Parsed(Body(server.Address)));
            Assert.Throws<ControlException>(() => new MetricsServer(server.Address, () => Observation.Take(null)));
        }
        Assert.False(File.Exists(path));
    }

    [Fact]
    public void AFileThatIsNoSocketStaysAsItIs()
    {
        string path = Path.GetTempFileName();
        File.WriteAllText(path, "mine");
        Assert.Throws<ControlException>(() =>
            new MetricsServer(MetricsAddress.Parse($"unix:{path}"), () => Observation.Take(null)));
        Assert.Equal("mine", File.ReadAllText(path));
        File.Delete(path);
    }

    [Fact]
    public void WhoSaysNothingKeepsTheOthersOnlyAMoment()
    {
        using var server = new MetricsServer(MetricsAddress.Parse("127.0.0.1:0"), () => Observation.Take(null));
        using var silent = new Socket(SocketType.Stream, ProtocolType.Tcp);
        silent.Connect(server.Address);
        silent.Send("GET"u8);
        using var vast = new Socket(SocketType.Stream, ProtocolType.Tcp);
        vast.Connect(server.Address);
        vast.Send(new byte[100_000]);
        long began = Stopwatch.GetTimestamp();
        Assert.Contains("200 OK", Ask(server.Address, Request), StringComparison.Ordinal);
        Assert.True(Stopwatch.GetElapsedTime(began) < TimeSpan.FromSeconds(15));
    }

    [Theory]
    [InlineData("94000")]
    [InlineData("127.0.0.1")]
    [InlineData("localhost:9400")]
    [InlineData("unix:metrics")]
    public void AnAddressThatIsNoneIsRefused(string text) =>
        Assert.Throws<ControlException>(() => MetricsAddress.Parse(text));

    [Fact]
    public void TheWebFrameworkIsFoundBesideTheRuntime()
    {
        string root = Directory.CreateTempSubdirectory("accel-shared-").FullName;
        string Made(string name) => Directory.CreateDirectory(Path.Combine(root, name)).FullName;
        int major = Environment.Version.Major;
        string runtime = Made($"Microsoft.NETCore.App/{major}.0.7") + "/";
        Assert.Null(WebFramework.Folder(runtime));
        Made($"Microsoft.AspNetCore.App/{major - 1}.0.99");
        Assert.Null(WebFramework.Folder(runtime));
        string other = Made($"Microsoft.AspNetCore.App/{major}.0.10");
        Made($"Microsoft.AspNetCore.App/{major}.0.9");
        Assert.Equal(other, WebFramework.Folder(runtime));
        string same = Made($"Microsoft.AspNetCore.App/{major}.0.7");
        Assert.Equal(same, WebFramework.Folder(runtime));
        Directory.Delete(root, true);
    }

    [Fact]
    public void APortAloneIsTheLoopbacks() =>
        Assert.Equal(new IPEndPoint(IPAddress.Loopback, 9400), MetricsAddress.Parse("9400"));

    [Fact]
    public void APathTooLongForASocketIsRefused() =>
        Assert.Throws<ControlException>(() => MetricsAddress.Parse($"unix:/{new string('x', 120)}"));

    /// <summary>What a scraper gets of this process's stacks.</summary>
    private static string Scraped(SharedStack stack)
    {
        Assert.NotEqual(0UL, stack.Id);
        Observation now = Observation.Take(null);
        using var meter = new AccelMeter(() => now);
        using var server = new MetricsServer(MetricsAddress.Parse("0"), () => now);
        return Body(server.Address);
    }

    private static string Body(EndPoint address) => Scraper.Body(address, OpenMetrics);

    private static string Ask(EndPoint address, string request)
    {
        using var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        socket.ReceiveTimeout = 15_000;
        socket.Connect(address);
        socket.Send(Encoding.ASCII.GetBytes(request));
        var answer = new MemoryStream();
        byte[] bytes = new byte[65536];
        for (int got; (got = socket.Receive(bytes)) > 0;) answer.Write(bytes, 0, got);
        return Encoding.UTF8.GetString(answer.ToArray());
    }
}
