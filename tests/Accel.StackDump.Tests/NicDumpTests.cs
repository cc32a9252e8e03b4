using System.Text.Json.Nodes;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Core.Stack;
using Accel.Core.Tcp;
using Accel.Inspect;
using Accel.StackDump.Verbs;
using Accel.Testing;
using Accel.Wire;

namespace Accel.StackDump.Tests;

/// <summary>What stackdump shows of connections over network interfaces, and of the interfaces.</summary>
public sealed unsafe class NicDumpTests
{
    private static readonly Selection Own = Selection.Of(Environment.ProcessId);

    private static int _lastId = 500_000;

    private static SharedStack NewStack() => new((ulong)Interlocked.Increment(ref _lastId));

    private static JsonObject[] Rows(Output output, SharedStack stack) =>
        [.. JsonNode.Parse(output.Json.ToJsonString())!.AsArray().Select(n => n!.AsObject())
            .Where(o => (string)o["stack"]! == stack.Id.ToString("x16"))];

    /// <summary>An established connection over link 0, under a descriptor of this process.</summary>
    private static NicBlock* Connect(SharedStack stack, int descriptor)
    {
        stack.AddLink(0, "veth7", LinkFlags.Generic | LinkFlags.Up);
        int conn = stack.Local.TakeConn(1, 0);
        Socket* socket = stack.Add(descriptor, SocketState.Connected, PathReason.Nic);
        (socket->Region, socket->Index, socket->Side) = (1, (uint)conn, 0);
        socket->Local = Endpoint.Loopback(Endpoint.V4, 40000);
        socket->Remote = Endpoint.Loopback(Endpoint.V4, 80);
        stack.Local.ConnAt(conn)->Pipe0.Tail = 900;
        NicBlock* block = stack.AddBlock(NicUse.Live, TcpState.Established, conn);
        block->Tcb.Flags = TcbFlags.Timestamps | TcbFlags.Sack;
        block->Tcb.SndMss = 1448;
        block->Tcb.SndUna = new SeqNum(1000);
        block->Tcb.SndNxt = new SeqNum(1900);
        block->Tcb.Recovery.Congestion.Cwnd = 14480;
        block->Tcb.Recovery.Rtt.Srtt = 250_000;
        block->Tcb.Recovery.Rtt.RttVar = 60_000;
        return block;
    }

    [Fact]
    public void AConnectionShowsItsPathLinkStateAndInside()
    {
        using SharedStack stack = NewStack();
        NicBlock* block = Connect(stack, 9);
        block->Tcb.State = TcpState.CloseWait;
        using Machine machine = Machine.Look();
        JsonObject line = Assert.Single(Rows(SocketsVerb.Show(machine, Own), stack));
        Assert.Equal("CLOSE-WAIT", (string)line["state"]!);
        Assert.Equal("nic", (string)line["path"]!);
        Assert.Equal("veth7", (string)line["link"]!);
        Assert.Equal(900, (int)line["send_q"]!);
        Assert.Equal(10, (int)line["tcp"]!["cwnd"]!);
        Assert.Equal("0.25/0.06", (string)line["tcp"]!["rtt"]!);
        Assert.True((bool)line["tcp"]!["sack"]!);
        Assert.Equal(1, (int)line["tcp"]!["unacked"]!);
    }

    [Fact]
    public void TheSecondLineReadsAsThatOfSs()
    {
        using SharedStack stack = NewStack();
        Connect(stack, 9);
        using Machine machine = Machine.Look();
        IReadOnlyList<string> lines = SocketsVerb.Show(machine, Own, info: true).Lines;
        int at = Enumerable.Range(0, lines.Count).Single(i => lines[i].Contains("veth7", StringComparison.Ordinal)
            && lines[i].Contains($",{Environment.ProcessId},9)", StringComparison.Ordinal));
        Assert.StartsWith("\t ts sack cubic wscale:0,0 rto:", lines[at + 1], StringComparison.Ordinal);
        Assert.Contains(" mss:1448 ", lines[at + 1], StringComparison.Ordinal);
    }

