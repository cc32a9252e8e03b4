using Accel.Core.Tcp;

namespace Accel.Core.Tests.Tcp;

/// <summary>Loss detection and recovery of a sender whose peer sends SACK.</summary>
public class LossRecoveryTests
{
    /// <summary>A path of 100 ms, known; ten segments in flight, all just sent.</summary>
    static Sender Flight(uint segments = 10, uint window = 0)
    {
        var sender = new Sender();
        sender.Send(1000);
        sender.After(100);
        sender.Ack(1000);
        Assert.Equal(100, sender.Recovery.Rtt.Srtt / Sender.Ms);
        if (window != 0)
            sender.Recovery.Congestion.Cwnd = window * Sender.Mss;
        sender.Send(segments * Sender.Mss);
        return sender;
    }

    [Fact]
    public void An_ACK_in_order_gives_its_records_back_and_opens_the_window()
    {
        using var sender = Flight();
        sender.After(100);
        var outcome = sender.Ack(3000);
        Assert.Equal((2000u, 2000u, 0u), (outcome.AckedBytes, outcome.DeliveredBytes, outcome.LostBytes));
        Assert.Equal(100, outcome.RttNs / Sender.Ms);
        Assert.Equal(8u, sender.Recovery.Sent.Records);
        Assert.Equal(RecoveryState.Open, sender.Recovery.State);
        Assert.Equal(12u, sender.CwndSegments);
        sender.Ack(11000);
        Assert.Equal(0, sender.InUse);
        Assert.Equal(RecoveryTimer.None, sender.Recovery.Timer(out _));
    }

    [Fact]
    public void An_ACK_may_end_within_a_segment()
    {
        using var sender = Flight();
        sender.After(100);
        sender.Ack(1700);
        Assert.Equal(1700u, sender.Una);
        sender.Ack(10999);
        Assert.Equal(1u, sender.Recovery.Sent.Outstanding);
    }

    /// <summary>RFC 8985 6.2: three reported, no reordering ever seen: lost at once.</summary>
    [Fact]
    public void Three_segments_reported_make_the_first_lost()
    {
        using var sender = Flight();
        sender.After(100);
        sender.Ack(1000, (2000, 3000));
        Assert.Equal(RecoveryState.Disorder, sender.Recovery.State);
        sender.Ack(1000, (2000, 4000));
        Assert.Equal("", sender.Resend());
        var outcome = sender.Ack(1000, (2000, 5000));
        Assert.True(outcome.Has(AckFindings.RecoveryBegan));
        Assert.True(outcome.Has(AckFindings.Reduced));
        Assert.Equal(1000u, outcome.LostBytes);
        Assert.Equal("1000-2000", sender.Resend());
        Assert.Equal(RecoveryState.Recovery, sender.Recovery.State);
        // CUBIC: 0.7 of ten.
        Assert.Equal(7000u, sender.Recovery.Ssthresh);
        sender.After(100);
        sender.Ack(11000);
        Assert.Equal(RecoveryState.Open, sender.Recovery.State);
        Assert.InRange(sender.Recovery.Cwnd, 7000u, 7600u);
    }

    /// <summary>RFC 8985 6.2 step 5.</summary>
    [Fact]
    public void One_segment_reported_makes_the_first_lost_after_a_reordering_window()
    {
        using var sender = Flight();
        sender.After(100);
        sender.Ack(1000, (2000, 3000));
        Assert.Equal(RecoveryTimer.Reorder, sender.Recovery.Timer(out var at));
        // A quarter of the least round trip after the time it should have taken.
        Assert.InRange((at - sender.Now) / Sender.Ms, 24, 25);
        Assert.Equal(RecoveryTimer.Reorder, sender.Fire());
        Assert.Equal(RecoveryState.Recovery, sender.Recovery.State);
        Assert.Equal("1000-2000", sender.Resend());
    }

    [Fact]
    public void A_segment_that_comes_within_the_window_was_only_reordered()
    {
        using var sender = Flight();
        sender.After(100);
        sender.Ack(1000, (2000, 3000));
        sender.After(10);
        var outcome = sender.Ack(3000);
        Assert.True(outcome.Has(AckFindings.Reordered));
        Assert.Equal(RecoveryState.Open, sender.Recovery.State);
        Assert.Equal(1u, sender.Recovery.Rack.ReorderSeen);
        // From now on three reported segments prove nothing; time does.
        sender.Ack(3000, (4000, 8000));
        Assert.Equal("", sender.Resend());
        Assert.Equal(RecoveryTimer.Reorder, sender.Recovery.Timer(out _));
    }

