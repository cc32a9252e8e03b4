using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Tests.Tcp;

/// <summary>RFC 9293 3.10.7.4 steps six to eight, RFC 2018, RFC 2883, RFC 5681 4.2.</summary>
public class TcpReceiveTests
{
    /// <summary>No more ACKs at once: as after the start.</summary>
    static TcpDriven Settled(int capacity = 65536, bool timestamps = true)
    {
        var t = new TcpDriven(capacity: capacity, timestamps: timestamps);
        t.Tcb.QuickAcks = 0;
        t.Tcb.AckTimeout = 40 * TcpDriven.Ms;
        t.Tcb.RcvMss = 1000;
        return t;
    }

    [Fact]
    public void First_segments_are_acknowledged_at_once()
    {
        using var t = new TcpDriven();
        for (var i = 0u; i < 16; i++)
        {
            t.Gets(1 + 100 * i, 100);
            t.Sends($"ack {101 + 100 * i}");
        }
        t.Gets(1601, 100);
        t.Sends();
        t.After(39);
        t.Sends();
        t.After(2);
        t.Sends("ack 1701");
    }

    [Theory]
    [InlineData(50_000u, 1u << 20)]
    [InlineData(900_000u, 1u << 20)]
    [InlineData(20_000_000u, 4u << 20)]
    public void A_buffer_grows_as_far_as_its_path_is_long(uint rttNs, uint most)
    {
        using var t = Settled(capacity: 256 << 10);
        t.Tcb.RcvWscale = 7;
        t.Tcb.Recovery.Rtt.MinNow = rttNs;
        t.Tcb.Recovery.Rtt.MinBefore = 0;
        t.Tcb.Tuning.Rtt8 = 8L * Math.Max(rttNs, (uint)TcpDriven.Ms);
        TcpStreams streams = new();
        TcpSegment seg = new() { Length = 1000 };
        uint wanted = 0;
        var now = t.Now;
        for (var size = 256u << 10; ; size = wanted, now += rttNs)
        {
            streams.ReceiveSpace = size;
            t.Tcb.Tuning.BeganAt = now;
            t.Tcb.Tuning.BeganSeq = t.Tcb.RcvNxt;
            t.Tcb.RcvNxt += size;
            if (t.Tcb.Tuning.OnData(ref t.Tcb, in seg, t.End.Context(now), in streams) is not (> 0 and var next))
                break;
            wanted = next;
        }
        Assert.Equal(most, wanted);
    }

    [Fact]
    public void Under_pressure_less_is_offered_than_there_is_room_for_but_no_promise_is_taken_back()
    {
        using var t = Settled();
        var streams = t.End.Streams();
        streams.OfferMost = 16384;
        var edge = t.Tcb.RcvNxt + Window.Remaining(in t.Tcb);
        for (var got = 0; got < 200_000; got += 1000)
        {
            t.Tcb.RcvNxt += 1000;
            Window.Offer(ref t.Tcb, in streams);
            var now = t.Tcb.RcvNxt + Window.Remaining(in t.Tcb);
            Assert.True(now >= edge, "the right edge moved back");
            Assert.True(now - edge <= 1000 || got < 1000, $"at {got} the edge moves by {now - edge}");
            edge = now;
        }
        Assert.Equal(16384u, Window.Remaining(in t.Tcb));
    }

    [Fact]
    public void Every_second_full_segment_is_acknowledged()
    {
        using var t = Settled();
        t.Gets(1, 1000);
        t.Sends();
        t.Gets(1001, 1000);
        t.Sends("ack 2001");
        t.Gets(2001, 1000);
        t.Sends();
        t.After(41);
        t.Sends("ack 3001");
        Assert.Equal(1, t.End.Counter(TcpCounter.DelayedAcks));
    }

    [Fact]
    public void Super_frame_is_acknowledged_at_once()
    {
        using var t = Settled();
        t.Gets(1, 5000);
        t.Sends("ack 5001");
    }

    [Fact]
    public void Data_takes_the_waiting_ack_along()
    {
        using var t = Settled();
        t.Gets(1, 100);
        t.Sends();
        t.End.Write(10, t.Now);
        t.Sends("1:11 ack 101");
        t.After(150);
        t.Gets(101, ack: 11);
        t.After(500);
        t.Sends();
        Assert.True(DelayedAck.IsPingPong(in t.Tcb));
    }

