using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Tests.Tcp;

/// <summary>The congestion window without a path: CUBIC, Reno, PRR, HyStart++, validation.</summary>
public class CongestionTests
{
    const uint Mss = 1000;
    const long Ms = 1_000_000, Second = 1000 * Ms;

    /// <summary>A window that is always full.</summary>
    static CongestionControl Full(CongestionAlgorithm algorithm, uint segments, uint ssthresh)
    {
        var congestion = new CongestionControl();
        congestion.Start(algorithm, 10, Mss, default, Second);
        congestion.Cwnd = segments * Mss;
        congestion.Ssthresh = ssthresh;
        congestion.Limited = true;
        congestion.UsageEnd = new SeqNum(0x7000_0000);
        return congestion;
    }

    /// <summary>
    /// A loss at so many segments, then round trips with an ACK for every two segments: the window follows figure 1 of
    /// RFC 9438, or where Reno would be if that is more.
    /// </summary>
    [Theory]
    [InlineData(1000, 100)]
    [InlineData(300, 50)]
    [InlineData(5000, 20)]
    [InlineData(100, 200)]
    public void Cubic_follows_its_curve_after_a_loss(uint segments, long rttMs)
    {
        var congestion = Full(CongestionAlgorithm.Cubic, segments, 1);
        congestion.BeginReduction(Mss, mayUndo: true);
        congestion.EndReduction(atSsthresh: true, Second);
        // RFC 9438 4.6: beta is 0.7.
        Assert.Equal(segments * Mss * 7 / 10, congestion.Cwnd, 1.0);

        double wMax = segments, epoch = congestion.Cwnd / (double)Mss, k = Math.Cbrt((wMax - epoch) / 0.4);
        double rtt = rttMs / 1e3, reno = epoch;
        var now = 2 * Second;
        var start = 0L;
        var behind = 0.0;
        while (now - start < (long)(2.5 * k * Second) || start == 0)
        {
            var acks = Math.Max(1, congestion.Cwnd / Mss / 2);
            for (var i = 0; i < acks; i++)
            {
                now += rttMs * Ms / acks;
                if (start == 0)
                    start = now;
                reno += (reno >= wMax ? 1 : 3 * 0.3 / 1.7) * 2 * Mss / congestion.Cwnd;
                Grow(ref congestion, 2 * Mss, rttMs, now);
                // 4.2: the window gets to W_cubic(t + RTT) in a round trip, so it lies between that and W_cubic(t).
                double t = (now - start) / 1e9, cwnd = congestion.Cwnd / (double)Mss;
                double low = Math.Max(0.4 * Math.Pow(t - k, 3) + wMax, 0);
                double high = Math.Max(0.4 * Math.Pow(t + rtt - k, 3) + wMax, reno);
                behind = Math.Max(behind, (Math.Max(low, 0) - cwnd) / wMax);
                Assert.True(cwnd <= high * 1.02 + 1, $"{cwnd} at {t} s, at most {high}");
            }
        }
        Assert.True(behind < 0.03, $"{behind:P1} of W_max below the curve");
        Assert.True(congestion.Cwnd > wMax * Mss, "beyond the plateau");
    }

    [Fact]
    public void Cubic_is_no_slower_than_Reno_on_a_short_path()
    {
        // 10 ms and 40 segments: 4.3 decides.
        var congestion = Full(CongestionAlgorithm.Cubic, 40, 1);
        congestion.BeginReduction(Mss, mayUndo: true);
        congestion.EndReduction(atSsthresh: true, Second);
        double reno = congestion.Cwnd;
        var now = 2 * Second;
        for (var round = 0; round < 100; round++)
            for (uint i = 0, acks = congestion.Cwnd / Mss; i < acks; i++)
            {
                now += 10 * Ms / acks;
                reno += (reno >= 40_000 ? 1 : 3 * 0.3 / 1.7) * Mss * Mss / congestion.Cwnd;
                Grow(ref congestion, Mss, 10, now);
            }
        Assert.Equal(reno, congestion.Cwnd, reno / 50);
        Assert.True(congestion.Cwnd > 90_000);
    }