    [Fact]
    public void A_hole_of_many_segments_is_sent_again_as_the_window_allows()
    {
        using var sender = Flight(segments: 40, window: 40);
        sender.After(100);
        sender.Ack(1000, (21000, 41000));
        Assert.Equal(20_000u, sender.Recovery.Sent.Lost);
        Assert.Equal(0u, sender.Recovery.InFlight);
        var first = sender.Resend(max: 64_000);
        // Twenty arrived, so up to twenty may leave, less what goes beyond ssthresh.
        Assert.Equal("1000-21000", first);
        Assert.Equal(20_000u, sender.Recovery.InFlight);
        sender.After(100);
        sender.Ack(41000);
        Assert.Equal(28_000u, sender.Recovery.Ssthresh);
        Assert.InRange(sender.Recovery.Cwnd, 28_000u, 28_500u);
    }

    [Fact]
    public void A_part_of_a_super_frame_is_sent_again_and_the_rest_is_not()
    {
        using var sender = Flight(segments: 1);
        sender.Recovery.Congestion.Cwnd = 100 * Sender.Mss;
        sender.Send(64_000, asOne: true);
        sender.After(100);
        sender.Ack(2000, (3000, 10000), (12000, 66000));
        Assert.Equal("2000-3000 10000-12000", sender.Resend(64_000));
        sender.After(100);
        sender.Ack(10000, (12000, 66000));
        sender.Ack(66000);
        Assert.Equal(0, sender.InUse);
    }

    /// <summary>RFC 8985's gain over duplicate counting.</summary>
    [Fact]
    public void A_retransmission_that_is_lost_is_found_by_what_was_sent_after_it()
    {
        using var sender = Flight();
        sender.After(100);
        sender.Ack(1000, (2000, 6000));
        Assert.Equal("1000-2000", sender.Resend());
        var newly = sender.SendAllowed(2000);
        Assert.True(newly > 0);
        sender.After(100);
        var outcome = sender.Ack(1000, (2000, 11000 + newly));
        Assert.True(outcome.Has(AckFindings.RetransmissionLost));
        Assert.Equal("1000-2000", sender.Resend());
    }

    [Fact]
    public void A_timeout_sends_the_first_segment_and_collapses_the_window()
    {
        using var sender = Flight();
        Assert.Equal(RecoveryTimer.LossProbe, sender.Fire());
        sender.HasNew = false;
        sender.Resend();
        Assert.Equal(RecoveryTimer.Retransmit, sender.Fire());
        Assert.Equal(RecoveryState.Loss, sender.Recovery.State);
        Assert.Equal(1u, sender.CwndSegments);
        Assert.Equal("1000-2000", sender.Resend());
        // RFC 6298 5.5.
        Assert.Equal(2 * sender.Recovery.Rtt.BaseRto, sender.Recovery.Rtt.Rto);
        Assert.Equal(RecoveryTimer.Retransmit, sender.Recovery.Timer(out var at));
        Assert.InRange(at - sender.Now, sender.Recovery.Rtt.Rto - 10, sender.Recovery.Rtt.Rto);
        // RFC 5681 3.1: the second timeout of the same segment leaves ssthresh alone.
        var ssthresh = sender.Recovery.Ssthresh;
        sender.Fire();
        Assert.Equal("1000-2000", sender.Resend());
        Assert.Equal(ssthresh, sender.Recovery.Ssthresh);
        // All was lost: slow start.
        sender.After(100);
        sender.Ack(2000);
        Assert.Equal("2000-3000 3000-4000", sender.Resend());
        sender.After(100);
        sender.Ack(4000);
        Assert.Equal("4000-5000 5000-6000 6000-7000 7000-8000", sender.Resend());
        sender.After(100);
        sender.Ack(11000);
        Assert.Equal(RecoveryState.Open, sender.Recovery.State);
    }

    /// <summary>RFC 8985 6.3: what was sent within the last round trip can still be on its way.</summary>
    [Fact]
    public void A_timeout_spares_what_was_sent_just_now()
    {
        using var sender = Flight();
        sender.Recovery.ProbeNs = 0;
        Assert.Equal(RecoveryTimer.Retransmit, sender.Recovery.Timer(out var at));
        sender.Now = at - 10 * Sender.Ms;
        sender.Recovery.Congestion.Cwnd = 20 * Sender.Mss;
        sender.Send(3000);
        sender.Recovery.ProbeNs = 0;
        Assert.Equal(RecoveryTimer.Retransmit, sender.Fire());
        Assert.Equal(10_000u, sender.Recovery.Sent.Lost);
        Assert.Equal(3000u, sender.Recovery.InFlight);
    }

