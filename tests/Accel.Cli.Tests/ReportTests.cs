using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using Accel.Cli.Bench;
using Accel.Cli.Processes;
using Accel.Cli.Reports;

namespace Accel.Cli.Tests;

/// <summary>The report's arithmetic, its page, and that its load is an open one.</summary>
public sealed partial class ReportTests
{
    [Fact]
    public void AHistogramAnswersForAllRunsTogether()
    {
        var one = new Histogram();
        var other = new Histogram();
        for (int i = 1; i <= 98; i++) one.Add(i, 1);
        other.Add(1000, 2);
        one.Add(other);
        Assert.Equal(100, one.Count);
        Assert.Equal([50.0, 98.0, 1000.0, 1000.0], new[] { 0.5, 0.98, 0.99, 1 }.Select(one.At));
    }

    [Fact]
    public void IntervalsHoldTheMedianAndAreTheSameEachTime()
    {
        double[] values = [10, 11, 9, 10, 30, 10, 12, 8, 10, 11];
        Estimate estimate = Statistics.Of(values);
        Assert.Equal(10, estimate.Median);
        Assert.True(estimate.Low <= 10 && estimate.High >= 10 && estimate.Low >= 8 && estimate.High <= 30);
        Assert.Equal(estimate, Statistics.Of(values));
        Estimate ratio = Statistics.Ratio([20, 20, 20], [10, 10, 10]);
        Assert.Equal((2.0, 2.0, 2.0), (ratio.Median, ratio.Low, ratio.High));
        Assert.Equal((7.0, 7.0, 7.0), Statistics.Of([7]) is var e ? (e.Median, e.Low, e.High) : default);
    }

    /// <summary>
    /// A server that stalls once for 300 ms of a second: a closed loop would count one slow request, an open one must
    /// count each that was due meanwhile.
    /// </summary>
    [Fact]
    public async Task AStallIsChargedToEveryRequestThatWasDue()
    {
        CancellationToken end = TestContext.Current.CancellationToken;
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        int port = ((IPEndPoint)listener.LocalEndpoint).Port;
        Task server = Task.Run(() => EchoWithOneStall(listener), end);
        (string output, _) = Child.Run(new End(Side.Kernel, new Place(0), []), TimeSpan.FromSeconds(20),
            Installation.LoadProgram("openloop"), "echo", $"{port}", "1000", "1", "1.25");
        await server.WaitAsync(TimeSpan.FromSeconds(10), end);
        long slow = 0, all = 0;
        foreach (string[] bucket in output.Split('\n').Select(l => l.Split(' ')).Where(w => w[0] == "bucket"))
        {
            long count = long.Parse(bucket[2], CultureInfo.InvariantCulture);
            all += count;
            if (long.Parse(bucket[1], CultureInfo.InvariantCulture) > 100_000_000) slow += count;
        }
        // A thousand a second for the second that counts; those due in the first 200 ms of the stall waited over
        // 100 ms.
        Assert.InRange(all, 950, 1050);
        Assert.InRange(slow, 190, 700);
    }

    private static void EchoWithOneStall(TcpListener listener)
    {
        using Socket s = listener.AcceptSocket();
        s.NoDelay = true;
        var buffer = new byte[64];
        for (int i = 0; ; i++)
        {
            int got = 0;
            for (int n; got < 64; got += n)
            {
                n = s.Receive(buffer, got, 64 - got, SocketFlags.None, out SocketError error);
                if (n == 0 || error != SocketError.Success) return;
            }
            if (i == 600) Stall(300);
            s.Send(buffer);
        }
    }

    /// <summary>Time that the server is away.</summary>
    private static void Stall(int milliseconds)
    {
        using var never = new ManualResetEventSlim();
        never.Wait(milliseconds, CancellationToken.None);
    }

    [Fact]
    public void ThePageHasEveryFigureBesideTheKernelsAndNothingFromElsewhere()
    {
        var latency = new Histogram();
        for (int i = 1; i <= 1000; i++) latency.Add(i, 3);
        LoadRun Run(double achieved) => new(1000, achieved, 5, latency);
        var loads = new SortedDictionary<double, Dictionary<Side, List<LoadRun>>>
        {
            [1000] = new() { [Side.Kernel] = [Run(400)], [Side.Accel] = [Run(1000)] },
        };
        CaseFinding Case(string name) => new("local",
            new BenchCase(name, "1/s", false, [], [], (_, _, _) => default),
            new Dictionary<Side, List<Sample>> { [Side.Kernel] = [new(100, 4, 4)], [Side.Accel] = [new(250, 1, 1)] },
                null);
        var failed = Case("broken") with
        {
            Runs = new Dictionary<Side, List<Sample>> { [Side.Kernel] = [], [Side.Accel] = [] },
            Error = "no <server> came up",
        };
        var findings = new Findings([("system", "a & b")], 1, 1, true, [Case("redis"), failed],
            [(64, Case("stream-64")), (1024, Case("stream-1024"))],
            [new("echo", "64-byte echo", 1000, 2000, loads, null)]);
        string page = ReportPage.Of(findings);
        Assert.DoesNotMatch(FromElsewhere(), page);
        Assert.Contains("a &amp; b", page);
        Assert.Contains("no &lt;server&gt; came up", page);
        Assert.Contains("class=\"curve kernel unmet\"", page);
        Assert.Contains("class=\"curve accel\"", page);
        Assert.Contains("2.50x", page);
        System.Xml.Linq.XDocument.Parse(page[page.IndexOf("<svg", StringComparison.Ordinal)..
            (page.IndexOf("</svg>", StringComparison.Ordinal) + 6)]);
        Assert.Equal(0.4, (double)findings.ToJson()["latency"]![0]!["loads"]![0]!["achieved"]! / 1000);
        Assert.False((bool)findings.ToJson()["latency"]![0]!["loads"]![0]!["met"]!);
    }

    [GeneratedRegex("(src|href)=|url\\(|@import|<script|https?://")]
    private static partial Regex FromElsewhere();
}
