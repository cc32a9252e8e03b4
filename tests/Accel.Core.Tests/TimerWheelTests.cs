using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Tests;

/// <summary>The timer wheel against a sorted list.</summary>
public unsafe class TimerWheelTests
{
    [Theory]
    [InlineData(1, 0ul, 100)]
    [InlineData(2, 0ul, 5_000)]
    [InlineData(3, 0xFFFF_FFF0ul, 1_000_000)]
    [InlineData(4, (1ul << 48) - 3, 300)]
    [InlineData(5, ulong.MaxValue - 2_000_000, 100_000)]
    public void Timers_come_when_a_sorted_list_says(ulong seed, ulong start, int spread)
    {
        using var timers = new Timers(200);
        var random = new Prng(Prng.Seed(seed));
        var model = new SortedSet<(ulong Deadline, int Timer)>();
        var deadlines = new Dictionary<int, ulong>();
        var now = start;
        Assert.Equal(-1, timers.Pop(now));
        for (var step = 0; step < 30_000 && now < ulong.MaxValue - (ulong)spread; step++)
        {
            var timer = random.Below(200);
            if (random.OneIn(4))
            {
                Assert.Equal(model.Remove((deadlines.GetValueOrDefault(timer), timer)), timers.Cancel(timer));
                deadlines.Remove(timer);
            }
            else
            {
                if (deadlines.TryGetValue(timer, out var before))
                    model.Remove((before, timer));
                var far = random.OneIn(10) ? random.Next() >> random.Below(64) : (ulong)random.Below(spread);
                var deadline = random.OneIn(20) ? now - Math.Min(now, 5) : now + Math.Min(far, ulong.MaxValue - now);
                timers.Arm(timer, deadline);
                model.Add((deadline, timer));
                deadlines[timer] = deadline;
            }
            if (random.OneIn(5))
            {
                now += (ulong)random.Below(spread) / 4;
                Drain(timers, model, deadlines, now);
            }
            Assert.Equal((uint)model.Count, timers.Wheel->Armed);
            var next = timers.Next();
            Assert.True(model.Count == 0 ? next == ulong.MaxValue : next <= Math.Max(model.Min.Deadline, now));
        }
        Drain(timers, model, deadlines, ulong.MaxValue);
        Assert.Empty(model);
        Assert.All(Enumerable.Range(0, 200), t => Assert.Equal(0u, timers.Node(t)->List));
    }

    static void Drain(
        Timers timers, SortedSet<(ulong Deadline, int Timer)> model, Dictionary<int, ulong> deadlines, ulong now)
    {
        ulong last = 0;
        var from = timers.Wheel->Now;
        for (int timer; (timer = timers.Pop(now)) >= 0;)
        {
            Assert.True(deadlines.Remove(timer, out var deadline), "not armed, or twice");
            Assert.InRange(deadline, last, now);
            // Those that were late already are of equal rank.
            last = deadline <= from ? 0 : deadline;
            Assert.True(model.Remove((deadline, timer)));
        }
        Assert.True(model.Count == 0 || model.Min.Deadline > now, "one was forgotten");
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void First_middle_and_last_of_a_list_can_be_cancelled(int cancelled)
    {
        using var timers = new Timers(3);
        foreach (var timer in new[] { 0, 1, 2 })
            timers.Arm(timer, 1000);
        Assert.True(timers.Cancel(cancelled));
        Assert.False(timers.Cancel(cancelled));
        Assert.Equal(-1, timers.Pop(999));
        var rest = new[] { timers.Pop(1000), timers.Pop(1000) };
        Assert.Equal(new[] { 0, 1, 2 }.Where(t => t != cancelled), rest.Order());
        Assert.Equal(-1, timers.Pop(1000));
    }

    [Fact]
    public void A_timer_is_armed_again_when_it_is_taken()
    {
        using var timers = new Timers(2);
        timers.Arm(0, 10);
        timers.Arm(1, 35);
        var taken = new List<(int, ulong)>();
        for (int timer; (timer = timers.Pop(50)) >= 0;)
        {
            var deadline = timers.Node(timer)->Deadline;
            taken.Add((timer, deadline));
            if (timer == 0)
                timers.Arm(0, deadline + 10);
        }
        Assert.Equal([(0, 10ul), (0, 20ul), (0, 30ul), (1, 35ul), (0, 40ul), (0, 50ul)], taken);
        Assert.Equal(-1, timers.Pop(59));
        Assert.Equal(0, timers.Pop(60));
    }

    [Fact]
    public void A_clock_that_goes_back_takes_nothing()
    {
        using var timers = new Timers(1);
        Assert.Equal(-1, timers.Pop(1000));
        timers.Arm(0, 1010);
        Assert.Equal(-1, timers.Pop(5));
        Assert.Equal(1000ul, timers.Wheel->Now);
        Assert.Equal(0, timers.Pop(1010));
    }

    [Fact]
    public void The_next_tick_leads_to_a_far_deadline_in_a_few_steps()
    {
        using var timers = new Timers(1);
        const ulong Deadline = 0x7654_3210_FEDC_BA98;
        timers.Arm(0, Deadline);
        var steps = 0;
        while (timers.Pop(timers.Next()) < 0)
            steps++;
        Assert.Equal(Deadline, timers.Wheel->Now);
        Assert.InRange(steps, 0, 11);
    }

    sealed class Timers : IDisposable
    {
        const int Stride = 40, Offset = 8;
        readonly byte* _records;

        public Timers(int count)
        {
            Wheel = (TimerWheel*)NativeMemory.AllocZeroed((nuint)sizeof(TimerWheel));
            _records = (byte*)NativeMemory.AllocZeroed((nuint)(count * Stride));
        }

        public TimerWheel* Wheel { get; }

        public TimerNode* Node(int timer) => (TimerNode*)(_records + Offset + timer * Stride);

        public void Arm(int timer, ulong at) => TimerWheel.Arm(Wheel, _records + Offset, Stride, timer, at);

        public bool Cancel(int timer) => TimerWheel.Cancel(Wheel, _records + Offset, Stride, timer);

        public int Pop(ulong now) => TimerWheel.TryPop(Wheel, _records + Offset, Stride, now);

        public ulong Next() => TimerWheel.NextTick(Wheel);

        public void Dispose()
        {
            NativeMemory.Free(_records);
            NativeMemory.Free(Wheel);
        }
    }
}