    /// <summary>RFC 8985 6.2 step 4: sixteen recoveries without a DSACK.</summary>
    [Fact]
    public void A_widened_reordering_window_shrinks_after_a_while()
    {
        var rack = new Rack();
        rack.Start();
        rack.AdaptWindow(dsack: true, delivered: 1000, priorDelivered: 900);
        Assert.Equal(2, rack.WindowSteps);
        // Not twice in a round trip.
        rack.AdaptWindow(dsack: true, delivered: 1100, priorDelivered: 950);
        Assert.Equal(2, rack.WindowSteps);
        rack.AdaptWindow(dsack: true, delivered: 2100, priorDelivered: 1050);
        Assert.Equal(3, rack.WindowSteps);
        for (var recovery = 0; recovery < 16; recovery++)
        {
            rack.AdaptWindow(dsack: false, delivered: 9000, priorDelivered: 8000);
            Assert.Equal(3, rack.WindowSteps);
            rack.OnRecoveryEnds(undone: false);
        }
        rack.AdaptWindow(dsack: false, delivered: 9000, priorDelivered: 8000);
        Assert.Equal(1, rack.WindowSteps);
    }

    /// <summary>RFC 6298 5.3, RFC 6675 5: the timer is about the first segment.</summary>
    [Fact]
    public void Sending_the_first_segment_again_restarts_the_timer()
    {
        using var sender = Flight();
        sender.After(100);
        sender.Ack(1000, (2000, 6000));
        sender.After(50);
        Assert.Equal("1000-2000", sender.Resend());
        Assert.InRange(sender.Now - sender.Recovery.TimerNs, 0, 10);
    }

    /// <summary>RFC 2018 8.</summary>
    [Fact]
    public void A_peer_that_drops_what_it_had_reported_gets_it_again_after_a_timeout()
    {
        using var sender = Flight();
        sender.After(100);
        sender.Ack(1000, (2000, 11000));
        Assert.Equal("1000-2000", sender.Resend());
        sender.After(100);
        var outcome = sender.Ack(2000);
        Assert.True(outcome.Has(AckFindings.Reneged));
        Assert.Equal("", sender.Resend());
        Assert.Equal(RecoveryTimer.Retransmit, sender.Recovery.Timer(out var at));
        Assert.InRange((at - sender.Now) / Sender.Ms, 1, 20);
        sender.Fire();
        Assert.Equal(0u, sender.Recovery.Sent.Sacked);
        for (var round = 0; round < 8 && sender.Una < 11000; round++)
        {
            var runs = sender.Resend();
            Assert.NotEqual("", runs);
            sender.After(100);
            sender.Ack(uint.Parse(runs.Split('-')[^1]));
        }
        Assert.Equal(11000u, sender.Una);
    }

    [Theory]
    [InlineData(12000, 13000)]
    [InlineData(5000, 5000)]
    [InlineData(6000, 5000)]
    [InlineData(1000, 3000)]
    [InlineData(10000, 11001)]
    public void A_SACK_block_that_cannot_be_is_ignored(uint left, uint right)
    {
        using var sender = Flight();
        sender.After(100);
        var outcome = sender.Ack(1000, (left, right));
        Assert.True(outcome.Has(AckFindings.BadSack));
        Assert.Equal(0u, sender.Recovery.Sent.Sacked);
    }

    [Fact]
    public void Old_SACK_blocks_on_a_late_ACK_do_no_harm()
    {
        using var sender = Flight();
        sender.After(100);
        sender.Ack(6000);
        var outcome = sender.Ack(6000, (2000, 4000), (8000, 9000));
        Assert.Equal(1000u, outcome.SackedBytes);
        Assert.Equal(1000u, sender.Recovery.Sent.Sacked);
    }

    /// <summary>RFC 2883 4: below the ACK that brings it, not below what is acknowledged by now.</summary>
    [Fact]
    public void SACK_blocks_of_a_late_ACK_are_no_duplicates()
    {
        using var sender = Flight();
        sender.After(100);
        sender.Ack(1000, (2000, 6000));
        Assert.Equal("1000-2000", sender.Resend());
        sender.After(100);
        sender.Ack(6000);
        var outcome = sender.Ack(1000, (2000, 4000));
        Assert.Equal(0u, outcome.DsackBytes);
        Assert.False(outcome.Has(AckFindings.Undone | AckFindings.Duplicate));
        Assert.Equal(7000u, sender.Recovery.Ssthresh);
    }

