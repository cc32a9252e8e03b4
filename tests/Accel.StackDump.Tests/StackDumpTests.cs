using System.Text.Json.Nodes;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Core.Stack;
using Accel.Core.Tcp;
using Accel.Inspect;
using Accel.StackDump.Verbs;
using Accel.Testing;

namespace Accel.StackDump.Tests;

/// <summary>stackdump finds regions through /proc and shows what they hold, and leaves them as they were.</summary>
public sealed unsafe class StackDumpTests
{
    private static readonly Selection Own = Selection.Of(Environment.ProcessId);

    private static int _lastId = 1000;

    private static SharedStack NewStack() => new((ulong)Interlocked.Increment(ref _lastId));

    /// <summary>As a reader of the text gets it.</summary>
    private static JsonNode Read(Output output) => JsonNode.Parse(output.Json.ToJsonString())!;

    private static JsonObject Mine(Output output, SharedStack stack) => Read(output).AsArray()
        .Select(n => n!.AsObject()).Single(o => (string)o["stack"]! == stack.Id.ToString("x16"));

    private static JsonObject[] Sockets(SharedStack stack)
    {
        using Machine machine = Machine.Look();
        return [.. Read(SocketsVerb.Show(machine, Own)).AsArray()
            .Select(n => n!.AsObject()).Where(o => (string)o["stack"]! == stack.Id.ToString("x16"))];
    }

    [Fact]
    public void AStackIsFoundWithItsProcess()
    {
        using SharedStack stack = NewStack();
        stack.Add(7, SocketState.Unconnected, PathReason.NotYetRouted);
        using Machine machine = Machine.Look();
        JsonObject json = Mine(StacksVerb.Show(machine, Selection.All), stack);
        Assert.Equal(1, (int)json["sockets"]!);
        Assert.Equal(Environment.ProcessId, (int)json["processes"]![0]!["pid"]!);
        Assert.Equal("running", (string)json["processes"]![0]!["state"]!);
    }

    [Fact]
    public void AConnectionShowsItsQueuesAndNames()
    {
        using SharedStack stack = NewStack();
        int index = stack.Local.TakeConn(1, 0);
        Conn* conn = stack.Local.ConnAt(index);
        conn->Pipe0.Tail = 500;
        conn->Pipe0.Head = 100;
        conn->Pipe1.Tail = 30;
        Socket* socket = stack.Add(9, SocketState.Connected, PathReason.Local);
        socket->Region = 1;
        socket->Index = (uint)index;
        socket->Local = Endpoint.Loopback(Endpoint.V4, 40000);
        socket->Remote = Endpoint.Loopback(Endpoint.V6, 6379);
        JsonObject line = Assert.Single(Sockets(stack));
        Assert.Equal("ESTAB", (string)line["state"]!);
        Assert.Equal(400, (int)line["send_q"]!);
        Assert.Equal(30, (int)line["recv_q"]!);
        Assert.Equal("127.0.0.1:40000", (string)line["local"]!);
        Assert.Equal("[::1]:6379", (string)line["peer"]!);
        Assert.Equal("local", (string)line["path"]!);
        Assert.Equal(9, (int)line["holders"]![0]!["fd"]!);
    }

    [Theory]
    [InlineData(SideFlags.None, SideFlags.None, "ESTAB")]
    [InlineData(SideFlags.FinSent, SideFlags.None, "FIN-WAIT-2")]
    [InlineData(SideFlags.None, SideFlags.FinSent, "CLOSE-WAIT")]
    [InlineData(SideFlags.FinSent, SideFlags.Closed, "CLOSING")]
    [InlineData(SideFlags.Reset, SideFlags.Closed, "RESET")]
    public void WhatTheEndsHaveDoneHasTcpsName(SideFlags mine, SideFlags other, string state)
    {
        using SharedStack stack = NewStack();
        int index = stack.Local.TakeConn(1, 0);
        Conn* conn = stack.Local.ConnAt(index);
        conn->Side1.Flags = (uint)mine;
        conn->Side0.Flags = (uint)other;
        Socket* socket = stack.Add(5, SocketState.Connected, PathReason.Local);
        (socket->Region, socket->Index, socket->Side) = (1, (uint)index, 1);
        Assert.Equal(state, (string)Assert.Single(Sockets(stack))["state"]!);
    }

    [Fact]
    public void ASocketOnTheKernelSaysWhy()
    {
        using SharedStack stack = NewStack();
        stack.Add(5, SocketState.Kernel, PathReason.PeerNotAccelerated);
        JsonObject line = Assert.Single(Sockets(stack));
        Assert.Equal("kernel", (string)line["path"]!);
        Assert.Equal(PathReasonText.Rows[(int)PathReason.PeerNotAccelerated], (string)line["why"]!);
    }

