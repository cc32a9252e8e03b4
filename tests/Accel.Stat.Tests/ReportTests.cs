using System.Globalization;
using System.Text.Json.Nodes;
using Accel.Core.Stack;
using Accel.Inspect;
using Accel.Inspect.Look;
using Accel.Testing;

namespace Accel.Stat.Tests;

/// <summary>Totals, rates and units, in each form that they are written in.</summary>
public sealed unsafe class ReportTests
{
    private static int _lastId = 800_000;

    private static SharedStack NewStack() => new((ulong)Interlocked.Increment(ref _lastId));

    private static StackReading Read(SharedStack stack)
    {
        using Machine machine = Machine.Look();
        return StackReading.Of(machine, machine.Stacks.Single(s => s.Id == stack.Id));
    }

    /// <summary>Two samples, two seconds apart, between which the stack counts.</summary>
    private static (Sample First, Sample Second) TwoSamples(SharedStack stack)
    {
        stack.Add(4, SocketState.Unconnected, PathReason.NotYetRouted);
        CounterShard* shard = stack.Stack.ShardAt(0);
        shard->Values[(int)Counter.Sleeps] = 50;
        shard->Values[(int)Counter.SpinNs] = 1_000;
        Sample first = Sample.Of([Read(stack)], [], 1_000_000_000, null);
        shard->Values[(int)Counter.Sleeps] += 10;
        shard->Values[(int)Counter.SpinNs] += 500_000_000;
        return (first, Sample.Of([Read(stack)], [], 3_000_000_000, first));
    }

    [Fact]
    public void ACounterIsATotalAtFirstAndThenARate()
    {
        using SharedStack stack = NewStack();
        (Sample first, Sample second) = TwoSamples(stack);
        Figure sleeps = Figures.Find("sleeps")!, spin = Figures.Find("spin")!;
        Assert.Equal(50, first.Value(first.Stacks[0], sleeps));
        Assert.Equal(5, second.Value(second.Stacks[0], sleeps));
        Assert.Equal("25%", Numbers.Text(second.Value(second.Stacks[0], spin), spin, second.HasRates));
        Assert.Equal("0.00s", Numbers.Text(first.Value(first.Stacks[0], spin), spin, first.HasRates));
    }

    [Fact]
    public void JsonHasTotalsAndRatesUnderTheFiguresNames()
    {
        using SharedStack stack = NewStack();
        (Sample first, Sample second) = TwoSamples(stack);
        Assert.Null(JsonNode.Parse(Reports.Json(first).ToJsonString())!["stacks"]![0]!["per_second"]);
        JsonNode json = JsonNode.Parse(Reports.Json(second).ToJsonString())!["stacks"]![0]!;
        Assert.Equal(60, (long)json["totals"]!["sleeps"]!);
        Assert.Equal(250_000_000, (double)json["per_second"]!["spin"]!);
        Assert.Equal(Figures.All.Select(f => f.Name), json["totals"]!.AsObject().Select(p => p.Key));
        Assert.Equal(Figures.All.Where(f => f.Kind == FigureKind.Counter).Select(f => f.Name),
            json["per_second"]!.AsObject().Select(p => p.Key));
        Assert.Equal(Environment.ProcessId, (int)json["processes"]![0]!["pid"]!);
    }

    [Fact]
    public void CsvHasACellForEachTitle()
    {
        using SharedStack stack = NewStack();
        (_, Sample second) = TwoSamples(stack);
        string[] titles = Reports.CsvHeader().Split(',');
        string[] cells = Assert.Single(Reports.Csv(second, Figures.All[0], false)).Split(',');
        Assert.Equal(titles.Length, cells.Length);
        Assert.Equal("5", cells[Array.IndexOf(titles, "sleeps")]);
        Assert.Equal("250000000", cells[Array.IndexOf(titles, "spin_ns")]);
        Assert.Contains("bytes_in", titles);
    }

