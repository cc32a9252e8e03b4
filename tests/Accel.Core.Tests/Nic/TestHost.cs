using System.Runtime.InteropServices;
using Accel.Core.Ip;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Wire;

namespace Accel.Core.Tests.Nic;

/// <summary>Routes and neighbours of a host with one link.</summary>
sealed class TestTables(int link, byte peer) : INetTables
{
    public uint Version { get; set; } = 1;

    public bool KnowsNeighbour { get; set; } = true;

    public NeighbourState State { get; set; } = NeighbourState.Reachable;

    public MacAddress Mac { get; set; } = MemoryLink.Mac(peer);

    public bool TryRoute(in Endpoint destination, in Endpoint source, out Route route)
    {
        route = RouteTo(destination);
        return true;
    }

    public Route RouteTo(Endpoint to)
    {
        to.Port = 0;
        return new Route { Kind = RouteKind.Unicast, InterfaceIndex = link, NextHop = to, Mtu = 1500 };
    }

    public bool TryNeighbour(
        int interfaceIndex, in Endpoint neighbour, out MacAddress address, out NeighbourState state)
    {
        address = Mac;
        state = State;
        return KnowsNeighbour && interfaceIndex == link && neighbour.Family != Endpoint.None;
    }
}

/// <summary>A machine in a test: regions, engine and link, and what a program does to its connections.</summary>
sealed unsafe class TestHost : INicHost, ILiveness, IDisposable
{
    readonly byte* _memory;
    readonly Prng _random;
    readonly TestRegion _local;
    readonly Dictionary<int, int> _told = [];

    public TestHost(byte host, byte peer, ulong seed = 1, long bufferBytes = 64 << 20)
    {
        Address = host;
        _random = new Prng(seed * 251 + host);
        _memory = (byte*)NativeMemory.AllocZeroed((nuint)NicRegion.SizeBytes);
        Region = new NicRegion(_memory);
        Region.Format(7, 8, 9, 10, 11);
        _local = new TestRegion(bufferBytes);
        Link = new MemoryLink(Region.LinkAt(0), host + 1, host);
        Tables = new TestTables(host + 1, peer);
        Engine = NewEngine();
    }

    public byte Address { get; }

    public NicRegion Region { get; }

    public LocalRegion Local => _local.Region;

    public MemoryLink Link { get; }

    public TestTables Tables { get; }

    public NicEngine Engine { get; set; }

    public int DeadTid { get; set; }

    /// <summary>As a forked child has it: another object over the same region.</summary>
    public NicEngine NewEngine() => new(Region, Local, this, this, [Link], Tables);

    public long Count(NicCounter counter) => (long)Region.Tables->Counters.Values[(int)counter];

    public int Told(int conn) => _told.GetValueOrDefault(conn);

    public List<int> ListenersTold { get; } = [];

    public int BuffersInUse => Enumerable.Range(0, BufferClass.Count).Sum(_local.BuffersInUse);

    public int ConnsInUse => Local.Tables->Conns.InUse;

    public int BlocksInUse => Region.Tables->Blocks.InUse;

    public int RecordsInUse => Region.Tables->Records.InUse;

    public void Notify(LocalRegion region, int conn, int side) => _told[conn] = Told(conn) + 1;

    public void NotifyListener(LocalRegion region, int listener) => ListenersTold.Add(listener);

    public List<ulong> TickersWoken { get; } = [];

    public void WakeTicker(ulong name) => TickersWoken.Add(name);

    public void OnIcmp(in IcmpEvent report) => Engine.OnIcmp(report, 0);

    public ulong Random() => _random.Next();

    public ulong Ticks() => 1;

    public bool IsThreadAlive(int tid) => tid != DeadTid;

    public void Yield()
    {
    }

    public void Sleep(int* word, int value)
    {
    }

    public void Wake(int* word)
    {
    }

    public Endpoint Name(ushort port, bool v6 = false) => v6
        ? new Endpoint { Family = Endpoint.V6, Port = port, AddressLow = 0xFD, AddressHigh = (ulong)Address << 56 }
        : new Endpoint { Family = Endpoint.V4, Port = port, AddressLow = 10u | (uint)Address << 24 };

    /// <summary>A turn of the engine: what has come, what is due, what was kicked; then the doorbell.</summary>
    public int Turn(long now, int tid = 100)
    {
        if (!Engine.TryEnter(tid))
            return 0;
        var frames = Engine.Poll(now);
        Engine.Exit(tid, now);
        Engine.Enter(tid);
        Engine.Flush();
        Engine.Exit(tid, now);
        return frames;
    }

    public void Locked(long now, Action<NicEngine> action)
    {
        Engine.Enter(100);
        action(Engine);
        Engine.Exit(100, now);
    }

    // The program.

    public int Listen(
        ushort port, int backlog = 128, bool v6 = false, uint limit = 1 << 20, NicSettings settings = default)
    {
        var index = Local.TakeListener();
        var listener = Local.ListenerAt(index);
        listener->Name = new Endpoint { Family = v6 ? Endpoint.V6 : Endpoint.V4, Port = port };
        listener->Backlog = (uint)backlog;
        listener->ReceiveLimit = listener->SendLimit = limit;
        listener->Generation++;
        Engine.Enter(100);
        Assert.True(Engine.Listen(index, listener->Name, settings));
        Engine.Exit(100, 0);
        return index;
    }

