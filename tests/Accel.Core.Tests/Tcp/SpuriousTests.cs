using Accel.Core.Tcp;

namespace Accel.Core.Tests.Tcp;

/// <summary>Retransmissions that were not needed, and what shows it; tail loss probes; peers without SACK.</summary>
public class SpuriousTests
{
    static Sender Flight(uint segments = 10, bool sack = true)
    {
        var sender = new Sender(sack: sack);
        sender.Send(1000);
        sender.After(100);
        sender.Ack(1000);
        sender.Send(segments * Sender.Mss);
        return sender;
    }

    /// <summary>RFC 2883, 3708: both copies have arrived.</summary>
    [Fact]
    public void A_duplicate_reported_takes_the_reduction_back()
    {
        using var sender = Flight();
        sender.After(100);
        sender.Ack(1000, (2000, 6000));
        Assert.Equal("1000-2000", sender.Resend());
        Assert.Equal(7000u, sender.Recovery.Ssthresh);
        // The first comes late, and then again.
        sender.Ack(6000);
        Assert.Equal(RecoveryState.Recovery, sender.Recovery.State);
        sender.After(100);
        var outcome = sender.Ack(6000, (1000, 2000));
        Assert.True(outcome.Has(AckFindings.Undone));
        Assert.Equal(1000u, outcome.DsackBytes);
        Assert.Equal(CongestionControl.Infinite, sender.Recovery.Ssthresh);
        Assert.True(sender.Recovery.Cwnd >= 10_000);
        // RFC 8985 6.2 step 4: it waits longer the next time.
        Assert.True(sender.Recovery.Rack.ReorderSeen > 0);
    }

    /// <summary>
    /// A hole of 1000 bytes at the head of what is in flight: it is sent again, and all is acknowledged.
    /// </summary>
    static void Reduce(Sender sender, uint from, uint to)
    {
        sender.After(100);
        sender.Ack(from, (from + 1000, from + 5000));
        Assert.Equal($"{from}-{from + 1000}", sender.Resend());
        sender.After(10);
        sender.Ack(to);
        sender.After(10);
        sender.Send(5000);
    }

    /// <summary>RFC 3708, where segments are later than a round trip: three of them, then their DSACKs.</summary>
    [Theory]
    [InlineData(true, 10_000u, CongestionControl.Infinite)]
    [InlineData(false, 7_000u, 7_000u)]
    public void Duplicates_take_back_each_reduction_by_itself(bool all, uint window, uint threshold)
    {
        using var sender = Flight();
        Reduce(sender, 1000, 11_000);
        Reduce(sender, 11_000, 16_000);
        Reduce(sender, 16_000, 21_000);
        AssertAbout(3430, sender.Recovery.Ssthresh);
        Assert.Equal(2, sender.Recovery.Past.Count);
        sender.After(30);
        Assert.True(sender.Ack(21_000, (1000, 2000)).Has(AckFindings.Undone));
        AssertAbout(4900, sender.Recovery.Ssthresh);
        Assert.Equal(all, sender.Ack(21_000, all ? (11_000u, 12_000u) : (1000u, 2000u)).Has(AckFindings.Undone));
        Assert.True(sender.Ack(21_000, (16_000, 17_000)).Has(AckFindings.Undone));
        AssertAbout(window, sender.Recovery.Cwnd);
        AssertAbout(threshold, sender.Recovery.Ssthresh);
    }

    /// <summary>The window has grown a little between two reductions.</summary>
    static void AssertAbout(uint expected, uint actual) => Assert.InRange(actual, expected, expected + expected / 8);

    /// <summary>What was sent again and is not acknowledged when the next begins is reported to that one.</summary>
    [Fact]
    public void A_reduction_is_taken_back_though_something_of_it_is_still_on_its_way()
    {
        using var sender = Flight();
        sender.After(100);
        sender.Ack(1000, (2000, 6000));
        Assert.Equal("1000-2000", sender.Resend());
        sender.Send(10_000);
        sender.After(50);
        sender.Ack(1000, (2000, 11_000), (12_000, 16_000));
        Assert.Equal("1000-2000 11000-12000", sender.Resend());
        sender.Ack(11_000, (12_000, 16_000));
        sender.Ack(11_000, (12_000, 16_000), (17_000, 21_000));
        Assert.Equal("16000-17000", sender.Resend());
        Assert.Equal(1, sender.Recovery.Past.Count);
        Assert.False(sender.Ack(11_000, (1000, 2000)).Has(AckFindings.Undone));
        Assert.True(sender.Ack(11_000, (1000, 2000)).Has(AckFindings.Undone));
    }