    [Fact]
    public void TheNextTimerIsNamedWithTheTimeThatIsLeft()
    {
        using SharedStack stack = NewStack();
        NicBlock* block = Connect(stack, 9);
        using Machine machine = Machine.Look();
        Assert.Null(TcpText.Timer(in block->Tcb, machine.NowNs));
        block->Tcb.SlowTimerAt = machine.NowNs + 60_000_000_000;
        block->Tcb.SendTimer = SendTimer.Persist;
        block->Tcb.SendTimerAt = machine.NowNs + 5_000_000;
        (string name, double millis) = TcpText.Timer(in block->Tcb, machine.NowNs)!.Value;
        Assert.Equal(("persist", 5.0), (name, millis));
    }

    [Fact]
    public void ConnectionsWithoutASocketAreShownToo()
    {
        using SharedStack stack = NewStack();
        stack.AddLink(0, "veth7", LinkFlags.Generic);
        NicBlock* waiting = stack.AddBlock(NicUse.TimeWait, TcpState.TimeWait);
        waiting->Route.Remote = Endpoint.Loopback(Endpoint.V4, 4711);
        stack.AddBlock(NicUse.HalfOpen, TcpState.SynReceived);
        using Machine machine = Machine.Look();
        JsonObject[] rows = Rows(SocketsVerb.Show(machine, Own), stack);
        Assert.Equal(["TIME-WAIT", "SYN-RECV"], rows.Select(r => (string)r["state"]!));
        Assert.Equal("127.0.0.1:4711", (string)rows[0]["peer"]!);
        Assert.Empty(rows[0]["holders"]!.AsArray());
    }

    [Fact]
    public void ALocalConnectionBesideItIsStillLocal()
    {
        using SharedStack stack = NewStack();
        Connect(stack, 9);
        int conn = stack.Local.TakeConn(1, 0);
        Socket* socket = stack.Add(10, SocketState.Connected, PathReason.Local);
        (socket->Region, socket->Index) = (1, (uint)conn);
        using Machine machine = Machine.Look();
        Assert.Equal(["nic", "local"],
            Rows(SocketsVerb.Show(machine, Own), stack).Select(r => (string)r["path"]!));
    }

    [Fact]
    public void AListenerOfTheLinksSaysSo()
    {
        using SharedStack stack = NewStack();
        int index = stack.Local.TakeListener();
        Socket* socket = stack.Add(4, SocketState.Listening, PathReason.Local);
        (socket->Region, socket->Index) = (1, (uint)index);
        NicListening* listening = stack.Nic.ListenerAt(index);
        (listening->Open, listening->HalfOpen, listening->Syns) = (1, 3, 17);
        using Machine machine = Machine.Look();
        JsonObject line = Assert.Single(Rows(SocketsVerb.Show(machine, Own), stack));
        Assert.Equal("nic", (string)line["path"]!);
        JsonNode engine = Assert.Single(Rows(NicVerb.Show(machine, Own), stack));
        Assert.Equal(17, (int)engine["listeners"]![0]!["syns"]!);
    }

    [Fact]
    public void OneSocketShowsAllOfTcp()
    {
        using SharedStack stack = NewStack();
        NicBlock* block = Connect(stack, 9);
        block->Tcb.Recovery.Rack.Reordering = 5;
        Assert.True(block->Tcb.Reassembly.TryAdd(stack.Nic.Pool, new SeqNum(100), new SeqNum(200), out _));
        using Machine machine = Machine.Look();
        JsonNode json = JsonNode.Parse(SocketVerb.Show(machine, $"{Environment.ProcessId}:9").Json.ToJsonString())!;
        Assert.Equal("100-200", (string)json["out_of_order"]!["Runs"]!);
        Assert.Equal("Timestamps, Sack", (string)json["block.Tcb"]!["Flags"]!);
        Assert.Equal(1900, (int)json["block.Tcb"]!["SndNxt"]!);
        Assert.Equal(5, (int)json["block.Tcb.Recovery.Rack"]!["Reordering"]!);
        foreach (string section in (string[])["Recovery", "Recovery.Rtt", "Recovery.Sent", "Recovery.Congestion",
            "Recovery.Congestion.Cubic", "Tuning", "Path", "Options", "Tally"])
            Assert.NotNull(json[$"block.Tcb.{section}"]);
        Assert.Equal("veth7", (string)json["tcp"]!["link"]!);
    }

