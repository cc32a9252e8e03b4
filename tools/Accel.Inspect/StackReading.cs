using System.Globalization;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Stack;
using Accel.Core.Tcp;

namespace Accel.Inspect;

/// <summary>A process with the CPU time that it has used.</summary>
public sealed record ProcessReading(int Pid, string Name, string State, long CpuNs);

/// <summary>
/// What one stack has counted until now, by the counters' names, and what it holds now. A value of its own: it stays
/// when the look at the machine is over, so that the next one can be compared with it.
/// </summary>
public sealed class StackReading
{
    private StackReading(StackView stack)
    {
        Id = stack.Id.ToString("x16", CultureInfo.InvariantCulture);
        Uid = stack.Header.OwnerUid;
        AtNs = stack.NowNs;
        Seen = stack.Seen;
        IsForeign = stack.IsForeign;
        Processes = [.. stack.Processes.Select(p => new ProcessReading(p.Pid, p.Name,
            !p.Alive ? "dead" : p.Stopped ? "stopped" : "running", p.Alive ? stack.Surroundings.CpuNs(p.Pid) : 0))];
    }

    public string Id { get; }

    public uint Uid { get; }

    /// <summary>CLOCK_MONOTONIC of the look at this stack: what acceld shows may be older than the rest.</summary>
    public long AtNs { get; }

    /// <summary>See <see cref="StackView.Seen"/>.</summary>
    public string Seen { get; }

    /// <summary>See <see cref="StackView.IsForeign"/>.</summary>
    public bool IsForeign { get; }

    public IReadOnlyList<ProcessReading> Processes { get; }

    /// <summary>Every counter of the stack, of its network path and of its TCP, and the sums of its links.</summary>
    public Dictionary<string, long> Counters { get; } = [];

    /// <summary>Packets that nobody got, by the name of the counter.</summary>
    public Dictionary<string, long> Dropped { get; } = [];

    /// <summary>Sockets on the kernel path now, by reason.</summary>
    public Dictionary<string, int> KernelReasons { get; } = [];

    public int Sockets { get; private set; }

    public int Listeners { get; private set; }

    public int NicConnections { get; private set; }

    public int LocalConnections { get; private set; }

    public int KernelSockets { get; private set; }

    /// <summary>Bytes of ring buffers that connections hold.</summary>
    public long BufferBytes { get; private set; }

    /// <summary>Packet buffers of its network path in use: records of segments that were sent or wait.</summary>
    public int SegmentRecords { get; private set; }

    public static unsafe StackReading Of(Machine machine, StackView stack)
    {
        var reading = new StackReading(stack);
        foreach (CounterRow row in CounterTable.Rows)
        {
            long sum = 0;
            for (int shard = 0; shard < CounterShard.Shards; shard++)
                sum += stack.Region.ShardAt(shard)->Values[(int)row.Counter];
            reading.Counters[row.Name] = sum;
        }
        reading.ReadSockets(machine, stack);
        if (machine.OwnLocal(stack) is { } own)
        {
            BufferArena arena = own.Region.Tables->Buffers;
            for (int i = 0; i < BufferClass.Count; i++)
                reading.BufferBytes += (long)Math.Max(0, arena.InUse[i]) << BufferClass.Log2(i);
        }
        NicView? nic = machine.Nic(stack);
        reading.ReadEngine(nic);
        reading.ReadLinks(nic);
        // A damaged region may say anything; no count is less than nothing.
        foreach (Dictionary<string, long> counts in (Dictionary<string, long>[])[reading.Counters, reading.Dropped])
            foreach (string name in counts.Keys.ToList()) counts[name] = Math.Max(0, counts[name]);
        return reading;
    }

