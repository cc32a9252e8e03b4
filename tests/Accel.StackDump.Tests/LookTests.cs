using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Stack;
using Accel.Core.Tcp;
using Accel.Inspect;
using Accel.Inspect.Look;
using Accel.StackDump.Verbs;
using Accel.Testing;
using Accel.Wire;

namespace Accel.StackDump.Tests;

/// <summary>
/// What other users are shown of a stack: what its owner sees, without payload, keys and sequence numbers, whatever
/// the region holds.
/// </summary>
public sealed unsafe class LookTests : IDisposable
{
    private const byte Secret = 0xA7;

    private static int _lastId = 900_000;

    private readonly SharedStack _stack = new((ulong)Interlocked.Increment(ref _lastId));

    public void Dispose() => _stack.Dispose();

    private static string Pid => $"{Environment.ProcessId}";

    internal static byte[] Take(LookLimits? limits = null, uint? only = null)
    {
        using var to = new MemoryStream();
        new LookTaker(limits ?? new LookLimits()).Take(only, to);
        return to.ToArray();
    }

    internal static Machine Read(byte[] look)
    {
        var machine = new Machine { Surroundings = new SavedSurroundings() };
        LookReader.AddTo(machine, new MemoryStream(look));
        return machine;
    }

    private StackView? Mine(Machine machine) => machine.Stacks.SingleOrDefault(s => s.Id == _stack.Id);

    private void Furnish()
    {
        _stack.AddLink(0, "eth7", LinkFlags.Up | LinkFlags.Generic)->Doorbells = 12;
        Listener* listener = _stack.Local.ListenerAt(_stack.Local.TakeListener());
        (listener->Backlog, listener->Queued) = (128, 3);
        Socket* listening = _stack.Add(4, SocketState.Listening, PathReason.Local);
        (listening->Region, listening->Local) = (1, Endpoint.Loopback(Endpoint.V4, 80));
        _stack.Nic.ListenerAt(0)->Open = 1;
        int conn = _stack.Local.TakeConn(1, 3);
        (_stack.Local.ConnAt(conn)->Pipe0.Tail, _stack.Local.ConnAt(conn)->Pipe0.Sends) = (700, 7);
        Socket* local = _stack.Add(5, SocketState.Connected, PathReason.Local);
        (local->Region, local->Index) = (1, (uint)conn);
        int over = _stack.Local.TakeConn(1, 3);
        NicBlock* block = _stack.AddBlock(NicUse.Live, TcpState.Established, over);
        (block->Tcb.SndUna, block->Tcb.SndNxt) = (new SeqNum(3_000_000_000), new SeqNum(3_000_002_896));
        block->Tcb.SndMss = 1448;
        (block->Tcb.MaxWindow, block->Tcb.Tally.Retransmitted) = (65536, 5);
        (block->Tcb.SendTimer, block->Tcb.SendTimerAt) = (SendTimer.Retransmit, 5);
        block->Tcb.Recovery.Sent.Head = 1;
        Socket* nic = _stack.Add(6, SocketState.Connected, PathReason.Nic);
        (nic->Region, nic->Index, nic->Items) = (1, (uint)over, 1);
        (nic->Local, nic->Remote) = (Endpoint.Loopback(Endpoint.V4, 80), Endpoint.Loopback(Endpoint.V4, 4000));
        int set = _stack.Stack.TakeEpollSet(), item = _stack.Stack.TakeEpollItem(), waker = _stack.Stack.TakeWaker();
        EpollSet* e = _stack.Stack.EpollSetAt(set);
        (e->Used, e->Descriptor, e->ItemCount, e->Items, e->Waker) = (1, 9, 1, (uint)item + 1, (uint)waker);
        EpollItem* i = _stack.Stack.EpollItemAt(item);
        (i->Set, i->Target, i->Descriptor, i->Events) = ((uint)set, 2, 6, 0x80000001);
        Waker* w = _stack.Stack.WakerAt(waker);
        (w->Used, w->Sleepers, w->Owner, w->Socket) = (1, 2, 4, 3);
        _stack.Add(7, SocketState.Kernel, PathReason.PeerNotAccelerated);
        _stack.Stack.ShardAt(2)->Values[1] = 77;
        for (int c = 0; c < TcpCounterTable.Rows.Length; c++) _stack.Nic.Tables->Tcp[c] = (ulong)c + 1;
        for (int c = 0; c < NicCounterTable.Rows.Length; c++) _stack.Nic.Tables->Counters.Values[c] = (ulong)c + 2;
    }