    /// <summary>A window of less than a segment: nobody would say anything any more.</summary>
    [Fact]
    public void Something_leaves_when_nothing_is_in_flight()
    {
        using var sender = Flight();
        for (var link = sender.Recovery.Sent.Head; link != 0; link = sender.Pool[link].Next)
            sender.Recovery.Sent.MarkLost(sender.Pool, link);
        Assert.Equal(0u, sender.Recovery.InFlight);
        sender.Recovery.Congestion.Cwnd = 10;
        Assert.Equal("1000-2000", sender.Resend());
    }

    /// <summary>RFC 3168 6.1.2.</summary>
    [Fact]
    public void An_echo_of_congestion_reduces_the_window_once_in_a_round_trip()
    {
        using var sender = Flight();
        sender.After(100);
        Assert.True(sender.AckEcho(2000).Has(AckFindings.Reduced));
        Assert.Equal(RecoveryState.Reduced, sender.Recovery.State);
        Assert.Equal(7000u, sender.Recovery.Ssthresh);
        for (uint ack = 3000; ack <= 11000; ack += 1000)
        {
            Assert.False(sender.AckEcho(ack).Has(AckFindings.Reduced));
            sender.SendAllowed();
        }
        sender.After(100);
        sender.Ack(12000);
        Assert.Equal(RecoveryState.Open, sender.Recovery.State);
        // It grows again from there.
        Assert.InRange(sender.Recovery.Cwnd, 7000u, 7600u);
    }

    [Fact]
    public void Smaller_segments_send_all_again_and_keep_ssthresh()
    {
        using var sender = Flight();
        sender.Recovery.OnSmallerSegments(sender.Pool, 500, sender.Now);
        sender.Check();
        Assert.Equal(10_000u, sender.Recovery.Sent.Lost);
        Assert.True(sender.Recovery.NextRetransmission(sender.Pool, 500, 500, out var seq, out var length));
        Assert.Equal((1000, 500u), (seq - sender.Iss, length));
        Assert.Equal(CongestionControl.Infinite, sender.Recovery.Ssthresh);
        sender.Resend(max: 500);
        Assert.Equal(0u, sender.Recovery.Sent.LostUnsent);
        sender.After(100);
        sender.Ack(11000);
        Assert.Equal(RecoveryState.Open, sender.Recovery.State);
    }

    [Fact]
    public void Retransmissions_go_on_though_no_record_is_left_to_split_with()
    {
        using var sender = new Sender(records: 2);
        sender.Send(1000);
        sender.After(100);
        sender.Ack(1000);
        sender.Send(1000);
        sender.Send(20_000, asOne: true);
        var steps = 0;
        for (uint una = 1000; una < 22_000; steps++)
        {
            Assert.InRange(steps, 0, 60);
            sender.Fire();
            var runs = sender.Resend();
            if (runs == "")
                sender.SendAllowed(0);
            sender.After(100);
            una = Math.Max(una, runs == "" ? una : uint.Parse(runs.Split(' ')[^1].Split('-')[1]));
            sender.Ack(una);
        }
    }

    [Fact]
    public void A_FIN_is_a_byte_of_its_own()
    {
        using var sender = Flight(segments: 2);
        sender.HasNew = false;
        Assert.True(sender.Recovery.OnSent(sender.Pool, sender.Recovery.Sent.Nxt, 1, Sender.Mss, sender.Now));
        sender.Fire();
        Assert.Equal("3000-3001", sender.Resend());
        sender.After(100);
        sender.Ack(3001);
        Assert.Equal(0, sender.InUse);
    }

    [Fact]
    public void Nothing_in_flight_and_no_timer_can_be_asked_anything()
    {
        using var sender = new Sender();
        sender.Recovery.OnTimeout(sender.Pool, Sender.Mss, sender.Now);
        sender.Recovery.OnProbeTimer(sender.Pool, true, Sender.Mss, sender.Now);
        sender.Recovery.OnReorderTimer(sender.Pool, Sender.Mss, sender.Now);
        sender.Recovery.OnSmallerSegments(sender.Pool, 100, sender.Now);
        sender.Ack(0, (1, 2), (3, 4));
        sender.Ack(0);
        Assert.False(sender.Recovery.NextRetransmission(sender.Pool, 1000, 1000, out _, out _));
        sender.Check();
        Assert.Equal(10_000u, sender.SendAllowed());
    }
}
