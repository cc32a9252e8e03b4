using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Tracing;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Core.Stack;
using Accel.Core.Tcp;
using Accel.Daemon.Telemetry;
using Accel.Inspect;
using Accel.Testing;
using Microsoft.Diagnostics.NETCore.Client;
using Microsoft.Diagnostics.Tracing;
using EventLog = Accel.Core.Stack.EventLog;

namespace Accel.Daemon.Tests;

/// <summary>
/// What dotnet-counters and dotnet-trace get: read through the diagnostics port of a process in which acceld's
/// telemetry runs, as these tools read it.
/// </summary>
[Collection("meter")]
public sealed unsafe class EventPipeTests
{
    private static int _lastId = 650_000;

    private static SharedStack NewStack() => new((ulong)Interlocked.Increment(ref _lastId));

    /// <summary>Collects what a provider says, until that is enough.</summary>
    private static List<TraceEvent> Collect(EventPipeProvider provider, Action<int> meanwhile,
        Func<IReadOnlyCollection<TraceEvent>, bool> enough)
    {
        var client = new DiagnosticsClient(Environment.ProcessId);
        using EventPipeSession session = client.StartEventPipeSession([provider], requestRundown: false);
        using var source = new EventPipeEventSource(session.EventStream);
        var got = new ConcurrentQueue<TraceEvent>();
        source.Dynamic.All += what => got.Enqueue(what.Clone());
        var reading = new Thread(() => source.Process()) { IsBackground = true };
        reading.Start();
        long began = Stopwatch.GetTimestamp();
        for (int turn = 0; !enough(got) && Stopwatch.GetElapsedTime(began) < TimeSpan.FromSeconds(20); turn++)
        {
            meanwhile(turn);
            reading.Join(100);
        }
        session.Stop();
        reading.Join(TimeSpan.FromSeconds(10));
        return [.. got];
    }

    private static string Text(TraceEvent what, string field) => $"{what.PayloadByName(field)}";

    [Fact]
    public void CountersCanBeReadAsDotnetCountersReadsThem()
    {
        using SharedStack stack = NewStack();
        stack.Add(4, SocketState.Listening, PathReason.Local);
        stack.Stack.ShardAt(0)->Values[(int)Counter.Sleeps] = 100;
        string id = $"{stack.Id:x16}";
        using var telemetry = new TelemetryService("/nowhere", null, _ => { });
        var provider = new EventPipeProvider("System.Diagnostics.Metrics", EventLevel.Informational, 0x2,
            new Dictionary<string, string>
            {
                ["SessionId"] = Guid.NewGuid().ToString(),
                ["Metrics"] = "Accel",
                ["RefreshInterval"] = "1",
                ["MaxTimeSeries"] = "5000",
                ["MaxHistograms"] = "10",
            });
        bool Is(TraceEvent what, string instrument) => Text(what, "instrumentName") == instrument
            && Text(what, "tags").Contains(id, StringComparison.Ordinal);
        List<TraceEvent> got = Collect(provider, _ => stack.Stack.ShardAt(0)->Values[(int)Counter.Sleeps] += 10,
            all => all.Any(e => Is(e, "accel.network.listeners"))
                && all.Any(e => Is(e, "accel.stack.sleeps") && Text(e, "rate") is not ("" or "0")));
        TraceEvent gauge = got.First(e => Is(e, "accel.network.listeners"));
        Assert.Equal(("GaugeValuePublished", "1"), (gauge.EventName, Text(gauge, "lastValue")));
        Assert.Contains(got, e => e.EventName == "CounterRateValuePublished" && Is(e, "accel.stack.sleeps")
            && Text(e, "rate") is not ("" or "0"));
    }

