using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Tests.Tcp;

/// <summary>RFC 9293 3.7.4, 3.8.6: when new data leaves, and how much.</summary>
public class TcpSendTests
{
    const long Ms = TcpDriven.Ms;

    [Fact]
    public void Short_segment_waits_for_the_one_before()
    {
        using var t = new TcpDriven();
        t.End.Write(100, t.Now);
        t.Sends("1:101 ack 1");
        t.End.Write(100, t.Now);
        t.End.Write(100, t.Now);
        t.Sends();
        t.Gets(1, ack: 101);
        t.Sends("101:301 ack 1");
    }

    [Fact]
    public void Minshall_lets_the_end_of_a_long_write_go()
    {
        using var t = new TcpDriven();
        t.End.Write(1448, t.Now);
        t.Sends("1:1449 ack 1");
        // Full segments in flight do not hold a short one back.
        t.End.Write(100, t.Now);
        t.Sends("1449:1549 ack 1");
        t.End.Write(100, t.Now);
        t.Sends();
    }

    [Fact]
    public void No_delay_sends_each()
    {
        using var t = new TcpDriven();
        t.End.Flags.NoDelay = true;
        t.End.Write(10, t.Now);
        t.End.Write(10, t.Now);
        t.Sends("1:11 ack 1", "11:21 ack 1");
    }

    [Fact]
    public void Cork_holds_a_short_segment_for_200_ms()
    {
        using var t = new TcpDriven();
        t.End.Flags.MoreComes = true;
        t.End.Flags.NoDelay = true;
        t.End.Write(1500, t.Now);
        t.Sends("1:1449 ack 1");
        t.Gets(1, ack: 1449);
        t.Sends();
        t.After(199);
        t.Sends();
        t.After(30);
        t.Sends("1449:1501 ack 1");
    }

    [Fact]
    public void Fin_lets_everything_go()
    {
        using var t = new TcpDriven();
        t.End.Write(100, t.Now);
        t.End.Write(100, t.Now);
        t.End.Shutdown(t.Now);
        t.Sends("1:101 ack 1", "Fin 101:201 ack 1");
        Assert.Equal(TcpState.FinWait1, t.Tcb.State);
    }

    [Fact]
    public void Not_more_than_half_of_a_small_window_at_a_time()
    {
        using var t = new TcpDriven(window: 1000);
        t.End.Write(2000, t.Now);
        t.Sends("1:501 ack 1", "501:1001 ack 1");
    }

    [Fact]
    public void What_does_not_fit_waits_for_the_persist_timer()
    {
        using var t = new TcpDriven(window: 8000);
        t.End.Flags.NoDelay = true;
        t.Window = 500;
        t.Gets(1, 10);
        t.Sends("ack 11");
        t.Window = 8000;
        t.Gets(11, 10);
        t.End.Wire.Clear();
        t.Window = 500;
        t.Gets(21, 10);
        t.End.Wire.Clear();
        Assert.Equal(500u, t.Tcb.SndWnd);
        t.End.Write(1400, t.Now);
        t.Sends();
        Assert.Equal(SendTimer.Persist, t.Tcb.SendTimer);
        t.After(230);
        t.Sends("1:501 ack 31");
    }

    [Fact]
    public void Closed_window_is_probed_below_it_and_ever_more_seldom()
    {
        using var t = new TcpDriven();
        t.Window = 0;
        t.Gets(1, 10);
        t.End.Wire.Clear();
        t.End.Write(100, t.Now);
        t.Sends();
        t.After(225);
        t.Sends("0 ack 11");
        t.Gets(11, ack: 1);
        t.After(430);
        t.Sends();
        t.After(20);
        t.Sends("0 ack 11");
        t.Window = 4000;
        t.Gets(11);
        t.Sends("1:101 ack 11");
        Assert.NotEqual(SendTimer.Persist, t.Tcb.SendTimer);
        Assert.Equal(2, t.End.Counter(TcpCounter.ProbesSent));
    }

