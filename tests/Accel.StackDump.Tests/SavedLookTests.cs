using System.Text;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Core.Stack;
using Accel.Core.Tcp;
using Accel.Inspect;
using Accel.StackDump.Verbs;
using Accel.Testing;
using Accel.Wire;

namespace Accel.StackDump.Tests;

/// <summary>
/// What was saved shows the same as what was live, says what is wrong with it, and however much of it is spoiled no
/// verb hangs or dies of it.
/// </summary>
public sealed unsafe class SavedLookTests : IDisposable
{
    private static int _lastId = 500_000;

    private readonly SharedStack _stack = new((ulong)Interlocked.Increment(ref _lastId));

    public void Dispose() => _stack.Dispose();

    /// <summary>Something of everything that verbs show.</summary>
    private void Furnish()
    {
        _stack.AddLink(0, "eth7", LinkFlags.Up | LinkFlags.Generic);
        Listener* listener = _stack.Local.ListenerAt(_stack.Local.TakeListener());
        (listener->Backlog, listener->Queued) = (128, 3);
        Socket* listening = _stack.Add(4, SocketState.Listening, PathReason.Local);
        (listening->Region, listening->Local) = (1, Endpoint.Loopback(Endpoint.V4, 80));
        _stack.Nic.ListenerAt(0)->Open = 1;
        int conn = _stack.Local.TakeConn(1, 3);
        _stack.Local.ConnAt(conn)->Pipe0.Tail = 700;
        Socket* local = _stack.Add(5, SocketState.Connected, PathReason.Local);
        (local->Region, local->Index) = (1, (uint)conn);
        int over = _stack.Local.TakeConn(1, 3);
        NicBlock* block = _stack.AddBlock(NicUse.Live, TcpState.Established, over);
        (block->Tcb.SendTimer, block->Tcb.SendTimerAt, block->Tcb.DelayedAckAt) = (SendTimer.Retransmit, 5, 9);
        SegmentRecord* record = _stack.Nic.Records;
        (record->Seq, record->End, record->Flags) = (new SeqNum(1000), new SeqNum(2448), SegmentFlags.Lost);
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
        _stack.Nic.Tables->HashKey = 77;
        _stack.Nic.Tables->Settings.CookieKey0 = 78;
    }

    private byte[] Save()
    {
        using Machine machine = Machine.Look();
        using var file = new MemoryStream();
        SavedLook.Save(machine, [machine.Stacks.Single(s => s.Id == _stack.Id)], file);
        return file.ToArray();
    }

    private static Machine Load(byte[] saved) => SavedLook.Load(new MemoryStream(saved));

    [Fact]
    public void EveryVerbShowsOfTheFileWhatItShowedOfTheStack()
    {
        Furnish();
        byte[] saved = Save();
        using Machine first = Load(saved), second = Load(saved);
        foreach (Verb verb in VerbTable.Rows)
        {
            string text = verb.Show(first, Selection.All).Json.ToJsonString();
            Assert.True(text.Length > 2, verb.Name);
            Assert.Equal(text, verb.Show(second, Selection.All).Json.ToJsonString());
        }
        using Machine live = Machine.Look();
        string pid = $"{Environment.ProcessId}";
        string[] Mine(Machine m, string filter) =>
            [.. NetstatVerb.Show(m, Selection.Parse([pid, .. filter.Split(' ')])).Lines.Where(l => l.Contains(pid))];
        Assert.Single(Mine(first, "sport 80 and dport 4000"));
        Assert.Equal(Mine(live, "sport 80 and dport 4000")[0].Split().Where(w => w != ""),
            Mine(first, "sport 80 and dport 4000")[0].Split().Where(w => w != ""));
        Assert.NotEmpty(SocketVerb.Show(first, $"{pid}:6").Lines);
    }

    [Fact]
    public void VerbsNameWhatIsInTheTables()
    {
        Furnish();
        using Machine machine = Load(Save());
        string queues = string.Join('\n', QueuesVerb.Show(machine, Selection.All).Lines);
        Assert.Contains("queue 3 of 128", queues, StringComparison.Ordinal);
        Assert.Contains("fd 9  1 members", queues, StringComparison.Ordinal);
        Assert.Contains("fd 6  socket 2  IN|ET", queues, StringComparison.Ordinal);
        Assert.Contains("2 asleep in a call on socket 2", queues, StringComparison.Ordinal);
        string packets = string.Join('\n', PacketsVerb.Show(machine, Selection.All).Lines);
        Assert.Contains("seq 1000:2448", packets, StringComparison.Ordinal);
        Assert.Contains("length 700", packets, StringComparison.Ordinal);
        string timers = string.Join('\n', TimersVerb.Show(machine, Selection.All).Lines);
        Assert.Contains("on ", timers, StringComparison.Ordinal);
        Assert.Contains("delack", timers, StringComparison.Ordinal);
        string filters = string.Join('\n', FiltersVerb.Show(machine, Selection.All).Lines);
        Assert.Contains("tcp listener", filters, StringComparison.Ordinal);
        Assert.Contains("tcp connection", filters, StringComparison.Ordinal);
    }

