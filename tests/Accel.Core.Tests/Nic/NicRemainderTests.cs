using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Tcp;
using Accel.Testing.Death;
using Accel.Wire;

namespace Accel.Core.Tests.Nic;

/// <summary>
/// Root reads what a program that was killed left in memory which that program could write as it liked: what is in
/// doubt is reset, and no byte of anything else is read.
/// </summary>
public sealed unsafe class NicRemainderTests : IDisposable
{
    const int Written = 20_000;

    static readonly Endpoint Here = DeadRegions.V4(10, 77, 0, 1, 5000), There = DeadRegions.V4(10, 77, 0, 2, 80);

    readonly DeadMemory _memory = new();

    DeadRegions Dead => _memory.Dead;

    public void Dispose() => _memory.Dispose();

    static byte[] Pattern(int bytes) => [.. Enumerable.Range(0, bytes).Select(i => (byte)(i * 7 + i / 251))];

    /// <summary>One that is to be closed, until the test changes something.</summary>
    int Add(int bytes = Written, int sent = 500, ulong passed = 0, uint iss = 1000)
    {
        var index = Dead.Add(Here, There, Pattern(bytes), sent, passed, iss);
        IsClosed(index, Pattern(bytes));
        return index;
    }

    void IsReset(int index) => Assert.Equal(NicDuty.Reset, _memory.DutyOf(index, out _));

    void IsNothing(int index) => Assert.Equal(NicDuty.None, _memory.DutyOf(index, out _));

    void IsClosed(int index, byte[] bytes)
    {
        Assert.Equal(NicDuty.Close, _memory.DutyOf(index, out var queue));
        Assert.Equal(bytes, queue);
    }

    [Theory]
    [InlineData(0, 0, 0ul, 1000u)]
    [InlineData(1, 1, 0ul, 1000u)]
    [InlineData(16384, 100, 0ul, 1000u)]
    // Around the end of the first ring, and of the space of sequence numbers.
    [InlineData(10_000, 10_000, 12_345ul, 0xFFFF_F000u)]
    [InlineData(10_000, 0, 0xFFFF_F000ul, 7u)]
    [InlineData(10_000, 5_000, 0x12_FFFF_F000ul, 0x7FFF_FFF0u)]
    // In two rings, and in the largest.
    [InlineData(50_000, 20_000, 777ul, 0u)]
    [InlineData(262_144, 20_000, 0ul, 0u)]
    public void What_was_written_is_sent(int bytes, int sent, ulong passed, uint iss)
    {
        var index = Add(bytes, sent, passed, iss);
        IsClosed(index, Pattern(bytes));
        Assert.Equal(iss + 1 + (uint)passed, _memory.Image.SendSeq);
        Assert.Equal(((uint)sent, (uint)(bytes - sent), 0u),
            (_memory.Image.Sent, _memory.Image.Unsent, _memory.Image.Unread));
    }

    [Fact]
    public void More_acknowledged_than_written_is_no_end_of_the_stream()
    {
        var index = Add();
        Dead.OutOf(index)->Head = Dead.OutOf(index)->Tail + 1;
        ref var tcb = ref Dead.BlockAt(index)->Tcb;
        tcb.SndUna = tcb.SndNxt = tcb.Iss + 1 + (uint)Dead.OutOf(index)->Head;
        IsReset(index);
    }

    [Theory]
    [InlineData(1 << 14)]
    [InlineData(1 << 18)]
    [InlineData(1 << 22)]
    public void More_than_the_ring_holds_is_not_sent(int ring)
    {
        var index = Add(bytes: 1000, sent: 1000);
        var pipe = Dead.OutOf(index);
        pipe->ReadBuffer = BufferArena.Take(&Dead.Local.Tables->Buffers, Dead.Local.Address, Log2(ring));
        pipe->ReadLog2 = (uint)Log2(ring);
        pipe->Tail = pipe->Head + (ulong)ring;
        Assert.Equal(NicDuty.Close, _memory.DutyOf(index, out _));
        pipe->Tail++;
        IsReset(index);
    }

    [Theory]
    [InlineData(PipeOps.MaxInFlight)]
    [InlineData(PipeOps.MaxInFlight + 1)]
    [InlineData(1ul << 32)]
    [InlineData(1ul << 63)]
    public void More_than_can_be_in_flight_is_nonsense(ulong bytes)
    {
        var index = Add(bytes: 0, sent: 0);
        Dead.OutOf(index)->Tail = Dead.OutOf(index)->Head + bytes;
        IsReset(index);
    }

