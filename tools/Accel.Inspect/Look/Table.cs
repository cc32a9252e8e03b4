using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Stack;
using Accel.Core.Tcp;
using Accel.Core.Udp;
using Accel.Wire;

namespace Accel.Inspect.Look;

/// <summary>An array of one struct in a region, and what other users are shown of it.</summary>
/// <param name="Item">The struct.</param>
/// <param name="Offset">Where it begins.</param>
/// <param name="ItemBytes">Of one struct.</param>
/// <param name="Most">Items that there can be.</param>
/// <param name="Mask">The bits that are shown of each.</param>
/// <param name="Used">How many there were ever, as the region's own head has it: not to be trusted.</param>
/// <param name="Has">An item is in use.</param>
/// <param name="Recast">Puts something harmless in the place of what is hidden, in a copy of the item.</param>
public sealed record Table(Type Item, long Offset, int ItemBytes, int Most, ulong[] Mask, Table.Count? Used,
    Table.Test? Has, Action<nint>? Recast = null)
{
    public delegate long Count(ReadOnlySpan<byte> head);

    public delegate bool Test(ReadOnlySpan<byte> item);

    /// <summary>Bytes of a region's beginning that say how much of it is in use.</summary>
    public const int HeadBytes = 4096;
}

/// <summary>
/// All that leaves a region for other users' eyes: nothing that is not in these tables does. Buffers, segments, the
/// captured packets and who is attached are in none.
/// </summary>
public static unsafe class Tables
{
    // A region at no address: where its parts lie is told by their pointers.
    private static readonly StackRegion StackAt = new(null);
    private static readonly LocalRegion LocalAt = new(null);
    private static readonly NicRegion NicAt = new(null);

    /// <summary>What is shown of a region's header.</summary>
    public static readonly ulong[] Header = FieldMask.Of<RegionHeader>();

    private static readonly Table[] Stack =
    [
        Of<StackTables>(StackAt.Tables, 1),
        Of<CounterShard>(StackAt.ShardAt(0), CounterShard.Shards),
        Of<ProcessSlot>(StackAt.ProcessAt(0), StackRegion.MaxProcesses, null,
            i => As<ProcessSlot>(i).State == ProcessSlot.Live),
        Of<RegionSlot>(StackAt.RegionAt(0), StackRegion.MaxRegions, h => As<StackTables>(h).RegionsHigh),
        Of<Socket>(StackAt.SocketAt(0), StackRegion.MaxSockets, h => As<StackTables>(h).Sockets.Bumped,
            i => As<Socket>(i).State != (uint)SocketState.Free),
        Of<EpollSet>(StackAt.EpollSetAt(0), StackRegion.MaxEpollSets, h => As<StackTables>(h).EpollSets.Bumped,
            i => As<EpollSet>(i).Used != 0),
        Of<EpollItem>(StackAt.EpollItemAt(0), StackRegion.MaxEpollItems, h => As<StackTables>(h).EpollItems.Bumped),
        Of<Waker>(StackAt.WakerAt(0), StackRegion.MaxWakers, h => As<StackTables>(h).Wakers.Bumped,
            i => As<Waker>(i).Used != 0),
        Of<EventLog>(StackAt.Events, 1),
        Of<StackEvent>((byte*)StackAt.Events + sizeof(EventLog), EventLog.Length),
    ];

    private static readonly Table[] Local =
    [
        Of<LocalTables>(LocalAt.Tables, 1),
        Of<Listener>(LocalAt.ListenerAt(0), LocalRegion.MaxListeners, h => As<LocalTables>(h).Listeners.Bumped),
        Of<Conn>(LocalAt.ConnAt(0), LocalRegion.MaxConns, h => As<LocalTables>(h).Conns.Bumped,
            i => As<Conn>(i).State != (uint)ConnState.Free),
    ];

    private static readonly Table[] Nic =
    [
        Of<NicTables>(NicAt.Tables, 1),
        Of<TimerWheel>(NicAt.Wheel, 1),
        Of<LinkInfo>(NicAt.LinkAt(0), NicRegion.MaxLinks, null, i => As<LinkInfo>(i).InterfaceIndex != 0),
        Numbers(NicAt.ConnBlocks, LocalRegion.MaxConns),
        Of<NicListening>(NicAt.ListenerAt(0), LocalRegion.MaxListeners, null, i => As<NicListening>(i).Open != 0),
        Blocks(),
        Of<UdpBinding>(NicAt.Udp.BindingAt(0), LocalRegion.MaxConns, null, i => As<UdpBinding>(i).Open != 0),
    ];

    public static IReadOnlyList<Table> Of(RegionKind kind) => kind switch
    {
        RegionKind.Stack => Stack,
        RegionKind.Local => Local,
        RegionKind.Nic => Nic,
        _ => [],
    };

    /// <summary>The descriptors of one process of a stack.</summary>
    public static Table Descriptors(int slot, int count) =>
        Numbers(StackAt.DescriptorsOf(slot), Math.Clamp(count, 0, StackRegion.MaxDescriptors));

    /// <summary>The table is the region's array of these.</summary>
    public static bool IsOf<T>(Table table) => table.Item == typeof(T);

    public static T As<T>(ReadOnlySpan<byte> bytes) where T : unmanaged => MemoryMarshal.Read<T>(bytes);

    private static Table Of<T>(void* at, int most, Table.Count? used = null, Table.Test? has = null)
        where T : unmanaged => new(typeof(T), (long)at, Unsafe.SizeOf<T>(), most, FieldMask.Of<T>(), used, has);

    /// <summary>
    /// Of the sequence numbers there is one that is shown, and counts from SND.UNA: how much is in flight.
    /// </summary>
    private static Table Blocks()
    {
        Table blocks = Of<NicBlock>(NicAt.BlockAt(0), NicRegion.MaxBlocks, h => As<NicTables>(h).Blocks.Bumped,
            i => As<NicBlock>(i).Use != NicUse.Free);
        NicBlock any;
        int at = (int)((byte*)&any.Tcb.SndNxt - (byte*)&any);
        MemoryMarshal.AsBytes(blocks.Mask.AsSpan()).Slice(at, sizeof(SeqNum)).Fill(0xFF);
        return blocks with
        {
            Recast = item =>
            {
                Tcb* tcb = &((NicBlock*)item)->Tcb;
                uint inFlight = (uint)(tcb->SndNxt - tcb->SndUna);
                // A block that is being set up may have one of the two only. No peer lets more than that be sent, and
                // a SYN and a FIN (RFC 9293 3.4).
                tcb->SndNxt = new SeqNum(inFlight <= tcb->MaxWindow + 2ul && tcb->MaxWindow <= 1 << 30 ? inFlight : 0);
            },
        };
    }

    /// <summary>Words with an index each, taken together in items of 256 bytes.</summary>
    private static Table Numbers(uint* at, int count)
    {
        const int itemBytes = 256;
        ulong[] all = new ulong[itemBytes / Packing.Word];
        Array.Fill(all, ulong.MaxValue);
        int items = (count * sizeof(uint) + itemBytes - 1) / itemBytes;
        return new(typeof(uint), (long)at, itemBytes, items, all, null, null);
    }
}