    [Fact]
    public void Unanswered_probes_end_the_connection()
    {
        using var t = new TcpDriven();
        t.Window = 0;
        t.Gets(1, 10);
        t.End.Write(100, t.Now);
        var began = t.Now;
        while (t.Tcb.State != TcpState.Closed)
        {
            t.After(1_000);
            Assert.True(t.Now - began < 3_000_000 * Ms);
        }
        Assert.Equal(TcpError.TimedOut, t.End.Error);
        Assert.Equal(15, t.End.Counter(TcpCounter.ProbesSent));
        Assert.True(t.Now - began > 900_000 * Ms);
    }

    [Fact]
    public void Super_emission_is_a_multiple_of_the_segment()
    {
        using var t = new TcpDriven(window: 60000);
        t.End.Flags.MaxEmission = 65536;
        t.End.Write(10_000, t.Now);
        var emits = t.End.Wire.Select(s => s.Emit).DistinctBy(e => e.Offset).ToArray();
        Assert.Equal([10_000u], emits.Select(e => e.Length));
        Assert.Equal(1448, emits[0].SegmentSize);
        Assert.True(t.End.Wire.Last().Segment.Has(TcpFlags.Psh));
        Assert.Equal(6, t.End.Wire.Count(s => !s.Segment.Has(TcpFlags.Psh)));
    }

    /// <summary>So many emissions of two segments are in flight, and 100 bytes more are written.</summary>
    static TcpDriven BulkWithEnd(int emissions = 3, int rttMs = 1, bool noDelay = false)
    {
        var t = new TcpDriven(window: 60000, rttMs: rttMs);
        t.End.Flags.MaxEmission = 3000;
        t.End.Flags.NoDelay = noDelay;
        t.End.Write(emissions * 2896, t.Now);
        t.End.Wire.Clear();
        t.End.Write(100, t.Now);
        return t;
    }

    [Fact]
    public void End_of_a_write_in_bulk_waits_for_the_next_write()
    {
        using var t = BulkWithEnd();
        t.Sends();
        t.End.Write(1400, t.Now);
        t.Sends();
        t.End.Write(1500, t.Now);
        Assert.Equal(2896u, Assert.Single(t.End.Wire.Select(s => s.Emit).DistinctBy(e => e.Offset)).Length);
    }

    [Fact]
    public void End_of_a_write_in_bulk_leaves_with_the_ack_that_ends_the_bulk()
    {
        using var t = BulkWithEnd();
        t.Gets(1, ack: 1 + 2896);
        t.Sends();
        t.Gets(1, ack: 1 + 2896 + 1448);
        t.Sends("8689:8789 ack 1");
    }

    [Fact]
    public void End_of_a_write_in_bulk_leaves_with_the_loss_probe()
    {
        using var t = BulkWithEnd();
        t.After(100);
        Assert.Contains(t.End.Wire, s => s.Segment.Seq - t.Iss == 8689 && s.Segment.Length == 100);
    }

    [Fact]
    public void End_of_a_write_in_bulk_leaves_with_the_fin()
    {
        using var t = BulkWithEnd();
        t.End.Shutdown(t.Now);
        t.Sends("Fin 8689:8789 ack 1");
    }

    [Fact]
    public void End_of_a_write_in_bulk_leaves_at_once_if_it_is_urgent()
    {
        using var t = BulkWithEnd();
        t.End.Flags.UrgentEnd = 3 * 2896 + 101;
        t.End.Write(1, t.Now);
        Assert.Equal(101u, Assert.Single(t.End.Wire).Segment.Length);
    }

    [Theory]
    [InlineData(1, 1, false)]
    [InlineData(3, 2, false)]
    [InlineData(3, 1, true)]
    public void End_of_a_write_waits_only_in_bulk_to_a_near_peer_under_Nagles_rule(
        int emissions, int rttMs, bool noDelay)
    {
        using var t = BulkWithEnd(emissions, rttMs, noDelay);
        Assert.Equal(100u, Assert.Single(t.End.Wire).Segment.Length);
    }

