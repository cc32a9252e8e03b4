using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Tests.Tcp;

/// <summary>RFC 5961, RFC 7323 5, RFC 9293 3.10.7.4 steps one to five: what is believed.</summary>
public class SegmentCheckTests
{
    [Fact]
    public void Reset_at_the_next_byte_is_believed()
    {
        using var t = new TcpDriven();
        t.Gets(1, flags: TcpFlags.Rst);
        Assert.Equal(TcpState.Closed, t.Tcb.State);
        Assert.Equal(TcpError.Reset, t.End.Error);
        t.Sends();
    }

    [Fact]
    public void Reset_elsewhere_in_the_window_is_challenged_once_in_half_a_second()
    {
        using var t = new TcpDriven();
        t.Gets(2, flags: TcpFlags.Rst);
        t.Sends("ack 1");
        t.Gets(3, flags: TcpFlags.Rst);
        t.Sends();
        t.After(501);
        t.Gets(4, flags: TcpFlags.Rst);
        t.Sends("ack 1");
        Assert.Equal(TcpState.Established, t.Tcb.State);
        Assert.Equal(2, t.End.Counter(TcpCounter.ChallengeAcks));
    }

    [Fact]
    public void Reset_outside_of_the_window_is_dropped()
    {
        using var t = new TcpDriven();
        t.Gets(70_000, flags: TcpFlags.Rst);
        t.Gets(uint.MaxValue, flags: TcpFlags.Rst);
        t.Sends();
        Assert.Equal(TcpState.Established, t.Tcb.State);
    }

    [Fact]
    public void Reset_at_the_end_of_what_was_sacked_is_believed()
    {
        using var t = new TcpDriven();
        t.Gets(1001, 1000);
        t.Sends("ack 1 sack 1001:2001");
        t.Gets(2001, flags: TcpFlags.Rst);
        Assert.Equal(TcpState.Closed, t.Tcb.State);
    }

    [Fact]
    public void Syn_is_challenged_wherever_it_is()
    {
        using var t = new TcpDriven();
        t.Gets(1, flags: TcpFlags.Syn);
        t.Sends("ack 1");
        t.After(600);
        t.Gets(900_000, flags: TcpFlags.Syn);
        t.Sends("ack 1");
        Assert.Equal(TcpState.Established, t.Tcb.State);
    }

    [Fact]
    public void Timestamp_of_the_past_is_acknowledged_and_dropped()
    {
        using var t = new TcpDriven();
        t.After(2_000);
        t.Gets(1, 100);
        t.Sends("ack 101");
        t.Gets(101, 100, tsAge: 1_000);
        t.Sends("ack 101");
        Assert.Equal(100, t.End.Unread);
        Assert.Equal(1, t.End.Counter(TcpCounter.PawsRejected));
    }

    [Fact]
    public void Reset_is_believed_whatever_its_timestamp()
    {
        using var t = new TcpDriven();
        t.After(2_000);
        t.Gets(1, 100);
        t.Gets(101, flags: TcpFlags.Rst, tsAge: 1_000);
        Assert.Equal(TcpState.Closed, t.Tcb.State);
    }

    [Fact]
    public void Timestamp_may_be_anything_after_24_days_of_silence()
    {
        using var t = new TcpDriven();
        t.After(25L * 24 * 3600 * 1000);
        var effects = t.Gets(1, 100, tsAge: unchecked((int)(25L * 24 * 3600 * 1000)) + 5);
        Assert.Equal(100u, effects.Advance);
    }

    [Fact]
    public void Overtaken_ack_is_dropped_silently_or_taken_but_never_answered()
    {
        using var t = new TcpDriven();
        t.After(2_000);
        t.Gets(1, 100);
        t.Sends("ack 101");
        t.Gets(101, tsAge: 50);
        t.Sends();
    }

    [Fact]
    public void Ack_of_what_was_not_sent_is_answered()
    {
        using var t = new TcpDriven();
        t.Gets(1, 10, ack: 2);
        t.Sends("ack 1");
        Assert.Equal(0, t.End.Unread);
    }

    [Fact]
    public void Ack_of_the_far_past_is_challenged()
    {
        using var t = new TcpDriven();
        t.End.Write(1000, t.Now);
        t.Sends("1:1001 ack 1");
        t.Gets(1, ack: 1001);
        // Within what was acknowledged: an old one.
        t.Gets(1, 10, ack: 500);
        Assert.Equal(10, t.End.Unread);
        t.End.Wire.Clear();
        t.Gets(11, 10, ack: unchecked((uint)-70_000));
        t.Sends("ack 11");
        Assert.Equal(10, t.End.Unread);
        Assert.Equal(1, t.End.Counter(TcpCounter.OldAcks));
    }

    [Fact]
    public void Segment_without_ack_is_dropped()
    {
        using var t = new TcpDriven();
        t.Gets(1, 10, flags: TcpFlags.Psh);
        t.Sends();
        Assert.Equal(0, t.End.Unread);
    }

    [Fact]
    public void Data_from_before_the_window_is_acknowledged_with_dsack()
    {
        using var t = new TcpDriven();
        t.Gets(1, 1000);
        t.Sends("ack 1001");
        t.Gets(1, 1000);
        t.Sends("ack 1001 sack 1:1001");
        t.Gets(1001, 1000);
        t.Sends("ack 2001");
    }
}