    [Fact]
    public void EveryVerbShowsOthersWhatTheOwnerSees()
    {
        Furnish();
        using Machine live = Machine.Look(), seen = Read(Take());
        Assert.True(Mine(seen)!.IsForeign && !Mine(live)!.IsForeign);
        // Not timers and the engine, whose times pass, and packets and queues, of which something is hidden.
        foreach (Verb verb in VerbTable.Rows.Where(v => v.Name is not ("timers" or "nic" or "packets" or "queues")))
            Assert.Equal(Shown(live, verb), Shown(seen, verb));
        Assert.Contains("queue 3 of 128", Text(seen, QueuesVerb.Show), StringComparison.Ordinal);
        Assert.Contains("fd 6  socket 2  IN|ET  data 0", Text(seen, QueuesVerb.Show), StringComparison.Ordinal);
        Assert.Contains(" on ", Text(seen, TimersVerb.Show), StringComparison.Ordinal);
        string packets = Text(seen, PacketsVerb.Show);
        Assert.Contains("2896 bytes, not acknowledged", packets, StringComparison.Ordinal);
        Assert.Contains("length 700", packets, StringComparison.Ordinal);
        Assert.NotEmpty(SocketVerb.Show(seen, $"{Pid}:6").Lines);
        Assert.Equal(StackReading.Of(live, Mine(live)!).Counters, StackReading.Of(seen, Mine(seen)!).Counters);
    }

    private string Shown(Machine machine, Verb verb)
    {
        string id = $"{_stack.Id:x16}";
        JsonNode json = verb.Show(machine, Selection.Of(Environment.ProcessId)).Json;
        var mine = new List<string>();
        foreach (JsonNode? row in json as JsonArray ?? (JsonArray)json["sockets"]!)
        {
            if (row is not JsonObject fields || fields.ContainsKey("stack") && $"{fields["stack"]}" != id) continue;
            fields.Remove("seen");
            // Times that pass between the two looks.
            if (fields["timer"] is JsonObject timer) timer.Remove("ms");
            foreach (string passing in (string[])["lastsnd", "lastrcv", "lastack"])
                (fields["tcp"] as JsonObject)?.Remove(passing);
            mine.Add(fields.ToJsonString());
        }
        Assert.True(mine.Count > 0, verb.Name);
        return string.Join('\n', mine);
    }

    private static string Text(Machine machine, Func<Machine, Selection, Output> verb) =>
        string.Join('\n', verb(machine, Selection.All).Lines);

    /// <summary>Everything that is hidden, what lies between the fields, and all that is in no table: one pattern.
    /// </summary>
    [Fact]
    public void NothingThatIsHiddenIsHandedOut()
    {
        Furnish();
        Hide(RegionKind.Stack, _stack.Stack.Address);
        Hide(RegionKind.Local, _stack.Local.Address);
        Hide(RegionKind.Nic, _stack.Nic.Address);
        new Span<byte>(_stack.Local.Address + LocalRegion.FixedBytes, 1 << 20).Fill(Secret);
        new Span<byte>(_stack.Local.DoorbellAt(0), sizeof(Doorbell) * 64).Fill(Secret);
        new Span<byte>(_stack.Local.AttachmentAt(0), sizeof(Attachment)).Fill(Secret);
        new Span<byte>(_stack.Nic.Records, sizeof(SegmentRecord) * 64).Fill(Secret);
        new Span<byte>(_stack.Stack.Address + StackRegion.TableBytes, 1 << 16).Fill(Secret);
        byte[] look = Take();
        using Machine seen = Read(look);
        Assert.NotNull(Mine(seen));
        Assert.Equal(-1, look.AsSpan().IndexOf([Secret, Secret, Secret]));
    }

    /// <summary>In each item: the complement of what is shown.</summary>
    private static void Hide(RegionKind kind, byte* region)
    {
        foreach (Table table in Tables.Of(kind))
        {
            for (int i = 0; i < Math.Min(table.Most, 64); i++)
            {
                var item = new Span<byte>(region + table.Offset + (long)i * table.ItemBytes, table.ItemBytes);
                if (table.Has?.Invoke(item) == false) item.Clear();
                ReadOnlySpan<byte> mask = MemoryMarshal.AsBytes<ulong>(table.Mask);
                bool isBlock = Tables.IsOf<NicBlock>(table);
                for (int b = 0; b < item.Length; b++)
                    if (mask[b] == 0 && !isBlock) item[b] = Secret;
                if (!isBlock) continue;
                Tcb* tcb = &((NicBlock*)(region + table.Offset))[i].Tcb;
                uint inFlight = (uint)(tcb->SndNxt - tcb->SndUna);
                for (int b = 0; b < item.Length; b++)
                    if (mask[b] == 0) item[b] = Secret;
                tcb->SndNxt = tcb->SndUna + inFlight;
            }
        }
    }

