using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Tests.Tcp;

/// <summary>RFC 6298 with Linux's bounds.</summary>
public class RttEstimatorTests
{
    const long Ms = 1_000_000, Second = 1000 * Ms;

    uint _acked;

    /// <summary>Of the next segment, with so many under way behind it.</summary>
    void Sample(ref RttEstimator rtt, long sample, long now, uint flight = 0) =>
        rtt.Sample(sample, sample, new SeqNum(++_acked), new SeqNum(_acked + flight), now);

    [Fact]
    public void The_timeout_is_a_second_before_the_first_sample()
    {
        var rtt = new RttEstimator();
        Assert.False(rtt.HasSample);
        Assert.Equal(Second, rtt.Rto);
    }

    [Fact]
    public void The_first_sample_sets_SRTT_and_half_of_it_the_variance()
    {
        var rtt = new RttEstimator();
        Sample(ref rtt, 400 * Ms, Second);
        Assert.Equal((400 * Ms, 200 * Ms), (rtt.Srtt, rtt.RttVar));
        Assert.Equal(1200 * Ms, rtt.Rto);
    }

    [Fact]
    public void Later_samples_are_smoothed()
    {
        var rtt = new RttEstimator();
        Sample(ref rtt, 400 * Ms, Second);
        Sample(ref rtt, 480 * Ms, 2 * Second);
        // SRTT = 7/8 * 400 + 1/8 * 480; deviation 200 + (80 - 200) / 4 = 170 is less than before, which wears off by a
        // quarter in a round trip.
        Assert.Equal(410 * Ms, rtt.Srtt);
        Assert.InRange(rtt.RttVar, 170 * Ms, 200 * Ms);
    }

    [Fact]
    public void A_steady_path_has_the_least_timeout()
    {
        var rtt = new RttEstimator();
        for (var i = 1; i < 500; i++)
            Sample(ref rtt, 10 * Ms, i * 10 * Ms);
        Assert.InRange(rtt.Rto, 209 * Ms, 211 * Ms);
    }

    [Fact]
    public void Back_off_doubles_up_to_two_minutes_and_ends_with_a_sample()
    {
        var rtt = new RttEstimator();
        Sample(ref rtt, 10 * Ms, Second);
        var before = rtt.Rto;
        for (var i = 1; i < 60; i++)
        {
            rtt.Backoff();
            Assert.Equal(i > 20 ? 120 * Second : Math.Min(120 * Second, before << i), rtt.Rto);
        }
        Sample(ref rtt, 10 * Ms, 2 * Second);
        Assert.InRange(rtt.Rto, 200 * Ms, before);
    }

    [Fact]
    public void The_minimum_forgets_what_is_five_minutes_old()
    {
        var rtt = new RttEstimator();
        Sample(ref rtt, 5 * Ms, Second);
        Sample(ref rtt, 50 * Ms, 100 * Second);
        Assert.Equal(5 * Ms, rtt.MinRtt);
        for (var second = 110; second < 1000; second += 10)
            Sample(ref rtt, 50 * Ms, second * Second);
        Assert.Equal(50 * Ms, rtt.MinRtt);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-5)]
    [InlineData(long.MaxValue)]
    [InlineData(long.MinValue)]
    public void No_sample_breaks_it(long sample)
    {
        var rtt = new RttEstimator();
        for (var i = 0; i < 100; i++)
        {
            Sample(ref rtt, sample, i * Second);
            Assert.InRange(rtt.Rto, RttEstimator.MinRtoNs, RttEstimator.MaxRtoNs);
            Assert.True(rtt.Srtt > 0 && rtt.RttVar >= 0);
        }
    }

    [Fact]
    public void A_sample_for_each_of_many_ACKs_does_not_wear_the_variance_off()
    {
        var rtt = new RttEstimator();
        var now = Second;
        // A round trip of 100 or 300 ms by turns, and a hundred ACKs in each.
        for (var round = 0; round < 50; round++)
            for (var ack = 0; ack < 100; ack++)
                Sample(ref rtt, round % 2 == 0 ? 100 * Ms : 300 * Ms, now += 2 * Ms, flight: 100);
        Assert.InRange(rtt.Rto, 450 * Ms, 1500 * Ms);
    }

    [Fact]
    public void One_long_sample_wears_off_with_the_round_trips_that_follow_however_short_they_are()
    {
        var rtt = new RttEstimator();
        Sample(ref rtt, 800 * Ms, Second);
        for (var i = 1; i <= 30; i++)
            Sample(ref rtt, Ms, Second + i * Ms);
        Assert.InRange(rtt.Rto, 200 * Ms, 250 * Ms);
    }
}
