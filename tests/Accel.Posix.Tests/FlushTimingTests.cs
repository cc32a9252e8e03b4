using Xunit;

namespace Accel.Posix.Tests;

public sealed unsafe class FlushTimingTests
{
    private const ulong Span = 1000;

    [Fact]
    public void Without_events_every_send_rings()
    {
        AccelThread t = default;
        Assert.True(FlushTiming.IsDue(&t, 1, 0, Span));
        FlushTiming.OnEvents(&t, 3);
        FlushTiming.OnEvents(&t, 0);
        Assert.True(FlushTiming.IsDue(&t, 1, 10, Span));
    }

    [Fact]
    public void Answers_to_events_wait_until_there_are_many_or_the_first_has_waited_long()
    {
        AccelThread t = default;
        FlushTiming.OnEvents(&t, 2);
        Assert.False(FlushTiming.IsDue(&t, 1, 100, Span));
        Assert.False(FlushTiming.IsDue(&t, 2, 200, Span));
        Assert.True(FlushTiming.IsDue(&t, 64, 300, Span));
        Assert.False(FlushTiming.IsDue(&t, 1, 10_000, Span));
        Assert.False(FlushTiming.IsDue(&t, 2, 12_000, Span));
        Assert.True(FlushTiming.IsDue(&t, 3, 17_000, Span));
    }

    [Fact]
    public void A_thread_that_computes_before_it_comes_back_loses_the_privilege_for_twice_as_long_each_time()
    {
        AccelThread t = default;
        ulong now = 100;
        for (int hasty = 64; hasty <= 256; hasty *= 2)
        {
            FlushTiming.OnEvents(&t, 1);
            Assert.False(FlushTiming.IsDue(&t, 1, now, Span));
            FlushTiming.OnWait(&t, now + 100 * Span, Span);
            now += 100 * Span;
            for (int i = 0; i < hasty; i++)
                Assert.True(FlushTiming.IsDue(&t, 1, now, Span), $"send {i} of {hasty}");
        }
        Assert.False(FlushTiming.IsDue(&t, 1, now, Span));
    }

    [Fact]
    public void Only_who_got_events_and_does_not_compute_in_between_may_let_others_wait()
    {
        AccelThread t = default;
        Assert.False(FlushTiming.MayWait(&t));
        FlushTiming.OnEvents(&t, 1);
        Assert.True(FlushTiming.MayWait(&t));
        Assert.False(FlushTiming.IsDue(&t, 1, 100, Span));
        FlushTiming.OnWait(&t, 100 + 100 * Span, Span);
        Assert.False(FlushTiming.MayWait(&t));
        for (int i = 0; i < 64; i++)
            FlushTiming.IsDue(&t, 1, 100 + 100 * Span, Span);
        Assert.True(FlushTiming.MayWait(&t));
        FlushTiming.OnEvents(&t, 0);
        Assert.False(FlushTiming.MayWait(&t));
    }

    [Fact]
    public void A_thread_that_comes_back_soon_keeps_it()
    {
        AccelThread t = default;
        for (ulong round = 0; round < 1000; round++)
        {
            FlushTiming.OnEvents(&t, 1);
            Assert.False(FlushTiming.IsDue(&t, 1, 1 + round * 5000, Span));
            FlushTiming.OnWait(&t, 1 + round * 5000 + 2000, Span);
        }
    }
}