    [Fact]
    public void A_timeout_is_no_place_to_go_back_from()
    {
        using var sender = Flight();
        Reduce(sender, 1000, 11_000);
        Reduce(sender, 11_000, 16_000);
        Assert.Equal(1, sender.Recovery.Past.Count);
        sender.Recovery.OnTimeout(sender.Pool, Sender.Mss, sender.Now);
        Assert.Equal(0, sender.Recovery.Past.Count);
    }

    [Fact]
    public void Only_the_last_reductions_are_known()
    {
        PastReductions past = default;
        for (uint i = 0; i <= PastReductions.Most; i++)
            past.Add(new() { From = new(1000 * i), To = new(1000 * i + 1000), Resent = 200, Cwnd = 10, Reduced = 7 });
        Assert.False(past.TryTakeBack(new(0), 200, out _));
        Assert.False(past.TryTakeBack(new(1000), 100, out _));
        Assert.True(past.TryTakeBack(new(1900), 100, out var first));
        Assert.Equal(1000u, first.From.Value);
        Assert.False(past.TryTakeBack(new(1900), 100, out _));
        Assert.True(past.TryTakeBack(new(2000), 400, out var second));
        Assert.Equal((14u, 10u), (second.Cwnd, second.Reduced));
    }

    [Fact]
    public void A_duplicate_that_was_never_sent_twice_says_nothing()
    {
        using var sender = Flight();
        sender.After(100);
        sender.Ack(1000, (2000, 6000));
        Assert.Equal("1000-2000", sender.Resend());
        sender.After(100);
        sender.Ack(11000, (2000, 10000));
        Assert.Equal(7000u, sender.Recovery.Ssthresh);
    }

    /// <summary>RFC 3522.</summary>
    [Fact]
    public void An_echo_of_before_the_retransmission_takes_the_reduction_back()
    {
        using var sender = Flight();
        var sentMs = sender.Now / Sender.Ms;
        sender.After(100);
        sender.EchoMs = sentMs;
        sender.Ack(1000, (2000, 6000));
        Assert.Equal("1000-2000", sender.Resend());
        sender.After(10);
        var outcome = sender.Ack(11000);
        Assert.True(outcome.Has(AckFindings.Undone));
        Assert.Equal(RecoveryState.Open, sender.Recovery.State);
        Assert.Equal(CongestionControl.Infinite, sender.Recovery.Ssthresh);
        Assert.True(sender.Recovery.Cwnd >= 10_000);
    }

    [Fact]
    public void An_echo_of_the_retransmission_takes_nothing_back()
    {
        using var sender = Flight();
        var sentMs = sender.Now / Sender.Ms;
        sender.After(100);
        sender.EchoMs = sentMs;
        sender.Ack(1000, (2000, 6000));
        Assert.Equal("1000-2000", sender.Resend());
        sender.EchoMs = sender.Now / Sender.Ms;
        sender.After(100);
        sender.Ack(11000);
        Assert.Equal(7000u, sender.Recovery.Ssthresh);
        Assert.InRange(sender.Recovery.Cwnd, 7000u, 7600u);
    }

    /// <summary>RFC 5682 3.1 with SACK: the path only stood still.</summary>
    [Fact]
    public void Frto_takes_a_timeout_back_when_the_originals_arrive()
    {
        using var sender = Flight();
        TimeOut(sender);
        Assert.Equal("1000-2000", sender.Resend());
        // The ACK of the original: advances, says nothing yet. New data leaves instead of retransmissions.
        sender.After(10);
        sender.Ack(2000);
        Assert.Equal("", sender.Resend());
        Assert.Equal(2000u, sender.SendAllowed());
        // The next one is of a segment that was never sent again.
        sender.After(1);
        var outcome = sender.Ack(3000);
        Assert.True(outcome.Has(AckFindings.Undone));
        Assert.Equal(RecoveryState.Open, sender.Recovery.State);
        Assert.True(sender.Recovery.Cwnd >= 10_000);
        Assert.Equal("", sender.Resend());
        Assert.Equal(0u, sender.Recovery.Sent.Lost);
    }

    [Fact]
    public void Frto_goes_on_with_retransmissions_when_the_loss_was_real()
    {
        using var sender = Flight();
        TimeOut(sender);
        Assert.Equal("1000-2000", sender.Resend());
        sender.After(100);
        sender.Ack(2000);
        Assert.Equal(2000u, sender.SendAllowed());
        // The new data arrives behind a hole.
        sender.After(100);
        sender.Ack(2000, (11000, 12000));
        Assert.NotEqual("", sender.Resend());
        Assert.Equal(RecoveryState.Loss, sender.Recovery.State);
        Assert.True(sender.Recovery.Cwnd < 5000);
    }