    [Fact]
    public void Gap_is_reported_and_filled_at_once()
    {
        using var t = Settled();
        t.Gets(1001, 1000);
        t.Sends("ack 1 sack 1001:2001");
        t.Gets(3001, 1000);
        t.Sends("ack 1 sack 3001:4001 sack 1001:2001");
        t.Gets(2001, 1000);
        t.Sends("ack 1 sack 1001:4001");
        var effects = t.Gets(1, 1000);
        Assert.Equal(4000u, effects.Advance);
        Assert.Equal(0u, effects.StoreAt);
        t.Sends("ack 4001");
        Assert.Equal(4000, t.End.Unread);
    }

    [Fact]
    public void Three_blocks_with_timestamps_four_without()
    {
        foreach (var timestamps in new[] { true, false })
        {
            using var t = Settled(timestamps: timestamps);
            foreach (var at in new uint[] { 1001, 3001, 5001, 7001, 9001 })
                t.Gets(at, 100);
            var last = t.End.Wire.Last().Segment.Options;
            Assert.Equal(timestamps ? 3 : 4, last.SackCount);
            Assert.Equal(9001, last.Sacks[0].Left - new SeqNum(TcpDriven.PeerIss));
        }
    }

    [Fact]
    public void Duplicate_out_of_order_segment_is_told_first()
    {
        using var t = Settled();
        t.Gets(1001, 1000);
        t.Sends("ack 1 sack 1001:2001");
        t.Gets(1001, 500);
        t.Sends("ack 1 sack 1001:1501 sack 1001:2001");
        t.Gets(5001, 10);
        t.Sends("ack 1 sack 5001:5011 sack 1001:2001");
    }

    [Fact]
    public void Fin_ahead_of_a_gap_waits_for_it()
    {
        using var t = Settled();
        var effects = t.Gets(1001, 500, flags: TcpFlags.Ack | TcpFlags.Fin);
        Assert.False(effects.Has(TcpEvents.EndOfStream));
        t.Sends("ack 1 sack 1001:1501");
        effects = t.Gets(1, 1000);
        Assert.True(effects.Has(TcpEvents.EndOfStream));
        Assert.Equal(1500u, effects.Advance);
        Assert.Equal(TcpState.CloseWait, t.Tcb.State);
        t.Sends("ack 1502");
    }

    [Fact]
    public void Data_after_the_fin_is_not_taken()
    {
        using var t = Settled();
        t.Gets(1001, 500, flags: TcpFlags.Ack | TcpFlags.Fin);
        t.Gets(1501, 100);
        var effects = t.Gets(1, 1000);
        Assert.Equal(1500u, effects.Advance);
        Assert.Equal(1500, t.End.Unread);
        t.Gets(1502, 100);
        Assert.Equal(1500, t.End.Unread);
    }

    [Fact]
    public void Fin_that_comes_again_is_acknowledged_again()
    {
        using var t = Settled();
        t.Gets(1, flags: TcpFlags.Ack | TcpFlags.Fin);
        t.After(100);
        t.Sends("ack 2");
        t.Gets(1, flags: TcpFlags.Ack | TcpFlags.Fin);
        t.Sends("ack 2 sack 1:2");
        Assert.Equal(TcpState.CloseWait, t.Tcb.State);
    }

    [Fact]
    public void Fin_alone_is_acknowledged_at_once_and_after_data_it_waits()
    {
        using var alone = new TcpDriven();
        alone.Gets(1, flags: TcpFlags.Ack | TcpFlags.Fin);
        alone.Sends("ack 2");
        using var after = Settled();
        after.Gets(1, flags: TcpFlags.Ack | TcpFlags.Fin);
        after.Sends();
        after.After(41);
        after.Sends("ack 2");
    }

    [Fact]
    public void Part_that_is_known_is_cut_off()
    {
        using var t = Settled();
        t.Gets(1, 1000);
        var effects = t.Gets(501, 1000);
        Assert.Equal((500u, 500u, 500u), (effects.StoreFrom, effects.StoreLength, effects.Advance));
        t.Sends("ack 1501 sack 501:1001");
    }

    [Fact]
    public void What_does_not_fit_is_cut_off()
    {
        using var t = Settled(capacity: 4096);
        var effects = t.Gets(1, 5000);
        Assert.Equal(4096u, effects.StoreLength);
        Assert.Equal(0u, Window.Remaining(in t.Tcb));
        t.End.Wire.Clear();
        effects = t.Gets(4097, 100);
        Assert.Equal(0u, effects.StoreLength);
        t.Sends("ack 4097");
    }

