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
        string text = OpenMetricsText.Write(Observation.Take(null));
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
        string[] families = [.. text.Split('\n').Where(l => l.StartsWith("# TYPE", StringComparison.Ordinal))];
        Assert.Equal(Metrics.All.Length, families.Length);
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
    [InlineData("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK", true)]
    [InlineData("HEAD /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", false)]
    [InlineData("GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 404 Not Found", false)]
    [InlineData("POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed", false)]
    [InlineData("nonsense\r\n\r\n", "HTTP/1.1 400 Bad Request", false)]
    public void TheServerAnswersOverTcp(string request, string status, bool hasMetrics)
    {
        using var server = new MetricsServer(MetricsAddress.Parse("127.0.0.1:0"), () => Observation.Take(null));
        string answer = Ask(server.Address, request);
        Assert.StartsWith(status, answer, StringComparison.Ordinal);
        Assert.Equal(hasMetrics, answer.EndsWith("# EOF\n", StringComparison.Ordinal));
    }

    [Fact]
    public void TheServerAnswersOverAUnixSocketThatStrangersCannotOpen()
    {
        string path = Path.Combine(Path.GetTempPath(), $"accel-metrics-{Guid.NewGuid():N}");
        // One that an acceld which was killed left behind.
        using (var left = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
            left.Bind(new UnixDomainSocketEndPoint(path));
        using (var server = new MetricsServer(MetricsAddress.Parse($"unix:{path}"), () => Observation.Take(null)))
        {
            Assert.Equal(UnixFileMode.None, File.GetUnixFileMode(path)
                & (UnixFileMode.OtherRead | UnixFileMode.OtherWrite));
            Assert.EndsWith("# EOF\n", Ask(server.Address, "GET /metrics HTTP/1.1\r\n\r\n"), StringComparison.Ordinal);
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
        Assert.Contains("200 OK", Ask(server.Address, "GET /metrics HTTP/1.1\r\n\r\n"), StringComparison.Ordinal);
        Assert.True(Stopwatch.GetElapsedTime(began) < TimeSpan.FromSeconds(15));
    }

    [Theory]
    [InlineData("9400")]
    [InlineData("127.0.0.1")]
    [InlineData("localhost:9400")]
    [InlineData("unix:metrics")]
    public void AnAddressThatIsNoneIsRefused(string text) =>
        Assert.Throws<ControlException>(() => MetricsAddress.Parse(text));

    [Fact]
    public void APathTooLongForASocketIsRefused() =>
        Assert.Throws<ControlException>(() => MetricsAddress.Parse($"unix:/{new string('x', 120)}"));

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