    /// <summary>accept(): the oldest connection of the queue, or -1.</summary>
    public int Accept(int listenerIndex)
    {
        var listener = Local.ListenerAt(listenerIndex);
        if (listener->Arrived == 0)
            return -1;
        uint* link = &listener->Arrived;
        while (Local.ConnAt((int)*link - 1)->Next != 0)
            link = &Local.ConnAt((int)*link - 1)->Next;
        var index = (int)*link - 1;
        *link = 0;
        AcceptQueue.CountOut(listener);
        Assert.Equal((uint)ConnState.Queued, Local.ConnAt(index)->State);
        Local.ConnAt(index)->State = (uint)ConnState.Accepted;
        return index;
    }

    public int Connect(
        Endpoint local, Endpoint remote, long now, NicError expected = NicError.None, uint limit = 1 << 20)
    {
        var index = Local.TakeConn(1, 0);
        Assert.True(index >= 0);
        var conn = Local.ConnAt(index);
        conn->Side0.Name = local;
        conn->Side1.Name = remote;
        conn->Pipe0.SendLimit = conn->Pipe1.ReceiveLimit = limit;
        Engine.Enter(100);
        Assert.Equal(expected, Engine.Connect(index, local, remote, Tables.RouteTo(remote), default, now));
        Engine.Exit(100, now);
        return index;
    }

    public NicPhase Phase(int conn) => NicConn.PhaseOf(Local.ConnAt(conn));

    public NicError Error(int conn) => NicConn.ErrorOf(Local.ConnAt(conn));

    int ProgramSide(int conn) => 1 - NicConn.EngineSide(Local.ConnAt(conn));

    public Side* Program(int conn) => LocalRegion.SideOf(Local.ConnAt(conn), ProgramSide(conn));

    public Side* EngineSide(int conn) => LocalRegion.SideOf(Local.ConnAt(conn), 1 - ProgramSide(conn));

    public Pipe* Out(int conn) => LocalRegion.PipeOf(Local.ConnAt(conn), ProgramSide(conn));

    public Pipe* In(int conn) => LocalRegion.PipeOf(Local.ConnAt(conn), 1 - ProgramSide(conn));

    /// <summary>send() without waiting, as Sender does it. Returns what went.</summary>
    public int Write(int conn, ReadOnlySpan<byte> bytes, bool urgent = false)
    {
        var pipe = Out(conn);
        var done = 0;
        while (done < bytes.Length)
        {
            var to = PipeOps.WriteRun(Local, pipe, 0, (ulong)(bytes.Length - done), out var run);
            if (run == 0)
            {
                if (PipeOps.Grow(Local, pipe, stalled: false))
                    continue;
                Program(conn)->WantSpace = 1;
                break;
            }
            bytes.Slice(done, (int)run).CopyTo(new Span<byte>(to, (int)run));
            done += (int)run;
            if (urgent && done == bytes.Length)
                PipeOps.MarkUrgent(pipe, pipe->Tail + run);
            PipeOps.Publish(pipe, run);
        }
        Engine.Kick(conn);
        return done;
    }

    /// <summary>recv() without waiting, as Receiver does it.</summary>
    public byte[] Read(int conn, int max = int.MaxValue)
    {
        var pipe = In(conn);
        var got = new List<byte>();
        while (got.Count < max)
        {
            var from = PipeOps.ReadRun(Local, pipe, 0, (ulong)(max - got.Count), out var run);
            if (run == 0)
                break;
            got.AddRange(new ReadOnlySpan<byte>(from, (int)run));
            PipeOps.Consume(pipe, run);
        }
        if (got.Count > 0 && EngineSide(conn)->WantSpace != 0)
            Engine.Kick(conn);
        return [.. got];
    }

    public bool AtEnd(int conn) =>
        (EngineSide(conn)->Flags & (uint)SideFlags.FinSent) != 0 && PipeOps.Readable(In(conn)) == 0;

    public bool WasReset(int conn) => (Program(conn)->Flags & (uint)SideFlags.Reset) != 0;

    public void ShutdownWrite(int conn)
    {
        Interlocked.Or(ref Program(conn)->Flags, (uint)SideFlags.FinSent);
        Engine.Kick(conn);
    }

    /// <summary>close(), as Closer.CloseSide does it.</summary>
    public void Close(int conn, bool abort = false)
    {
        var side = ProgramSide(conn);
        if (abort || PipeOps.Readable(In(conn)) > 0)
        {
            Interlocked.Or(ref EngineSide(conn)->Flags, (uint)SideFlags.Reset);
            Interlocked.Or(ref Program(conn)->Flags, (uint)SideFlags.Closed);
        }
        else
            Interlocked.Or(ref Program(conn)->Flags, (uint)(SideFlags.FinSent | SideFlags.Closed));
        Engine.Kick(conn);
        if (Local.CloseSide(conn, side))
            Local.FreeConn(conn);
    }

    public void Dispose()
    {
        Link.Dispose();
        _local.Dispose();
        NativeMemory.Free(_memory);
    }
}