    [Fact]
    public void ASocketWhoseListenerIsGoneIsStillShown()
    {
        using SharedStack stack = NewStack();
        Socket* socket = stack.Add(5, SocketState.Connected, PathReason.Local);
        socket->Region = 2; // nobody holds that region any more
        Assert.Contains("gone", (string)Assert.Single(Sockets(stack))["why"]!);
    }

    [Fact]
    public void OneSocketShowsEveryFieldOfItsStructs()
    {
        using SharedStack stack = NewStack();
        int index = stack.Local.TakeConn(1, 0);
        Socket* socket = stack.Add(123, SocketState.Connected, PathReason.Local);
        (socket->Region, socket->Index, socket->SpaceEvents) = (1, (uint)index, 42);
        socket->Options[2] = 7;
        using Machine machine = Machine.Look();
        JsonNode json = Read(SocketVerb.Show(machine, $"{Environment.ProcessId}:123"));
        Assert.Equal(42, (int)json["socket"]!["SpaceEvents"]!);
        Assert.Equal("2=7", (string)json["socket"]!["Options"]!);
        foreach (System.Reflection.FieldInfo field in typeof(Pipe).GetFields())
            Assert.NotNull(json["sending"]![field.Name]);
        Assert.Throws<NothingToShowException>(() => SocketVerb.Show(machine, $"{Environment.ProcessId}:124"));
        Assert.Throws<NothingToShowException>(() => SocketVerb.Show(machine, "what"));
    }

    [Fact]
    public void CountersAreTheSumOfTheirShards()
    {
        using SharedStack stack = NewStack();
        stack.Stack.ShardAt(0)->Values[(int)Counter.Sleeps] = 5;
        stack.Stack.ShardAt(CounterShard.Shards - 1)->Values[(int)Counter.Sleeps] = 6;
        stack.Add(5, SocketState.Unconnected, PathReason.NotYetRouted);
        using Machine machine = Machine.Look();
        JsonObject json = Mine(StatsVerb.Show(machine, Own), stack);
        Assert.Equal(11, (int)json["counters"]!["sleeps"]!);
        Assert.Equal(CounterTable.Rows.Length, json["counters"]!.AsObject().Count);
        Assert.Equal(1, (int)json["tables"]!["sockets"]!["in_use"]!);
        Assert.NotNull(json["tables"]!["connections"]);
    }

    [Fact]
    public void OptionsShowWhereTheirValueIsFrom()
    {
        using SharedStack stack = NewStack();
        stack.Stack.Tables->Options.Values[(int)Option.SpinMicros] = 33;
        stack.Stack.Tables->Options.FromEnvironment[(int)Option.SpinMicros] = 1;
        using Machine machine = Machine.Look();
        JsonArray options = Mine(OptionsVerb.Show(machine, Own), stack)["options"]!.AsArray();
        Assert.Equal(OptionTable.Rows.Length, options.Count);
        Assert.Equal(33, (int)options[(int)Option.SpinMicros]!["value"]!);
        Assert.Equal("environment", (string)options[(int)Option.SpinMicros]!["from"]!);
        Assert.Equal("default", (string)options[(int)Option.Strict]!["from"]!);
    }

    [Fact]
    public void ARegionOfAnotherBuildIsNamedAndNotRead()
    {
        using SharedStack stack = NewStack();
        stack.PretendOtherLayout();
        using Machine machine = Machine.Look();
        Assert.DoesNotContain(machine.Stacks, s => s.Id == stack.Id);
        Assert.Contains(machine.Refusals, r => r.Contains("layout", StringComparison.Ordinal));
    }

    [Fact]
    public void ALookTakesNoMemoryInTheRegion()
    {
        using SharedStack stack = NewStack();
        stack.Add(5, SocketState.Listening, PathReason.Local);
        stack.AddBlock(NicUse.TimeWait, TcpState.TimeWait);
        long before = stack.StackBlocks();
        using Machine machine = Machine.Look();
        _ = SocketsVerb.Show(machine, Selection.All);
        _ = StatsVerb.Show(machine, Selection.All);
        _ = LinksVerb.Show(machine, Selection.All);
        _ = NicVerb.Show(machine, Selection.All);
        Assert.Equal(before, stack.StackBlocks());
    }

    [Fact]
    public void AnUnknownProcessIsRefusedWithItsNumber()
    {
        using Machine machine = Machine.Look();
        var refusal = Assert.Throws<NothingToShowException>(() => machine.Chosen(int.MaxValue).Any());
        Assert.Contains($"{int.MaxValue}", refusal.Message, StringComparison.Ordinal);
    }
}