    [Fact]
    public void LinksShowModeRingsAndDrops()
    {
        using SharedStack stack = NewStack();
        stack.Add(4, SocketState.Unconnected, PathReason.NotYetRouted);
        LinkInfo* link = stack.AddLink(2, "eth3", LinkFlags.Native | LinkFlags.NeedWakeup | LinkFlags.SuperFrames);
        (link->Queues, link->RxRingSize, link->RxRingFull, link->Mtu) = (4, 2048, 12, 9000);
        link->Mac[5] = 0xAB;
        using Machine machine = Machine.Look();
        JsonNode row = Assert.Single(Rows(LinksVerb.Show(machine, Own), stack))["links"]![0]!;
        Assert.Equal("eth3", (string)row["name"]!);
        Assert.Equal("native", (string)row["mode"]!);
        Assert.False((bool)row["zero_copy"]!);
        Assert.Equal(["need-wakeup", "super-frames"], row["abilities"]!.AsArray().Select(a => (string)a!));
        Assert.Equal(2048, (int)row["rings"]!["rx"]!);
        Assert.Equal(12, (int)row["rx_drops"]!["ring_full"]!);
        Assert.Equal("00:00:00:00:00:ab", (string)row["mac"]!);
    }

    [Fact]
    public void EveryCounterOfTheNetworkPathIsThere()
    {
        using SharedStack stack = NewStack();
        stack.Add(4, SocketState.Unconnected, PathReason.NotYetRouted);
        stack.Nic.Tables->Counters.Values[(int)NicCounter.RxMalformed] = 7;
        stack.Nic.Tables->Tcp[(int)TcpCounter.Timeouts] = 8;
        using Machine machine = Machine.Look();
        foreach (JsonNode counters in (JsonNode[])[
            Rows(StatsVerb.Show(machine, Own), stack)[0]["nic_counters"]!,
            Rows(NicVerb.Show(machine, Own), stack)[0]["counters"]!])
        {
            Assert.Equal(NicCounterTable.Rows.Length + TcpCounterTable.Rows.Length, counters.AsObject().Count);
            Assert.Equal(7, (int)counters["rx_malformed"]!);
            Assert.Equal(8, (int)counters["tcp_timeouts"]!);
        }
    }

    [Fact]
    public void WhatCouldForgeAConnectionIsNotShown()
    {
        using SharedStack stack = NewStack();
        stack.Add(4, SocketState.Unconnected, PathReason.NotYetRouted);
        stack.Nic.Tables->Settings.CookieKey0 = 0x1234_5678_9ABC;
        using Machine machine = Machine.Look();
        Output output = NicVerb.Show(machine, Own);
        Assert.DoesNotContain("Key", output.Json.ToJsonString(), StringComparison.Ordinal);
        Assert.DoesNotContain(output.Lines, l => l.Contains("20015998343868", StringComparison.Ordinal));
    }

    [Fact]
    public void AStackWithoutInterfacesSaysSo()
    {
        using SharedStack stack = NewStack();
        stack.Add(4, SocketState.Unconnected, PathReason.NotYetRouted);
        using Machine machine = Machine.Look();
        Assert.Empty(Assert.Single(Rows(LinksVerb.Show(machine, Own), stack))["links"]!.AsArray());
        Assert.Null(Rows(StatsVerb.Show(machine, Own), stack)[0]["nic_counters"]);
    }
}