    /// <summary>
    /// acceld's looks come when they come: a stack's rates are of the time between the looks at it, and stay while the
    /// same look is shown again.
    /// </summary>
    [Fact]
    public void RatesOfOtherUsersStacksAreOfTheirLooksOwnTime()
    {
        using SharedStack stack = NewStack();
        stack.Add(4, SocketState.Unconnected, PathReason.NotYetRouted);
        long* sleeps = &stack.Stack.ShardAt(0)->Values[(int)Counter.Sleeps];
        Figure figure = Figures.Find("sleeps")!;
        byte[] earlier = Look();
        *sleeps += 100;
        Thread.Sleep(50);
        byte[] later = Look();
        StackReading first = Foreign(stack, earlier), second = Foreign(stack, later);
        Assert.Equal("acceld", first.Seen);
        double expected = 100 / ((second.AtNs - first.AtNs) / 1e9), rounding = expected / 1e5;
        Sample one = Sample.Of([first], [], 1_000_000_000, null);
        Sample two = Sample.Of([second], [], 2_000_000_000, one);
        Sample again = Sample.Of([Foreign(stack, later)], [], 3_000_000_000, two);
        Assert.Equal(expected, two.Value(two.Stacks[0], figure), rounding);
        Assert.Equal(expected, again.Value(again.Stacks[0], figure), rounding);
        Assert.EndsWith(",acceld", Assert.Single(Reports.Csv(two, figure, false)), StringComparison.Ordinal);
        Assert.Equal("acceld", (string?)Reports.Json(two)["stacks"]![0]!["seen"]);
    }

    private static byte[] Look()
    {
        using var to = new MemoryStream();
        new LookTaker(new LookLimits()).Take(null, to);
        return to.ToArray();
    }

    private static StackReading Foreign(SharedStack stack, byte[] look)
    {
        using var machine = new Machine { Surroundings = new SavedSurroundings() };
        LookReader.AddTo(machine, new MemoryStream(look));
        return StackReading.Of(machine, machine.Stacks.Single(s => s.Id == stack.Id));
    }

    [Fact]
    public void LargestComeFirstUnlessReversed()
    {
        using SharedStack small = NewStack(), large = NewStack();
        small.Stack.ShardAt(0)->Values[(int)Counter.WakesSent] = 1;
        large.Stack.ShardAt(0)->Values[(int)Counter.WakesSent] = 2;
        Sample sample = Sample.Of([Read(small), Read(large)], [], 0, null);
        Figure wakeups = Figures.Find("wakeups")!;
        Assert.Equal([2, 1], Reports.Sorted(sample, wakeups, false).Select(wakeups.Of));
        Assert.Equal([1, 2], Reports.Sorted(sample, wakeups, true).Select(wakeups.Of));
    }

    [Theory]
    [InlineData(0, "", "0")]
    [InlineData(9999, "", "9999")]
    [InlineData(10_000, "", "10.0k")]
    [InlineData(1_234_567, "", "1235k")]
    [InlineData(12_345_678, "", "12.3M")]
    [InlineData(10_240, "bytes", "10.0K")]
    [InlineData(0.24, "", "0.2")]
    public void NumbersAreShortEnoughForAColumn(double value, string unit, string text) =>
        Assert.Equal(text, Numbers.Text(value, Figures.All[0] with { Unit = unit }, true));

    [Fact]
    public void AProcessThatIsGoneEndsTheLinesWithItsNumber()
    {
        var output = new StringWriter(CultureInfo.InvariantCulture);
        var errors = new StringWriter(CultureInfo.InvariantCulture);
        var wishes = new Wishes(int.MaxValue, TimeSpan.FromSeconds(1), 1, Figures.All[0], false, true, Form.Table);
        Assert.Equal(1, Lines.Run(wishes, output, errors));
        Assert.Contains($"{int.MaxValue}", errors.ToString(), StringComparison.Ordinal);
        Assert.Empty(output.ToString());
    }
}