    [Fact]
    public void KeysAreNotSaved()
    {
        Furnish();
        using Machine machine = Load(Save());
        NicTables* tables = machine.Nic(machine.Stacks[0])!.Region.Tables;
        Assert.Equal(0ul, tables->HashKey);
        Assert.Equal(0ul, tables->Settings.CookieKey0);
        Assert.Equal(77ul, _stack.Nic.Tables->HashKey);
    }

    [Fact]
    public void AFileThatIsNoneOrCutShortIsRefused()
    {
        Furnish();
        byte[] saved = Save();
        Assert.Contains("not a file", Assert.Throws<InvalidDataException>(
            () => Load(Encoding.ASCII.GetBytes("root:x:0:0:root"))).Message, StringComparison.Ordinal);
        foreach (int length in (int[])[0, 7, 8, 20, saved.Length / 2, saved.Length - 30])
            Assert.Throws<InvalidDataException>(() => Load(saved[..length]));
    }

    [Fact]
    public void AFileOfNonsenseIsRefusedOrShown()
    {
        Furnish();
        byte[] saved = Save();
        var random = new Random(4711);
        for (int seed = 0; seed < 200; seed++)
        {
            byte[] spoiled = [.. saved];
            for (int i = 0; i < 3; i++) spoiled[random.Next(8, spoiled.Length)] = (byte)random.Next(256);
            try
            {
                using Machine machine = Load(spoiled);
                _ = VerbTable.Lots(machine, Selection.All);
            }
            catch (Exception e) when (e is InvalidDataException or NothingToShowException)
            {
                // A clear refusal is as good.
            }
        }
    }

    /// <summary>Random bytes in the tables: sprinkled, and where it hurts (the words that say where things are).
    /// </summary>
    [Fact]
    public void NoVerbDiesOfASpoiledRegion()
    {
        Furnish();
        byte[] saved = Save();
        for (int seed = 1; seed <= 300; seed++)
        {
            using Machine machine = Load(saved);
            var random = new Random(seed);
            foreach (StackView stack in machine.Stacks) Spoil(stack.Copy, random);
            foreach (LocalView local in machine.Locals) Spoil(local.Copy, random);
            foreach (StackView stack in machine.Stacks)
                if (machine.Nic(stack) is { } nic) Spoil(nic.Copy, random);
            long start = Environment.TickCount64;
            foreach (Verb verb in VerbTable.Rows) Try(seed, verb.Name, () => verb.Show(machine, Selection.All));
            Try(seed, "sockets -i", () => SocketsVerb.ShowInside(machine, Selection.All));
            for (int fd = 4; fd < 8; fd++)
                Try(seed, "socket", () => SocketVerb.Show(machine, $"{Environment.ProcessId}:{fd}"));
            Assert.True(Environment.TickCount64 - start < 20_000, $"seed {seed} took too long");
        }
    }

    private static void Try(int seed, string verb, Func<Output> show)
    {
        try
        {
            using var text = new StringWriter();
            Output output = show();
            output.Write(text, json: true);
            output.Write(text, json: false);
        }
        catch (NothingToShowException)
        {
            // It says so.
        }
        catch (Exception e)
        {
            Assert.Fail($"seed {seed}, {verb}: {e}");
        }
    }

    private static void Spoil(SparseCopy copy, Random random)
    {
        (long start, long bytes) = copy.Runs[random.Next(copy.Runs.Count)];
        int count = random.Next(3) switch { 0 => 20, 1 => 2000, _ => (int)Math.Min(bytes, 50_000) };
        for (int i = 0; i < count; i++) copy.Address[start + random.NextInt64(bytes)] = (byte)random.Next(256);
        // The head of the tables, with the allocators' counts.
        for (int i = 0; i < 40; i++) copy.Address[128 + random.Next(512)] = (byte)random.Next(256);
    }
}