    [Fact]
    public void Frto_without_new_data_goes_on_with_retransmissions()
    {
        using var sender = Flight();
        TimeOut(sender);
        sender.Resend();
        sender.HasNew = false;
        sender.After(100);
        sender.Ack(2000);
        Assert.Equal("2000-3000 3000-4000", sender.Resend());
    }

    [Fact]
    public void After_an_undo_what_is_really_lost_is_found_at_once()
    {
        using var sender = Flight();
        sender.EchoMs = sender.Now / Sender.Ms;
        sender.After(100);
        sender.Ack(1000, (10000, 11000));
        Assert.Equal(RecoveryTimer.Reorder, sender.Fire());
        Assert.Equal("1000-2000", sender.Resend());
        Assert.Equal(RecoveryTimer.Retransmit, sender.Fire());
        Assert.Equal("1000-2000", sender.Resend());
        // The first comes at last; all others that went before what has arrived are missing as before.
        var outcome = sender.Ack(2000);
        Assert.True(outcome.Has(AckFindings.Undone));
        Assert.Equal(8000u, sender.Recovery.Sent.Lost);
        Assert.Equal(RecoveryState.Recovery, sender.Recovery.State);
    }

    /// <summary>RFC 5682 2.1 step 2a: without SACK nothing says whether the first was lost.</summary>
    [Fact]
    public void Frto_without_SACK_learns_nothing_from_an_ACK_of_everything()
    {
        using var sender = Flight(sack: false);
        TimeOut(sender);
        Assert.Equal("1000-2000", sender.Resend());
        sender.After(100);
        Assert.False(sender.Ack(11000).Has(AckFindings.Undone));
        Assert.Equal(7000u, sender.Recovery.Ssthresh);
    }

    /// <summary>RFC 5682 2.1 step 3b.</summary>
    [Fact]
    public void Frto_without_SACK_takes_a_timeout_back_at_the_second_ACK()
    {
        using var sender = Flight(sack: false);
        TimeOut(sender);
        sender.Resend();
        sender.After(10);
        Assert.False(sender.Ack(3000).Has(AckFindings.Undone));
        Assert.Equal("", sender.Resend());
        Assert.NotEqual(0u, sender.SendAllowed());
        sender.After(1);
        Assert.True(sender.Ack(4000).Has(AckFindings.Undone));
        Assert.Equal("", sender.Resend());
        Assert.True(sender.Recovery.Cwnd >= 10_000);
    }

    /// <summary>All timers up to a timeout, the probe lost.</summary>
    static void TimeOut(Sender sender)
    {
        sender.HasNew = false;
        for (var i = 0; i < 3 && sender.Recovery.State != RecoveryState.Loss; i++)
        {
            sender.Recovery.ProbeNs = 0;
            sender.Fire();
        }
        Assert.Equal(RecoveryState.Loss, sender.Recovery.State);
        sender.HasNew = true;
    }

    /// <summary>RFC 8985 7.3.</summary>
    [Fact]
    public void A_probe_is_new_data_if_there_is_any()
    {
        using var sender = Flight();
        Assert.Equal(RecoveryTimer.LossProbe, sender.Recovery.Timer(out var at));
        Assert.InRange((at - sender.Now) / Sender.Ms, 195, 205);
        sender.Recovery.Congestion.Cwnd = 5000;
        sender.Fire();
        Assert.Equal("", sender.Resend());
        Assert.Equal(1000u, sender.SendAllowed(64_000));
        Assert.Equal(12_000u, sender.Nxt);
        // Only one.
        Assert.Equal(RecoveryTimer.Retransmit, sender.Recovery.Timer(out _));
        sender.After(100);
        sender.Ack(1000, (11000, 12000));
        // Its report shows what is missing: half of it may leave, by and by.
        Assert.Equal(RecoveryState.Recovery, sender.Recovery.State);
        Assert.Equal("1000-2000", sender.Resend());
    }

    [Fact]
    public void A_probe_is_the_last_segment_if_there_is_no_new_data()
    {
        using var sender = Flight();
        sender.HasNew = false;
        Assert.Equal(RecoveryTimer.LossProbe, sender.Fire());
        Assert.Equal("10000-11000", sender.Resend());
        Assert.Equal(RecoveryTimer.Retransmit, sender.Recovery.Timer(out _));
        // The two last had been lost: the report of the probe starts a recovery.
        sender.After(100);
        sender.Ack(9000, (10000, 11000));
        Assert.Equal("9000-10000", sender.Resend());
        Assert.Equal(RecoveryState.Recovery, sender.Recovery.State);
    }