    [Fact]
    public void Reader_opens_the_window()
    {
        using var t = Settled(capacity: 8000);
        t.Gets(1, 4000);
        t.Gets(4001, 4000);
        t.End.Wire.Clear();
        t.End.Take(500, t.Now);
        t.Sends();
        t.End.Take(2000, t.Now);
        t.Sends("ack 8001");
        Assert.Equal(1, t.End.Counter(TcpCounter.WindowUpdates));
        Assert.True(Window.Remaining(in t.Tcb) is > 2000 and <= 2500);
    }

    [Fact]
    public void Offered_edge_never_moves_back()
    {
        using var t = Settled(capacity: 20_000);
        var random = new Prng(Prng.Seed(3));
        uint next = 1;
        SeqNum edge = default;
        for (var i = 0; i < 3_000; i++)
        {
            if (random.OneIn(3))
                t.End.Take(random.Below(6000), t.Now);
            else
            {
                var length = Math.Min(1 + random.Below(1400), (int)Window.Remaining(in t.Tcb));
                t.Gets(next, length);
                next += (uint)length;
            }
            t.After(random.Below(60));
            var now = t.Tcb.RcvWup + t.Tcb.RcvWnd;
            Assert.True(i == 0 || now >= edge);
            Assert.True(now - t.Tcb.RcvNxt <= 20_000 - t.End.Unread);
            edge = now;
            t.End.Wire.Clear();
        }
        Assert.True(next > 100_000);
    }

    [Fact]
    public void Urgent_mark_names_the_byte_after()
    {
        using var t = Settled();
        t.Gets(1, 10, flags: TcpFlags.Ack | TcpFlags.Urg, urgent: 4);
        Assert.True(t.Tcb.Flags.HasFlag(TcbFlags.UrgentSeen));
        Assert.Equal(5, t.Tcb.RcvUp - new SeqNum(TcpDriven.PeerIss));
        // An older one, and one that was read past.
        var effects = t.Gets(11, 1, flags: TcpFlags.Ack | TcpFlags.Urg, urgent: 0xFF00);
        Assert.Equal(0xFF00u, effects.UrgentEnd);
        effects = t.Gets(12, 1, flags: TcpFlags.Ack | TcpFlags.Urg, urgent: 2);
        Assert.False(effects.Has(TcpEvents.Urgent));
    }

    [Fact]
    public void Urgent_data_is_announced_in_every_segment_before_its_end()
    {
        using var t = Settled();
        t.End.Flags.UrgentEnd = 2000;
        t.End.Write(2000, t.Now);
        var sent = t.End.Wire.ToArray();
        Assert.All(sent, s => Assert.True(s.Segment.Has(TcpFlags.Urg)));
        Assert.Equal([2000, 552], sent.Select(s => (int)s.Emit.Urgent).Distinct());
    }

    [Fact]
    public void Buffer_that_limits_the_peer_is_to_grow()
    {
        using var t = new TcpDriven(capacity: 16384);
        var events = TcpEvents.None;
        uint wanted = 0;
        for (var i = 0u; i < 8; i++)
        {
            var effects = t.Gets(1 + 1400 * i, 1400);
            events |= effects.Events;
            wanted = Math.Max(wanted, effects.ReceiveWanted);
            t.End.Take(1400, t.Now);
        }
        Assert.True(events.HasFlag(TcpEvents.GrowReceive));
        Assert.True(wanted >= 2 * 8192);
    }

    [Fact]
    public void Buffer_of_a_slow_peer_does_not_grow()
    {
        using var t = new TcpDriven(capacity: 16384);
        for (var i = 0u; i < 100; i++)
        {
            Assert.False(t.Gets(1 + 1400 * i, 1400).Has(TcpEvents.GrowReceive));
            t.End.Take(1400, t.Now);
            t.After(10);
        }
    }

    [Fact]
    public void Congestion_mark_is_echoed_until_cwr()
    {
        using var t = new TcpDriven(ecn: true);
        Assert.True(t.Tcb.Flags.HasFlag(TcbFlags.Ecn));
        t.Gets(1, 100, marked: true);
        t.Gets(101, 100);
        t.Sends("Ece ack 101", "Ece ack 201");
        t.Gets(201, 100, flags: TcpFlags.Ack | TcpFlags.Cwr);
        t.Sends("ack 301");
    }
}