    [Fact]
    public void Sack_blocks_take_their_room_from_the_payload()
    {
        using var t = new TcpDriven();
        t.Gets(1001, 100);
        t.Gets(3001, 100);
        t.End.Wire.Clear();
        t.End.Write(3000, t.Now);
        var first = t.End.Wire.Peek().Segment;
        Assert.Equal(2, first.Options.SackCount);
        Assert.Equal(1460u - 12 - 20, first.Length);
    }

    [Fact]
    public void Syn_is_repeated_evenly_and_then_backed_off()
    {
        using var end = new TcpEnd(true);
        long now = 1_000 * Ms, began = now;
        end.Connect(now);
        var times = new List<long>();
        while (end.Tcb.State == TcpState.SynSent)
        {
            Assert.All(end.Wire, s => Assert.Equal(TcpFlags.Syn, s.Segment.Flags));
            while (end.Wire.TryDequeue(out _))
                times.Add((now - began) / Ms / 1000);
            now = TcpTimers.Deadline(in end.Tcb);
            end.Tick(now);
        }
        Assert.Equal([0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67], times);
        Assert.Equal(131, (now - began) / Ms / 1000);
        Assert.Equal(TcpError.TimedOut, end.Error);
    }

    [Fact]
    public void Syn_ack_is_repeated_five_times()
    {
        using var end = new TcpEnd(false);
        long now = 1_000 * Ms, began = now;
        TcpSegment syn = new() { Seq = new(5), Flags = TcpFlags.Syn, Window = 1000 };
        end.Accept(in syn, now);
        var sent = 0;
        while (end.Tcb.State == TcpState.SynReceived)
        {
            while (end.Wire.TryDequeue(out var s))
            {
                Assert.Equal(TcpFlags.Syn | TcpFlags.Ack, s.Segment.Flags);
                Assert.Equal(6u, s.Segment.Ack.Value);
                Assert.Equal(TcpOptionKinds.Mss, s.Segment.Options.Present);
                sent++;
            }
            now = TcpTimers.Deadline(in end.Tcb);
            end.Tick(now);
        }
        Assert.Equal(6, sent);
        Assert.Equal(63, (now - began) / Ms / 1000);
        Assert.Equal(TcpError.None, end.Error);
        Assert.True(end.Events.HasFlag(TcpEvents.Closed));
    }

    [Fact]
    public void Keepalive_probes_and_resets()
    {
        using var t = new TcpDriven(prepare: e => e.Opening.Options = new TcpTuning
        {
            Keepalive = true, KeepaliveTimeSeconds = 10, KeepaliveIntervalSeconds = 2, KeepaliveProbes = 3,
        });
        t.After(9_900);
        t.Sends();
        t.After(200);
        t.Sends("0 ack 1");
        // Answered: from the beginning again.
        t.Gets(1);
        t.After(9_500);
        t.Sends();
        t.After(600);
        t.Sends("0 ack 1");
        t.After(2_000);
        t.Sends("0 ack 1");
        t.After(2_000);
        t.Sends("0 ack 1");
        t.After(2_000);
        t.Sends("Rst 1 ack 1");
        Assert.Equal(TcpError.TimedOut, t.End.Error);
    }