    [Theory]
    [InlineData(1L)]
    [InlineData(-1L)]
    [InlineData(1L << 40)]
    public void What_came_and_was_not_read_is_reset_and_so_is_nonsense(long unread)
    {
        var index = Add();
        Dead.InOf(index)->Head = Dead.InOf(index)->Tail - (ulong)unread;
        IsReset(index);
    }

    [Theory]
    [InlineData(0u)]
    [InlineData((uint)LocalRegion.MaxConns + 1)]
    [InlineData(0x8000_0000u)]
    [InlineData(uint.MaxValue)]
    public void A_connection_beyond_the_table_is_not_looked_at(uint conn)
    {
        var index = Add();
        Dead.BlockAt(index)->Conn = conn;
        IsReset(index);
    }

    [Fact]
    public void A_connection_in_its_next_life_is_another()
    {
        var index = Add();
        Dead.ConnOf(index)->Generation++;
        IsReset(index);
    }

    [Fact]
    public void A_connection_of_two_blocks_is_nobodys()
    {
        var first = Add();
        var second = Dead.Add(Here, DeadRegions.V4(10, 77, 0, 2, 81), Pattern(Written), 500);
        Dead.BlockAt(second)->Conn = Dead.BlockAt(first)->Conn;
        Assert.InRange(Closable(first) + Closable(second), 0, 1);
    }

    int Closable(int index) => _memory.DutyOf(index, out _) == NicDuty.Close ? 1 : 0;

    [Fact]
    public void What_was_in_hand_may_be_half_changed()
    {
        var index = Add();
        Dead.Nic.Tables->InHand = (uint)index + 1;
        IsReset(index);
        Dead.Nic.Tables->InHand = (uint)index + 2;
        IsClosed(index, Pattern(Written));
    }

    [Theory]
    [InlineData(ConnState.Free)]
    [InlineData(ConnState.Fresh)]
    [InlineData(ConnState.Queued)]
    [InlineData((ConnState)99)]
    public void Nobody_had_accepted_it(ConnState state)
    {
        var index = Add();
        Dead.ConnOf(index)->State = (uint)state;
        IsReset(index);
    }

    /// <summary>Units of 4 KiB: of the tables, behind the end, and where a sum of both would wrap.</summary>
    [Theory]
    [InlineData(0u, 14u)]
    [InlineData(1u, 14u)]
    [InlineData(uint.MaxValue, 14u)]
    [InlineData(uint.MaxValue, 22u)]
    [InlineData(null, 0u)]
    [InlineData(null, 13u)]
    [InlineData(null, 15u)]
    [InlineData(null, 63u)]
    [InlineData(null, 64u + 14u)]
    [InlineData(null, 0x8000_0000u + 14u)]
    public void A_ring_outside_the_buffers_is_not_read(uint? unit, uint log2)
    {
        var index = Add(bytes: 1000);
        var pipe = Dead.OutOf(index);
        (pipe->ReadBuffer, pipe->ReadLog2) = (unit ?? pipe->ReadBuffer, log2);
        IsReset(index);
    }

    [Fact]
    public void A_ring_that_begins_in_the_tables_or_ends_behind_the_end_is_not_read()
    {
        var index = Add(bytes: 1000);
        var pipe = Dead.OutOf(index);
        foreach (var unit in (ulong[])[(ulong)LocalRegion.FixedBytes / 4096 - 1, (ulong)DeadMemory.LocalBytes / 4096,
            (ulong)DeadMemory.LocalBytes / 4096 - 3])
        {
            pipe->ReadBuffer = (uint)unit;
            IsReset(index);
        }
    }

    /// <summary>Whose rings are anywhere by its own tables.</summary>
    [Theory]
    [InlineData(0ul, ulong.MaxValue)]
    [InlineData(ulong.MaxValue, 0ul)]
    [InlineData(0ul, 1ul << 44)]
    public void The_arena_is_what_is_mapped_whatever_it_says(ulong first, ulong end)
    {
        var index = Add(bytes: 1000);
        (Dead.Local.Tables->Buffers.FirstByte, Dead.Local.Tables->Buffers.EndByte) = (first, end);
        var pipe = Dead.OutOf(index);
        foreach (var unit in (uint[])[0, 1, (uint)(DeadMemory.LocalBytes / 4096) - 1,
            (uint)(DeadMemory.LocalBytes / 4096), 1u << 30])
        {
            pipe->ReadBuffer = unit;
            IsReset(index);
        }
    }