    [Fact]
    public void Fast_convergence_gives_room_to_others()
    {
        var congestion = Full(CongestionAlgorithm.Cubic, 100, 1);
        congestion.BeginReduction(Mss, true);
        congestion.EndReduction(true, Second);
        Assert.Equal(100, congestion.Cubic.WMax);
        // RFC 9438 4.7: lost again before W_max was reached.
        congestion.Cwnd = 90 * Mss;
        congestion.BeginReduction(Mss, true);
        congestion.EndReduction(true, Second);
        Assert.Equal(90 * 1.7 / 2, congestion.Cubic.WMax, 1e-6);
        Assert.Equal(63 * Mss, congestion.Cwnd);
    }

    [Fact]
    public void Cubic_stands_still_while_the_window_is_not_used()
    {
        var congestion = Full(CongestionAlgorithm.Cubic, 100, 1);
        congestion.BeginReduction(Mss, true);
        congestion.EndReduction(true, Second);
        var used = congestion;
        var now = 2 * Second;
        for (var i = 0; i < 500; i++)
        {
            now += 10 * Ms;
            Grow(ref congestion, Mss, 100, now);
            Grow(ref used, Mss, 100, now);
        }
        // An hour of requests that do not fill it, and on.
        congestion.Limited = false;
        congestion.MaxOutstanding = 0;
        for (var i = 0; i < 3600; i++)
            Grow(ref congestion, Mss, 100, now + i * Second);
        Assert.Equal(used.Cwnd, congestion.Cwnd);
        congestion.Limited = true;
        for (var i = 1; i < 100; i++)
        {
            Grow(ref congestion, Mss, 100, now + 3599 * Second + i * 10 * Ms);
            Grow(ref used, Mss, 100, now + i * 10 * Ms);
        }
        Assert.Equal(used.Cwnd, congestion.Cwnd);
    }

    [Fact]
    public void An_undo_takes_the_window_back_and_the_curve_goes_on()
    {
        var congestion = Full(CongestionAlgorithm.Cubic, 100, 80 * Mss);
        congestion.Cubic.WMax = 120;
        congestion.BeginReduction(Mss, mayUndo: true);
        Assert.Equal(70 * Mss, congestion.Ssthresh);
        congestion.Undo(Second);
        Assert.Equal((100 * Mss, 80 * Mss), (congestion.Cwnd, congestion.Ssthresh));
        Assert.Equal(120, congestion.Cubic.WMax);
    }

    [Fact]
    public void Reno_grows_by_a_segment_in_a_round_trip()
    {
        var congestion = Full(CongestionAlgorithm.Reno, 20, 1);
        for (var round = 1; round <= 10; round++)
        {
            for (uint i = 0, acks = congestion.Cwnd / Mss; i < acks; i++)
                Grow(ref congestion, Mss, 100, Second);
            Assert.Equal((20 + (uint)round) * Mss, congestion.Cwnd);
        }
        congestion.BeginReduction(Mss, true);
        Assert.Equal(15 * Mss, congestion.Ssthresh);
    }

    [Fact]
    public void Slow_start_grows_by_what_is_delivered_and_ends_at_ssthresh()
    {
        var congestion = Full(CongestionAlgorithm.Reno, 10, 25 * Mss);
        Grow(ref congestion, 10 * Mss, 100, Second);
        Assert.Equal(20 * Mss, congestion.Cwnd);
        // Five to ssthresh; five of twenty-five are not yet a segment more.
        Grow(ref congestion, 10 * Mss, 100, Second);
        Assert.Equal(25 * Mss, congestion.Cwnd);
        Grow(ref congestion, 20 * Mss, 100, Second);
        Assert.Equal(26 * Mss, congestion.Cwnd);
    }

    [Fact]
    public void A_window_that_is_not_used_does_not_grow()
    {
        var congestion = Full(CongestionAlgorithm.Cubic, 20, 1);
        congestion.Limited = false;
        Grow(ref congestion, 100 * Mss, 100, Second);
        Assert.Equal(20 * Mss, congestion.Cwnd);
    }