    /// <summary>RFC 8985 7.4.2: a repaired loss counts as a loss.</summary>
    [Fact]
    public void A_probe_that_repairs_a_loss_reduces_the_window()
    {
        using var sender = Flight();
        sender.HasNew = false;
        sender.Fire();
        Assert.Equal("10000-11000", sender.Resend());
        sender.After(100);
        sender.Ack(11000);
        Assert.True(sender.Recovery.Rack.ProbeOut);
        sender.Send(1000);
        sender.After(100);
        var cwnd = sender.Recovery.Cwnd;
        var outcome = sender.Ack(12000);
        Assert.True(outcome.Has(AckFindings.Reduced));
        Assert.True(sender.Recovery.Cwnd < cwnd);
        Assert.Equal(RecoveryState.Open, sender.Recovery.State);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_probe_that_was_not_needed_changes_nothing(bool dsack)
    {
        using var sender = Flight();
        sender.HasNew = false;
        sender.Fire();
        sender.Resend();
        sender.Ack(11000);
        var cwnd = sender.Recovery.Cwnd;
        sender.Send(1000);
        sender.After(50);
        if (dsack)
            sender.Ack(11000, (10000, 11000));
        else
            sender.Ack(11000);
        Assert.False(sender.Recovery.Rack.ProbeOut);
        sender.After(50);
        Assert.False(sender.Ack(12000).Has(AckFindings.Reduced));
        Assert.True(sender.Recovery.Cwnd >= cwnd);
    }

    [Fact]
    public void A_lone_segment_is_given_time_for_a_delayed_ACK()
    {
        using var sender = Flight(segments: 1);
        Assert.Equal(RecoveryTimer.LossProbe, sender.Recovery.Timer(out var at));
        Assert.InRange((at - sender.Now) / Sender.Ms, 299, 400);
    }

    /// <summary>RFC 6582.</summary>
    [Fact]
    public void Without_SACK_the_third_duplicate_starts_recovery_and_partial_ACKs_go_on()
    {
        using var sender = Flight(sack: false);
        sender.After(100);
        sender.Ack(1000);
        sender.Ack(1000);
        Assert.Equal("", sender.Resend());
        Assert.True(sender.Ack(1000).Has(AckFindings.RecoveryBegan));
        Assert.Equal("1000-2000", sender.Resend());
        sender.Ack(1000);
        Assert.Equal("", sender.Resend());
        sender.After(100);
        sender.Ack(5000);
        Assert.Equal("5000-6000", sender.Resend());
        Assert.Equal(RecoveryState.Recovery, sender.Recovery.State);
        sender.After(100);
        sender.Ack(11000);
        // Duplicates of what was sent without need would look like a loss.
        Assert.Equal(RecoveryState.Recovery, sender.Recovery.State);
        sender.Send(1000);
        sender.After(100);
        sender.Ack(12000);
        Assert.Equal(RecoveryState.Open, sender.Recovery.State);
        Assert.InRange(sender.Recovery.Cwnd, 7000u, 8000u);
    }

    [Fact]
    public void Without_SACK_duplicates_let_new_segments_out()
    {
        using var sender = Flight(sack: false);
        sender.Recovery.Congestion.Cwnd = 10_000;
        Assert.Equal(0u, sender.SendAllowed());
        sender.After(100);
        // RFC 3042: one each for the first two.
        sender.Ack(1000);
        Assert.Equal(1000u, sender.SendAllowed());
        sender.Ack(1000);
        Assert.Equal(1000u, sender.SendAllowed());
    }

    [Fact]
    public void Without_SACK_a_timeout_sends_everything_again()
    {
        using var sender = Flight(sack: false);
        Assert.Equal(RecoveryTimer.Retransmit, sender.Fire());
        Assert.Equal("1000-2000", sender.Resend());
        sender.HasNew = false;
        sender.After(100);
        sender.Ack(2000);
        Assert.Equal("2000-3000 3000-4000", sender.Resend());
        sender.After(100);
        // The peer had some of them: duplicates, which are no new loss.
        sender.Ack(4000);
        sender.Ack(4000);
        sender.Ack(4000);
        sender.Ack(4000);
        Assert.Equal(RecoveryState.Loss, sender.Recovery.State);
        sender.Resend();
        sender.After(100);
        sender.Ack(11000);
        Assert.Equal(0, sender.InUse);
        sender.Send(1000);
        sender.After(100);
        sender.Ack(12000);
        Assert.Equal(RecoveryState.Open, sender.Recovery.State);
    }

    [Fact]
    public void Without_SACK_an_old_peer_is_undone_by_its_echo()
    {
        using var sender = Flight(sack: false);
        var sentMs = sender.Now / Sender.Ms;
        sender.After(100);
        sender.EchoMs = sentMs;
        for (var i = 0; i < 3; i++)
            sender.Ack(1000);
        Assert.Equal("1000-2000", sender.Resend());
        sender.Ack(11000);
        Assert.Equal(CongestionControl.Infinite, sender.Recovery.Ssthresh);
    }
}