    [Theory]
    [InlineData(0u, 18u, 0L)]
    [InlineData(uint.MaxValue, 18u, 0L)]
    [InlineData(1u, 14u, 0L)]
    // It begins before the first byte of the queue, or behind the last: then the old one holds too much.
    [InlineData(null, 18u, -30_000L)]
    [InlineData(null, 18u, 100_000L)]
    [InlineData(null, 99u, 0L)]
    public void A_next_ring_that_cannot_be_is_not_read(uint? unit, uint log2, long start)
    {
        var index = Add(bytes: 50_000);
        var pipe = Dead.OutOf(index);
        Assert.Equal(1u, pipe->NextReady);
        (pipe->NextBuffer, pipe->NextLog2) = (unit ?? pipe->NextBuffer, log2);
        pipe->NextStart += (ulong)start;
        if (start < 0)
            pipe->NextLog2 = PipeOps.FirstLog2;
        IsReset(index);
    }

    public static TheoryData<string> Differences => ["SndUna", "SndNxt", "RcvNxt", "Iss", "Irs", "Head", "In"];

    [Theory]
    [MemberData(nameof(Differences))]
    public void Counters_that_differ_are_a_change_that_was_not_completed(string which)
    {
        var index = Add();
        ref var tcb = ref Dead.BlockAt(index)->Tcb;
        switch (which)
        {
            case "SndUna": tcb.SndUna += 1; break;
            case "SndNxt": tcb.SndNxt += Written; break;
            case "RcvNxt": tcb.RcvNxt += 1; break;
            case "Iss": tcb.Iss += 1; break;
            case "Irs": tcb.Irs += 1; break;
            case "Head": Dead.OutOf(index)->Head++; break;
            default: Dead.InOf(index)->Head = ++Dead.InOf(index)->Tail; break;
        }
        IsReset(index);
    }

    [Fact]
    public void More_acknowledged_than_sent_is_nonsense()
    {
        var index = Add(sent: 0);
        ref var tcb = ref Dead.BlockAt(index)->Tcb;
        tcb.SndUna = tcb.SndNxt + 5;
        IsReset(index);
    }

    [Fact]
    public void Bytes_behind_the_end_of_the_stream_are_nonsense()
    {
        var index = Add(sent: 5000);
        ref var tcb = ref Dead.BlockAt(index)->Tcb;
        (tcb.State, tcb.FinSeq, tcb.SndNxt) = (TcpState.FinWait1, tcb.SndNxt, tcb.SndNxt + 1);
        tcb.Flags |= TcbFlags.FinSent;
        IsReset(index);
        Dead.OutOf(index)->Tail = Dead.OutOf(index)->Head + 5000;
        IsClosed(index, Pattern(5000));
        tcb.SndNxt += 1;
        IsReset(index);
    }

    [Fact]
    public void An_end_of_the_peers_stream_that_is_not_where_it_was_is_nonsense()
    {
        var index = Add();
        ref var tcb = ref Dead.BlockAt(index)->Tcb;
        (tcb.State, tcb.FinAt, tcb.RcvNxt) = (TcpState.CloseWait, tcb.RcvNxt, tcb.RcvNxt + 1);
        tcb.Flags |= TcbFlags.FinReceived;
        IsClosed(index, Pattern(Written));
        tcb.RcvNxt += 1;
        IsReset(index);
    }

    [Fact]
    public void A_state_that_is_none_is_no_connection()
    {
        var index = Add();
        for (var state = (int)TcpState.Closing + 1; state <= byte.MaxValue; state++)
        {
            Dead.BlockAt(index)->Tcb.State = (TcpState)state;
            IsReset(index);
        }
    }

    [Theory]
    [InlineData(TcpState.None)]
    [InlineData(TcpState.Closed)]
    [InlineData(TcpState.SynSent)]
    [InlineData(TcpState.FinWait2)]
    [InlineData(TcpState.TimeWait)]
    public void Nothing_is_left_to_do(TcpState state)
    {
        var index = Add();
        Dead.BlockAt(index)->Tcb.State = state;
        IsNothing(index);
    }