    [Fact]
    public void WhatHappensToConnectionsArrivesAsEventsWithFields()
    {
        using SharedStack stack = NewStack();
        stack.AddLink(0, "veth7", LinkFlags.Generic);
        NicBlock* block = stack.AddBlock(NicUse.Live, TcpState.Established);
        block->Route.Local = Endpoint.Loopback(Endpoint.V4, 80);
        block->Route.Remote = Endpoint.Loopback(Endpoint.V4, 50000);
        string id = $"{stack.Id:x16}";
        StackEvent what = new()
        {
            Pid = 4711,
            Local = Endpoint.Loopback(Endpoint.V4, 6379),
            Remote = Endpoint.Loopback(Endpoint.V4, 40000),
            Sent = 12,
            Received = 34,
        };
        void Happen(int turn)
        {
            // Whenever the feed takes its first look: some of these come after it.
            foreach (StackEventKind kind in (StackEventKind[])[StackEventKind.Opened, StackEventKind.Closed,
                StackEventKind.OnKernel, StackEventKind.HandedOver])
            {
                what.Kind = kind;
                what.Reason = kind == StackEventKind.OnKernel ? (byte)PathReason.NoPort
                    : kind == StackEventKind.HandedOver ? (byte)0 : (byte)PathReason.Nic;
                EventLog.Write(stack.Stack.Events, what);
            }
            block->Tcb.Tally.Retransmitted += 3;
            stack.Nic.Tables->Counters.Values[(int)NicCounter.RxBadChecksum] += 2;
        }

        string[] wanted =
            ["ConnectionOpened", "ConnectionClosed", "PathChosen", "Handover", "Retransmission", "Dropped"];
        using var telemetry = new TelemetryService("/nowhere", null, _ => { });
        List<TraceEvent> got = Collect(new EventPipeProvider("Accel", EventLevel.Informational), Happen,
            all => wanted.All(w => all.Any(e => e.EventName == w && Text(e, "stack") == id)));
        TraceEvent One(string name) => got.First(e => e.EventName == name && Text(e, "stack") == id
            && Text(e, "path") != "nic" | name.StartsWith("Connection", StringComparison.Ordinal));
        Assert.Equal(("127.0.0.1:6379", "127.0.0.1:40000", "nic", "4711"), (Text(One("ConnectionOpened"), "local"),
            Text(One("ConnectionOpened"), "remote"), Text(One("ConnectionOpened"), "path"),
            Text(One("ConnectionOpened"), "pid")));
        Assert.Equal(("12", "34"),
            (Text(One("ConnectionClosed"), "bytesSent"), Text(One("ConnectionClosed"), "bytesReceived")));
        Assert.Equal(PathReasonText.Rows[(int)PathReason.NoPort], Text(One("PathChosen"), "reason"));
        Assert.Equal("True", Text(One("Handover"), "done"));
        Assert.Equal("127.0.0.1:50000", Text(One("Retransmission"), "remote"));
        Assert.Equal(0, int.Parse(Text(One("Retransmission"), "segments")) % 3);
        Assert.Equal("rx_bad_checksum", Text(One("Dropped"), "reason"));
    }

    [Fact]
    public void WhatWasOverwrittenIsCounted()
    {
        using SharedStack stack = NewStack();
        stack.Add(4, SocketState.Unconnected, PathReason.NotYetRouted);
        using var listener = new Listener();
        Assert.Null(AccelEvents.Log.ConstructionException);
        var feed = new EventFeed();
        Look(feed);
        for (int i = 0; i < EventLog.Length + 5; i++)
            EventLog.Write(stack.Stack.Events, new StackEvent { Kind = StackEventKind.Closed });
        Look(feed);
        string id = $"{stack.Id:x16}";
        Assert.Equal(5L, listener.Got.Single(e => e.EventName == "Missed" && (string)e.Payload![0]! == id).Payload![1]);
        Assert.Equal(EventLog.Length,
            listener.Got.Count(e => e.EventName == "ConnectionClosed" && (string)e.Payload![0]! == id));
    }

    private static void Look(EventFeed feed)
    {
        using Machine machine = Machine.Look();
        feed.Look(machine, machine.Stacks, AccelEvents.Log);
    }

    private sealed class Listener : EventListener
    {
        public ConcurrentQueue<EventWrittenEventArgs> Got { get; } = [];

        protected override void OnEventSourceCreated(EventSource source)
        {
            if (source.Name == "Accel") EnableEvents(source, EventLevel.Verbose);
        }

        protected override void OnEventWritten(EventWrittenEventArgs what) => Got?.Enqueue(what);
    }
}
