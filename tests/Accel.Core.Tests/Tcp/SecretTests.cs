using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Tests.Tcp;

/// <summary>Numbers that an outsider must not guess: SipHash, initial sequence numbers, SYN cookies.</summary>
public class SecretTests
{
    const long Second = 1_000_000_000;

    /// <summary>Reference vectors of the SipHash paper: key 00..0f, message 00..07 and 00..0f.</summary>
    [Theory]
    [InlineData(1, 0x93f5f5799a932462ul)]
    [InlineData(2, 0x3f2acc7f57c29bdbul)]
    public void SipHash_is_the_one_of_the_paper(int words, ulong expected)
    {
        var hash = new SipHash(0x0706050403020100, 0x0f0e0d0c0b0a0908);
        for (var i = 0; i < words; i++)
            hash.Add(i == 0 ? 0x0706050403020100ul : 0x0f0e0d0c0b0a0908ul);
        Assert.Equal(expected, hash.Finish());
    }

    [Fact]
    public void Sequence_numbers_rise_with_time_and_differ_by_flow()
    {
        using var end = new TcpEnd(true);
        var flow = end.Opening.Flow;
        var first = InitialSequence.Of(in flow, end.Context(5 * Second));
        var later = InitialSequence.Of(in flow, end.Context(6 * Second));
        Assert.Equal((int)(Second / 64), later - first);
        flow.RemotePort++;
        Assert.NotEqual(first, InitialSequence.Of(in flow, end.Context(5 * Second)));
        var offset = InitialSequence.TimestampOffset(in flow, in end.Settings);
        flow.LocalPort++;
        Assert.Equal(offset, InitialSequence.TimestampOffset(in flow, in end.Settings));
        flow.RemoteLow++;
        Assert.NotEqual(offset, InitialSequence.TimestampOffset(in flow, in end.Settings));
    }

    [Theory]
    [InlineData(1460, 1460)]
    [InlineData(1459, 1440)]
    [InlineData(9000, 1460)]
    [InlineData(100, 536)]
    public void Cookie_brings_back_the_segment_size(int mss, int kept)
    {
        using var server = new TcpEnd(false);
        var now = 1_000 * Second;
        var syn = Syn(mss);
        var answer = TcpOpen.CookieAnswer(in syn, in server.Opening, server.Context(now));
        var ack = Ack(in answer, syn.Options.TsVal);
        Assert.True(TcpOpen.FromCookie(ref server.Tcb, in ack, in server.Opening, server.Context(now + Second)));
        Assert.Equal(TcpState.SynReceived, server.Tcb.State);
        Assert.Equal(kept, server.Tcb.PeerMss);
        Assert.Equal(7, server.Tcb.SndWscale);
        Assert.True(server.Tcb.Flags.HasFlag(TcbFlags.Sack | TcbFlags.Timestamps | TcbFlags.WindowScaling));
        server.Receive(new Sent(ack, [], default), now + Second);
        Assert.Equal(TcpState.Established, server.Tcb.State);
        Assert.Equal(500u << 7, server.Tcb.SndWnd);
    }

    [Fact]
    public void Cookie_without_timestamps_offers_what_it_can_keep()
    {
        using var server = new TcpEnd(false);
        var syn = Syn(1460);
        syn.Options.Present &= ~TcpOptionKinds.Timestamps;
        var answer = TcpOpen.CookieAnswer(in syn, in server.Opening, server.Context(Second));
        Assert.Equal(TcpOptionKinds.Mss, answer.Options.Present);
    }

    [Fact]
    public void Cookie_grows_old_and_cannot_be_guessed()
    {
        using var server = new TcpEnd(false);
        var now = 1_000 * Second;
        var syn = Syn(1460);
        var answer = TcpOpen.CookieAnswer(in syn, in server.Opening, server.Context(now));
        var ack = Ack(in answer, syn.Options.TsVal);
        Assert.True(TcpOpen.FromCookie(ref server.Tcb, in ack, in server.Opening, server.Context(now + 59 * Second)));
        Assert.False(TcpOpen.FromCookie(ref server.Tcb, in ack, in server.Opening, server.Context(now + 125 * Second)));
        var random = new Prng(Prng.Seed(5));
        var accepted = 0;
        for (var i = 0; i < 100_000; i++)
        {
            ack.Ack = new((uint)random.Next());
            if (TcpOpen.FromCookie(ref server.Tcb, in ack, in server.Opening, server.Context(now)))
                accepted++;
        }
        Assert.Equal(0, accepted);
        Assert.Equal(100_001, server.Counter(TcpCounter.CookieRefused));
    }

    static TcpSegment Syn(int mss)
    {
        TcpSegment syn = new() { Seq = new(77_000), Flags = TcpFlags.Syn, Window = 64240 };
        syn.Options.Present = TcpOptionKinds.Mss | TcpOptionKinds.Timestamps | TcpOptionKinds.SackPermitted
            | TcpOptionKinds.WindowScale;
        syn.Options.Mss = (ushort)mss;
        syn.Options.WindowScale = 7;
        syn.Options.TsVal = 12345;
        return syn;
    }

    static TcpSegment Ack(in TcpEmit answer, uint tsVal)
    {
        TcpSegment ack = new()
        {
            Seq = answer.Ack, Ack = answer.Seq + 1, Flags = TcpFlags.Ack, Window = 500, Merged = 1,
        };
        ack.Options.Present = TcpOptionKinds.Timestamps;
        ack.Options.TsVal = tsVal + 20;
        ack.Options.TsEcr = answer.Options.TsVal;
        return ack;
    }
}