    [Theory]
    [InlineData(NicUse.Free)]
    [InlineData(NicUse.HalfOpen)]
    [InlineData(NicUse.TimeWait)]
    [InlineData(NicUse.HandedOver)]
    [InlineData((NicUse)77)]
    public void A_block_without_a_connection_is_nothing(NicUse use)
    {
        var index = Add();
        Dead.BlockAt(index)->Use = use;
        IsNothing(index);
    }

    public static TheoryData<string> Absurdities =>
        ["no MSS", "SndWscale 15", "SndWscale 255", "RcvWscale 15", "RcvWscale 128", "SndWnd", "RcvWnd", "MaxWindow"];

    [Theory]
    [MemberData(nameof(Absurdities))]
    public void What_no_handshake_agrees_on_was_not_agreed_on(string which)
    {
        var index = Add();
        ref var tcb = ref Dead.BlockAt(index)->Tcb;
        switch (which)
        {
            case "no MSS": tcb.PeerMss = 0; break;
            case "SndWscale 15": tcb.SndWscale = 15; break;
            case "SndWscale 255": tcb.SndWscale = 255; break;
            case "RcvWscale 15": tcb.RcvWscale = 15; break;
            case "RcvWscale 128": tcb.RcvWscale = 128; break;
            case "SndWnd": tcb.SndWnd = uint.MaxValue; break;
            case "RcvWnd": tcb.RcvWnd = 0x8000_0000; break;
            default: tcb.MaxWindow = uint.MaxValue; break;
        }
        IsReset(index);
    }

    [Fact]
    public void Any_time_stamp_will_do()
    {
        var index = Add();
        Dead.BlockAt(index)->Tcb.TsOffset = uint.MaxValue;
        IsClosed(index, Pattern(Written));
    }

    public static TheoryData<string> BadNames =>
    [
        "no family", "two families", "family 7", "no port", "no remote port", "any", "remote any", "loopback",
        "remote loopback", "multicast", "remote multicast", "broadcast", "mapped", "remote mapped", "v6 any",
        "v6 loopback", "v6 multicast", "bytes behind an IPv4 address", "scope",
    ];

    /// <summary>No frame has them: the kernel would take them for something else.</summary>
    [Theory]
    [MemberData(nameof(BadNames))]
    public void A_name_that_no_connection_over_an_interface_has_is_none(string which)
    {
        var index = Add();
        ref var way = ref Dead.BlockAt(index)->Route;
        Endpoint six = DeadRegions.V6(1, 5000);
        if (which.StartsWith("v6", StringComparison.Ordinal) || which.EndsWith("mapped", StringComparison.Ordinal)
            || which == "scope")
            (way.Local, way.Remote) = (six, DeadRegions.V6(2, 80));
        IsClosed(index, Pattern(Written));
        switch (which)
        {
            case "no family": way.Local.Family = way.Remote.Family = 0; break;
            case "two families": way.Local = six; break;
            case "family 7": way.Local.Family = way.Remote.Family = 7; break;
            case "no port": way.Local.Port = 0; break;
            case "no remote port": way.Remote.Port = 0; break;
            case "any": way.Local.AddressLow = 0; break;
            case "remote any": way.Remote.AddressLow = 0; break;
            case "loopback": way.Local = Endpoint.Loopback(Endpoint.V4, 5000); break;
            case "remote loopback": way.Remote = Endpoint.Loopback(Endpoint.V4, 80); break;
            case "multicast": way.Local = DeadRegions.V4(224, 0, 0, 1, 5000); break;
            case "remote multicast": way.Remote = DeadRegions.V4(239, 255, 255, 255, 80); break;
            case "broadcast": way.Remote = DeadRegions.V4(255, 255, 255, 255, 80); break;
            case "mapped": way.Local = Here.Mapped(); break;
            case "remote mapped": way.Remote = There.Mapped(); break;
            case "v6 any": way.Remote.AddressLow = way.Remote.AddressHigh = 0; break;
            case "v6 loopback": way.Local = Endpoint.Loopback(Endpoint.V6, 5000); break;
            case "v6 multicast": way.Remote.AddressLow = 0x02FF; break;
            case "scope": way.Local.ScopeId = 3; break;
            default: way.Local.AddressLow |= 1ul << 40; break;
        }
        IsNothing(index);
    }

    static int Log2(int size) => (int)uint.Log2((uint)size);
}