    [Theory]
    [InlineData(CongestionAlgorithm.Cubic)]
    [InlineData(CongestionAlgorithm.Reno)]
    public void The_least_window_after_a_loss_is_two_segments(CongestionAlgorithm algorithm)
    {
        var congestion = Full(algorithm, 1, 1);
        for (var i = 0; i < 5; i++)
        {
            congestion.BeginReduction(Mss, true);
            congestion.EndReduction(true, Second);
            Assert.Equal(2 * Mss, congestion.Cwnd);
            congestion.ReduceForTimeout(Mss);
            Assert.Equal(2 * Mss, congestion.Ssthresh);
            congestion.Collapse(0, Mss, Second);
            Assert.Equal(Mss, congestion.Cwnd);
        }
    }

    /// <summary>RFC 6937 4: twenty segments in flight, the first lost, Reno's half.</summary>
    [Fact]
    public void Rate_reduction_sends_a_segment_for_every_two_that_arrive()
    {
        var congestion = Full(CongestionAlgorithm.Reno, 20, 1);
        congestion.BeginReduction(Mss, true);
        uint inFlight = 19 * Mss;
        var sent = new List<char>();
        for (var arrived = 0; arrived < 19; arrived++)
        {
            inFlight -= Mss;
            congestion.OnAckInReduction(Mss, lossFree: false, inFlight, Mss);
            var may = congestion.Cwnd >= inFlight + Mss;
            sent.Add(may ? 'S' : '-');
            if (!may)
                continue;
            inFlight += Mss;
            congestion.PrrOut += Mss;
        }
        // The first leaves at once, which the next pay for; at ssthresh each that arrives lets one out.
        Assert.Equal("S--S-S-S-S-S-S--SSS", string.Concat(sent));
        Assert.Equal(10 * Mss, inFlight);
    }

    [Fact]
    public void Rate_reduction_after_a_heavy_loss_slow_starts_to_ssthresh()
    {
        var congestion = Full(CongestionAlgorithm.Reno, 20, 1);
        congestion.BeginReduction(Mss, true);
        // All but four are lost.
        uint inFlight = 4 * Mss;
        for (var round = 0; round < 20; round++)
        {
            inFlight -= Mss;
            congestion.OnAckInReduction(Mss, lossFree: round > 0, inFlight, Mss);
            var quota = congestion.Cwnd - inFlight;
            Assert.InRange(quota, Mss, 2 * Mss);
            inFlight += quota;
            congestion.PrrOut += quota;
            Assert.True(inFlight <= congestion.Ssthresh);
        }
        Assert.Equal(congestion.Ssthresh, inFlight);
    }

    [Fact]
    public void Hystart_leaves_slow_start_when_round_trips_grow()
    {
        var (rounds, slow) = HyStartRounds(round => round < 6 ? 40 * Ms : 40 * Ms + (round - 5) * 6 * Ms);
        // RFC 9406: six rounds, one that shows it, then five of conservative slow start.
        Assert.InRange(slow, 5, 8);
        Assert.InRange(rounds, 11, 13);
    }

    [Fact]
    public void Hystart_goes_on_when_the_round_trip_was_long_by_chance()
    {
        var (rounds, slow) = HyStartRounds(round => round == 6 ? 60 * Ms : 40 * Ms);
        Assert.Equal(30, rounds);
        Assert.InRange(slow, 1, 2);
    }

    [Fact]
    public void Hystart_does_not_mind_a_path_of_microseconds()
    {
        var random = new Prng(5);
        var (rounds, slow) = HyStartRounds(_ => 20_000 + random.Below(300_000));
        Assert.Equal((30, 0), (rounds, slow));
    }

    /// <summary>
    /// ACKs that come for more than half of the round trip without a gap: half of the path is full, though the first
    /// segments of each burst still find the queue empty.
    /// </summary>
    [Fact]
    public void Hystart_takes_a_long_train_of_acks_for_a_sign()
    {
        var (rounds, slow) = HyStartRounds(_ => 40 * Ms, round => Math.Min(round, 20) * Ms / 10);
        // Nineteen gaps in a round: 20 ms are reached with gaps of 1.1 ms; then five rounds of conservative slow start.
        Assert.InRange(rounds, 15, 17);
        Assert.InRange(slow, 5, 6);
        Assert.Equal((30, 0), HyStartRounds(_ => 40 * Ms, _ => Ms));
        Assert.Equal((30, 0), HyStartRounds(_ => 3 * Ms, _ => Ms));
    }