    [Fact]
    public void WhatMustBeHiddenIs()
    {
        Hidden<NicTables>(t => &((NicTables*)t)->HashKey, 8);
        Hidden<NicTables>(t => &((NicTables*)t)->Settings.SequenceKey0, 32);
        Hidden<Tcb>(t => &((Tcb*)t)->SndUna, 8);
        Hidden<Tcb>(t => &((Tcb*)t)->RcvNxt, 8);
        Hidden<Tcb>(t => &((Tcb*)t)->Iss, 8);
        Hidden<Tcb>(t => &((Tcb*)t)->TsRecent, 8);
        Hidden<Tcb>(t => &((Tcb*)t)->Recovery.Sent.Una, 8);
        Hidden<EpollItem>(t => &((EpollItem*)t)->Data, 8);
        Hidden<EpollSet>(t => &((EpollSet*)t)->Marker, 8);
        Hidden<Waker>(t => &((Waker*)t)->Name, 8);
        Hidden<Doorbell>(t => &((Doorbell*)t)->WakeName, 8);
        Hidden<Socket>(t => &((Socket*)t)->PassedCookie, 8);
    }

    private delegate void* Field(nint item);

    private static void Hidden<T>(Field field, int bytes) where T : unmanaged
    {
        T any;
        int at = (int)((byte*)field((nint)(&any)) - (byte*)&any);
        Assert.Equal(-1, MemoryMarshal.AsBytes<ulong>(FieldMask.Of<T>()).Slice(at, bytes).IndexOfAnyExcept((byte)0));
    }

    /// <summary>A half-made block has one of two numbers only: their difference would be the other.</summary>
    [Fact]
    public void NoSequenceNumberIsTakenForWhatIsInFlight()
    {
        NicBlock* block = _stack.AddBlock(NicUse.Live, TcpState.SynSent);
        block->Tcb.SndNxt = new SeqNum(0xA7A7A7A7);
        Assert.Equal(-1, Take().AsSpan().IndexOf([Secret, Secret, Secret]));
    }

    [Fact]
    public void LooksOfOneUserHaveNoOthers()
    {
        Furnish();
        using (Machine own = Read(Take(only: 0))) Assert.NotNull(Mine(own));
        using Machine nobodys = Read(Take(only: 65534));
        Assert.Empty(nobodys.Stacks);
    }

    /// <summary>What the user may see itself stays as it sees it, and nothing is there twice.</summary>
    [Fact]
    public void AStackThatIsSeenAnywayIsNotShownTwice()
    {
        Furnish();
        using Machine machine = Machine.Look();
        int stacks = machine.Stacks.Count;
        LookReader.AddTo(machine, new MemoryStream(Take()));
        Assert.Equal(stacks, machine.Stacks.Count);
        Assert.False(Mine(machine)!.IsForeign);
    }

    [Fact]
    public void ALookCutShortOrOfAnotherBuildIsRefused()
    {
        Furnish();
        byte[] look = Take();
        foreach (int length in (int[])[0, 7, 12, 30, look.Length / 2, look.Length - 1])
            Assert.Throws<InvalidDataException>(() => Read(look[..length]));
        look[12]++;
        Assert.Contains("another build", Assert.Throws<InvalidDataException>(() => Read(look)).Message,
            StringComparison.Ordinal);
    }

    /// <summary>State it: what acceld spends on a look at 10,000 connections over an interface.</summary>
    [Fact]
    public void TenThousandSocketsCostLittle()
    {
        for (int i = 0; i < 10_000; i++)
        {
            int conn = _stack.Local.TakeConn(1, 3);
            NicBlock* block = _stack.AddBlock(NicUse.Live, TcpState.Established, conn);
            new Span<byte>(&block->Tcb.Tally, sizeof(TcpTally)).Fill(3);
            Socket* socket = _stack.Add(10 + i, SocketState.Connected, PathReason.Nic);
            (socket->Region, socket->Index) = (1, (uint)conn);
            (socket->Local, socket->Remote) =
                (Endpoint.Loopback(Endpoint.V4, 80), Endpoint.Loopback(Endpoint.V4, (ushort)(i + 1)));
        }
        var taker = new LookTaker(new LookLimits());
        long best = long.MaxValue;
        using var to = new MemoryStream();
        for (int i = 0; i < 7; i++)
        {
            to.SetLength(0);
            taker.Take(null, to);
            best = Math.Min(best, taker.SpentNs);
        }
        using Machine seen = Read(to.ToArray());
        Assert.Equal(10_000, StackReading.Of(seen, Mine(seen)!).NicConnections);
        TestContext.Current.TestOutputHelper!.WriteLine($"{best / 1e6:0.0} ms of CPU, {to.Length / 1e6:0.0} MB");
        Assert.True(best < 250_000_000, $"a look took {best / 1e6:0.0} ms of CPU");
    }
}