    /// <summary>Where the sockets are, and what moves on those that are open; the rest is in the counters.</summary>
    private unsafe void ReadSockets(Machine machine, StackView stack)
    {
        uint used = Math.Min(stack.Region.Tables->Sockets.Bumped, StackRegion.MaxSockets);
        for (int i = 0; i < used; i++)
        {
            Socket* socket = stack.Region.SocketAt(i);
            if (socket->State == (uint)SocketState.Free) continue;
            Sockets++;
            switch ((SocketState)socket->State)
            {
                case SocketState.Listening:
                    Listeners++;
                    break;
                case SocketState.Kernel:
                    KernelSockets++;
                    string why = SocketLine.Why(socket->Reason);
                    KernelReasons[why] = KernelReasons.GetValueOrDefault(why) + 1;
                    break;
                case SocketState.Connected:
                    if (socket->Reason == (byte)PathReason.Nic) NicConnections++;
                    else LocalConnections++;
                    ReadPipes(machine, stack, socket);
                    break;
            }
        }
    }

    private unsafe void ReadPipes(Machine machine, StackView stack, Socket* socket)
    {
        if (socket->Index >= LocalRegion.MaxConns || stack.RegionOf(machine, *socket) is not { } region) return;
        Conn* conn = region.Region.ConnAt((int)socket->Index);
        int side = (int)socket->Side & 1;
        // Its closing side has counted already.
        if ((LocalRegion.SideOf(conn, side)->Flags & (uint)SideFlags.Closed) != 0) return;
        Pipe* sent = LocalRegion.PipeOf(conn, side), received = LocalRegion.PipeOf(conn, 1 - side);
        Counters["send_calls"] += (long)sent->Sends;
        Counters["receive_calls"] += (long)received->Receives;
        Counters["bytes_sent"] += (long)sent->Tail;
        Counters["bytes_received"] += (long)received->Head;
    }

    private unsafe void ReadEngine(NicView? nic)
    {
        foreach (NicCounterTable.Row row in NicCounterTable.Rows)
            Counters[NicName(row)] = nic is null ? 0 : (long)nic.Region.Tables->Counters.Values[(int)row.Counter];
        foreach (TcpCounterRow row in TcpCounterTable.Rows)
            Counters[row.Name] = nic is null ? 0 : (long)nic.Region.Tables->Tcp[(int)row.Counter];
        foreach (NicCounter counter in Drops.Network)
            Dropped[NicCounterTable.Rows[(int)counter].Name] = Counters[NicName(NicCounterTable.Rows[(int)counter])];
        foreach (TcpCounter counter in Drops.Tcp)
            Dropped[TcpCounterTable.Rows[(int)counter].Name] = Counters[TcpCounterTable.Rows[(int)counter].Name];
        SegmentRecords = nic is null ? 0 : Math.Max(0, nic.Region.Tables->Records.InUse);
    }

    private unsafe void ReadLinks(NicView? nic)
    {
        long doorbells = 0, frames = 0;
        long[] drops = new long[Drops.Links.Length];
        foreach (int index in nic?.Links() ?? [])
        {
            LinkInfo link = *nic!.Region.LinkAt(index);
            doorbells += (long)link.Doorbells;
            frames += (long)(link.RxFrames + link.TxFrames + link.TxSuperFrames);
            ulong[] dropped = [link.RxNoBuffer, link.RxRingFull, link.RxInvalid, link.TxNoBuffer, link.TxErrors];
            for (int i = 0; i < drops.Length; i++) drops[i] += (long)dropped[i];
        }
        Counters["link_doorbells"] = doorbells;
        Counters["link_frames"] = frames;
        for (int i = 0; i < drops.Length; i++)
            Counters[Drops.Links[i].Name] = Dropped[Drops.Links[i].Name] = drops[i];
    }

    /// <summary>Two tables may have a name in common: where they are put together, the network path's has a prefix.
    /// </summary>
    public static string NicName(NicCounterTable.Row row) =>
        CounterTable.Rows.Any(r => r.Name == row.Name) ? $"nic_{row.Name}" : row.Name;
}