    /// <summary>
    /// A round ends when what was sent after it began is acknowledged, not when the last before that is: else each
    /// round begins an ACK earlier in the burst than the one before, and takes the burst's own queue for the path's.
    /// </summary>
    [Fact]
    public void A_round_of_hystart_ends_beyond_what_was_sent_before_it()
    {
        var hyStart = new HyStart();
        hyStart.OnAck(new SeqNum(20), new SeqNum(100), 40 * Ms, 40 * Ms, 0);
        hyStart.OnAck(new SeqNum(100), new SeqNum(260), 44 * Ms, 40 * Ms, 4 * Ms);
        Assert.Equal((new SeqNum(100), 2u), (hyStart.RoundEnd, hyStart.Samples));
        hyStart.OnAck(new SeqNum(120), new SeqNum(260), 40 * Ms, 40 * Ms, 40 * Ms);
        Assert.Equal((new SeqNum(260), 1u), (hyStart.RoundEnd, hyStart.Samples));
        Assert.Equal(40 * Ms, hyStart.LastRoundMin);
    }

    /// <summary>
    /// Rounds of twenty ACKs, so far apart: in which slow start was left (30: never), and how many were slow.
    /// </summary>
    static (int Left, int Slow) HyStartRounds(Func<int, long> rtt, Func<int, long>? gap = null)
    {
        var hyStart = new HyStart();
        var slow = new HashSet<int>();
        var (now, min) = (Second, long.MaxValue);
        uint una = 0;
        for (var round = 0; round < 30; round++, now += rtt(round))
            for (var ack = 0; ack < 20; ack++)
            {
                una += 10;
                now += gap?.Invoke(round) ?? 0;
                min = Math.Min(min, rtt(round));
                switch (hyStart.OnAck(new SeqNum(una), new SeqNum(una + 190), rtt(round), min, now))
                {
                    case SlowStartAdvice.Leave:
                        return (round, slow.Count);
                    case SlowStartAdvice.GrowSlowly:
                        slow.Add(round);
                        break;
                }
            }
        return (30, slow.Count);
    }

    [Fact]
    public void After_idle_time_the_window_is_halved_for_each_timeout_down_to_the_initial()
    {
        var congestion = Full(CongestionAlgorithm.Cubic, 100, 1);
        congestion.SlowStartAfterIdle = true;
        congestion.OnIdle(Second / 5, Second / 4, Mss, Second);
        Assert.Equal(100 * Mss, congestion.Cwnd);
        congestion.OnIdle(Second * 6 / 10, Second / 4, Mss, Second);
        Assert.Equal(25 * Mss, congestion.Cwnd);
        Assert.Equal(75 * Mss, congestion.Ssthresh);
        congestion.OnIdle(100_000 * Second, Second / 4, Mss, Second);
        Assert.Equal(10 * Mss, congestion.Cwnd);
        var kept = Full(CongestionAlgorithm.Cubic, 100, 1);
        kept.OnIdle(100_000 * Second, Second / 4, Mss, Second);
        Assert.Equal(100 * Mss, kept.Cwnd);
    }

    static void Grow(ref CongestionControl congestion, uint delivered, long rttMs, long now) =>
        congestion.Grow(delivered, Mss, default, rttMs * Ms, new RttEstimator { Srtt = rttMs * Ms }, now);

    [Fact]
    public void Cube_root_is_the_cube_root()
    {
        for (var x = 1e-9; x < 1e12; x *= 1.37)
            Assert.Equal(Math.Cbrt(x), Cubic.CubeRoot(x), Math.Cbrt(x) * 1e-9);
        Assert.Equal(0, Cubic.CubeRoot(0));
    }
}