    [Fact]
    public void Icmp_of_the_handshake_ends_it_and_later_is_remembered()
    {
        using var end = new TcpEnd(true);
        end.Connect(1_000 * Ms);
        TcpEffects fx = default;
        TcpIcmp.OnError(ref end.Tcb, 3, 1, end.Tcb.Iss + 77, 0, end.Context(1_001 * Ms), ref fx);
        Assert.False(fx.Has(TcpEvents.Failed));
        TcpIcmp.OnError(ref end.Tcb, 3, 1, end.Tcb.Iss, 0, end.Context(1_001 * Ms), ref fx);
        Assert.Equal(TcpError.HostUnreachable, fx.Error);

        using var t = new TcpDriven();
        t.End.Write(100, t.Now);
        fx = default;
        TcpIcmp.OnError(ref t.Tcb, 3, 0, t.Iss + 1, 0, t.End.Context(t.Now), ref fx);
        Assert.False(fx.Has(TcpEvents.Failed));
        Assert.Equal(TcpError.NetUnreachable, t.Tcb.SoftError);
        t.Gets(1, ack: 101);
        Assert.Equal(TcpError.None, t.Tcb.SoftError);
    }

    [Fact]
    public void Too_big_makes_segments_smaller_if_it_quotes_what_is_in_flight()
    {
        using var t = new TcpDriven();
        t.End.Write(1448, t.Now);
        TcpEffects fx = default;
        TcpIcmp.OnError(ref t.Tcb, 3, 4, t.Iss + 5_000, 1000, t.End.Context(t.Now), ref fx);
        Assert.Equal(1448, t.Tcb.SndMss);
        TcpIcmp.OnError(ref t.Tcb, 3, 4, t.Iss + 1, 1000, t.End.Context(t.Now), ref fx);
        Assert.Equal(948, t.Tcb.SndMss);
        TcpIcmp.OnError(ref t.Tcb, 3, 4, t.Iss + 1, 68, t.End.Context(t.Now), ref fx);
        Assert.Equal(552 - 52, t.Tcb.SndMss);
    }

    [Fact]
    public void Time_wait_gives_way_to_a_newer_syn_only()
    {
        using var t = new TcpDriven();
        t.End.Close(t.Now);
        t.Gets(1, ack: 2);
        t.Gets(1, ack: 2, flags: TcpFlags.Ack | TcpFlags.Fin);
        Assert.Equal(TcpState.TimeWait, t.Tcb.State);
        t.End.Wire.Clear();
        t.Gets(1, ack: 2, flags: TcpFlags.Ack | TcpFlags.Fin);
        t.Sends("ack 2");
        t.After(30_000);
        t.Gets(1, ack: 0, flags: TcpFlags.Syn, tsAge: 60_000);
        t.Sends("ack 2");
        Assert.Equal(TcpState.TimeWait, t.Tcb.State);
        Assert.True(TcpClose.CanReuse(in t.Tcb, t.End.Context(t.Now), out _));
        t.Gets(1, ack: 0, flags: TcpFlags.Syn);
        Assert.True(t.End.Events.HasFlag(TcpEvents.Reopen));
        Assert.Equal(TcpState.Closed, t.Tcb.State);
        Assert.True(t.End.NextIss - t.Iss > 65535);
    }

    [Fact]
    public void User_timeout_ends_an_unanswered_connection()
    {
        using var t = new TcpDriven(prepare: e => e.Opening.Options.UserTimeoutMillis = 5_000);
        t.End.Write(100, t.Now);
        t.After(4_500);
        Assert.Equal(TcpState.Established, t.Tcb.State);
        t.After(2_000);
        Assert.Equal(TcpState.Closed, t.Tcb.State);
        Assert.Equal(TcpError.TimedOut, t.End.Error);
    }

    [Fact]
    public void Retransmissions_go_on_for_a_quarter_of_an_hour()
    {
        using var t = new TcpDriven();
        t.End.Write(100, t.Now);
        var began = t.Now;
        while (t.Tcb.State != TcpState.Closed)
        {
            t.After(1_000);
            Assert.True(t.Now - began < 3_000_000 * Ms);
        }
        // 924.6 s of Linux for 15 retries, seen at the first timeout after it.
        Assert.InRange((t.Now - began) / Ms, 924_600, 924_600 + 121_000);
        Assert.Equal(0, t.End.RecordsInUse);
    }
}
