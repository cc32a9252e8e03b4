using Accel.Core.Local;
using Accel.Core.Memory;

namespace Accel.Core.Tests;

/// <summary>A pipe is a queue of bytes with a bound, whatever rings it moves through.</summary>
public unsafe class PipeTests
{
    [Theory]
    [InlineData(1, 64 << 10)]
    [InlineData(2, 64 << 10)]
    [InlineData(3, 3 << 20)]
    [InlineData(4, 3 << 20)]
    [InlineData(5, 9000)]
    [InlineData(6, 100)]
    public void Agrees_with_a_queue(ulong seed, uint limit)
    {
        using var memory = new TestRegion(64 << 20);
        var region = memory.Region;
        var pipe = OpenPipe(region, limit);
        var random = new Prng(Prng.Seed(seed));
        var model = new Queue<byte>();
        byte next = 0;
        for (var step = 0; step < 4000; step++)
        {
            // Phases in which one side is faster, so that the ring runs full and empty.
            var writing = random.Below(100) < (step / 200 % 2 == 0 ? 80 : 20);
            if (writing)
            {
                if (random.OneIn(2))
                    PipeOps.Rewind(pipe);
                var want = 1 + random.Below(random.OneIn(10) ? 200_000 : 3000);
                var wrote = Write(region, pipe, want, ref next, model);
                Assert.True(wrote <= want);
                if (wrote < want && random.OneIn(2))
                    PipeOps.Grow(region, pipe, stalled: random.OneIn(2));
            }
            else
            {
                var want = 1 + random.Below(random.OneIn(10) ? 200_000 : 3000);
                if (random.OneIn(4))
                    Peek(region, pipe, want, model);
                Read(region, pipe, want, model);
            }
            Assert.Equal((ulong)model.Count, PipeOps.Readable(pipe));
            Assert.Equal((ulong)model.Count, PipeOps.Unread(pipe));
            Assert.True((ulong)model.Count <= PipeOps.Limit(pipe));
        }
        Read(region, pipe, int.MaxValue, model);
        Assert.Empty(model);
    }

    [Fact]
    public void Two_threads_move_every_byte_in_order()
    {
        const long total = 96L << 20;
        using var memory = new TestRegion(64 << 20);
        var region = memory.Region;
        var pipe = OpenPipe(region, 3 << 20);
        var address = (nint)pipe;
        var writer = new Thread(() =>
        {
            var random = new Prng(7);
            long sent = 0;
            while (sent < total)
            {
                var p = (Pipe*)address;
                var want = (ulong)Math.Min(1 + random.Below(60_000), total - sent);
                if (random.OneIn(2))
                    PipeOps.Rewind(p);
                var run = PipeOps.WriteRun(region, p, 0, want, out var n);
                if (run == null)
                {
                    PipeOps.Grow(region, p, stalled: random.OneIn(4));
                    Thread.Yield();
                    continue;
                }
                for (ulong i = 0; i < n; i++)
                    run[i] = Expected(sent + (long)i);
                PipeOps.Publish(p, n);
                sent += (long)n;
            }
        });
        writer.Start();
        var reader = new Prng(8);
        long received = 0;
        long wrong = 0;
        while (received < total)
        {
            var run = PipeOps.ReadRun(region, pipe, 0, (ulong)(1 + reader.Below(60_000)), out var n);
            if (run == null)
            {
                Thread.Yield();
                continue;
            }
            for (ulong i = 0; i < n; i++)
                wrong += run[i] == Expected(received + (long)i) ? 0 : 1;
            PipeOps.Consume(pipe, n);
            received += (long)n;
        }
        writer.Join();
        Assert.Equal(0, wrong);
        Assert.Equal(total, received);
        Assert.Equal(0ul, PipeOps.Readable(pipe));
    }

    [Fact]
    public void Never_holds_more_than_its_limit()
    {
        using var memory = new TestRegion(64 << 20);
        var pipe = OpenPipe(memory.Region, 5000);
        byte next = 0;
        Assert.Equal(5000, Write(memory.Region, pipe, 100_000, ref next, []));
        Assert.Equal(0, Write(memory.Region, pipe, 1, ref next, []));
    }

    [Fact]
    public void A_full_ring_grows_only_as_far_as_the_limit_asks()
    {
        using var memory = new TestRegion(64 << 20);
        var pipe = OpenPipe(memory.Region, 10_000);
        Assert.False(PipeOps.Grow(memory.Region, pipe, stalled: true));
        pipe->SendLimit = 1 << 20;
        Assert.True(PipeOps.Grow(memory.Region, pipe, stalled: false));
        Assert.False(PipeOps.Grow(memory.Region, pipe, stalled: false));
    }

    [Fact]
    public void Closing_gives_every_ring_back_also_in_the_middle_of_a_move()
    {
        using var memory = new TestRegion(64 << 20);
        var region = memory.Region;
        var pipe = OpenPipe(region, 3 << 20);
        byte next = 0;
        Write(region, pipe, 1000, ref next, []);
        Assert.True(PipeOps.Grow(region, pipe, stalled: false));
        Write(region, pipe, 1000, ref next, []);
        PipeOps.Close(region, pipe);
        for (var size = 0; size < BufferClass.Count; size++)
            Assert.Equal(0, memory.BuffersInUse(size));
    }

    [Fact]
    public void A_reader_who_keeps_up_is_written_to_the_same_place_again()
    {
        using var memory = new TestRegion(64 << 20);
        var region = memory.Region;
        var pipe = OpenPipe(region, 3 << 20);
        var model = new Queue<byte>();
        byte next = 0;
        Assert.True(PipeOps.Grow(region, pipe, stalled: false));
        Write(region, pipe, 1, ref next, model);
        Read(region, pipe, 1, model);
        var first = (nint)PipeOps.WriteRun(region, pipe, 0, 1, out _) - 1;
        nint furthest = 0;
        for (var i = 0; i < 1000; i++)
        {
            PipeOps.Rewind(pipe);
            furthest = Math.Max(furthest, (nint)PipeOps.WriteRun(region, pipe, 0, 1, out _) - first);
            Write(region, pipe, 5000, ref next, model);
            Read(region, pipe, 5000, model);
        }
        Assert.InRange(furthest, 60_000, 70_000);
        Assert.Equal(1, memory.BuffersInUse(BufferClass.OfLog2(PipeOps.BulkLog2)));
    }

    [Fact]
    public void What_is_unread_stays_where_it_is()
    {
        using var memory = new TestRegion(64 << 20);
        var region = memory.Region;
        var pipe = OpenPipe(region, 3 << 20);
        var model = new Queue<byte>();
        byte next = 0;
        Assert.True(PipeOps.Grow(region, pipe, stalled: false));
        Write(region, pipe, 100_000, ref next, model);
        Read(region, pipe, 99_999, model);
        PipeOps.Rewind(pipe);
        Assert.Equal(0u, pipe->NextReady);
        Read(region, pipe, 1, model);
        PipeOps.Rewind(pipe);
        Assert.Equal(1u, pipe->NextReady);
        // Not twice before the reader has seen it; and closed like this, the ring is given back once.
        PipeOps.Close(region, pipe);
        Assert.Equal(0, memory.BuffersInUse(BufferClass.OfLog2(PipeOps.BulkLog2)));
        Assert.NotEqual(BufferArena.Take(&region.Tables->Buffers, region.Address, PipeOps.BulkLog2),
            BufferArena.Take(&region.Tables->Buffers, region.Address, PipeOps.BulkLog2));
    }

    [Fact]
    public void A_short_path_s_ring_grows_by_the_class_that_its_limit_asks_for()
    {
        using var memory = new TestRegion(64 << 20);
        var pipe = OpenPipe(memory.Region, 1 << 20);
        Assert.True(PipeOps.Grow(memory.Region, pipe, stalled: true));
        byte next = 0;
        var model = new Queue<byte>();
        foreach (var (limit, log2) in new[] { (1u << 20, PipeOps.ShortLog2), (4u << 20, PipeOps.StalledLog2) })
        {
            Write(memory.Region, pipe, 1, ref next, model);
            Read(memory.Region, pipe, 1, model);
            pipe->SendLimit = limit - pipe->ReceiveLimit;
            Assert.True(PipeOps.Grow(memory.Region, pipe, stalled: true));
            Assert.Equal((uint)log2, pipe->WriteLog2);
        }
        Assert.False(PipeOps.Grow(memory.Region, pipe, stalled: true));
    }

    [Theory]
    [InlineData(ulong.MaxValue)]
    [InlineData(1ul << 40)]
    [InlineData((64ul << 20) + 1)]
    [InlineData(20_000ul)]
    public void A_reader_takes_no_nonsense_from_its_writer(ulong tail)
    {
        using var memory = new TestRegion();
        var pipe = OpenPipe(memory.Region, 3 << 20);
        pipe->Tail = tail;
        var run = PipeOps.ReadRun(memory.Region, pipe, 0, 100, out var n);
        Assert.True(run == null || n <= 16384, "more than the ring holds");
        Assert.True(run == null);
    }

    [Theory]
    [InlineData(0u, 14u)]
    [InlineData(1u, 18u)]
    [InlineData(uint.MaxValue, 18u)]
    [InlineData(20_000u, 63u)]
    [InlineData(20_000u, 0u)]
    public void A_reader_follows_its_writer_into_no_ring_outside_the_arena(uint unit, uint log2)
    {
        using var memory = new TestRegion();
        var pipe = OpenPipe(memory.Region, 3 << 20);
        pipe->NextBuffer = unit;
        pipe->NextLog2 = log2;
        pipe->NextReady = 1;
        pipe->Tail = 10;
        Assert.True(PipeOps.ReadRun(memory.Region, pipe, 0, 100, out var n) == null);
        Assert.Equal(0ul, n);
    }

    [Fact]
    public void Moving_bytes_allocates_nothing()
    {
        using var memory = new TestRegion(64 << 20);
        var pipe = OpenPipe(memory.Region, 3 << 20);
        Round();
        using (new NoAllocation())
            Round();

        void Round()
        {
            for (var i = 0; i < 1000; i++)
            {
                if (PipeOps.WriteRun(memory.Region, pipe, 0, 700, out var n) == null)
                    PipeOps.Grow(memory.Region, pipe, stalled: true);
                PipeOps.Publish(pipe, n);
                if (i % 3 != 0)
                    continue;
                PipeOps.ReadRun(memory.Region, pipe, 0, 900, out n);
                PipeOps.Consume(pipe, n);
            }
        }
    }

    static Pipe* OpenPipe(LocalRegion region, uint limit)
    {
        var pipe = &region.ConnAt(0)->Pipe0;
        Assert.True(PipeOps.Open(region, pipe));
        pipe->SendLimit = limit / 2;
        pipe->ReceiveLimit = limit - (limit / 2);
        return pipe;
    }

    static byte Expected(long position) => (byte)(position ^ (position >> 8) ^ (position >> 17));

    static int Write(LocalRegion region, Pipe* pipe, int want, ref byte next, Queue<byte> model)
    {
        var done = 0;
        while (done < want)
        {
            var run = PipeOps.WriteRun(region, pipe, (ulong)done, (ulong)(want - done), out var n);
            if (run == null)
                break;
            for (ulong i = 0; i < n; i++)
            {
                run[i] = next;
                model.Enqueue(next++);
            }
            done += (int)n;
        }
        PipeOps.Publish(pipe, (ulong)done);
        return done;
    }

    static void Read(LocalRegion region, Pipe* pipe, int want, Queue<byte> model)
    {
        while (want > 0)
        {
            var run = PipeOps.ReadRun(region, pipe, 0, (ulong)want, out var n);
            if (run == null)
            {
                Assert.Empty(model);
                return;
            }
            for (ulong i = 0; i < n; i++)
                Assert.Equal(model.Dequeue(), run[i]);
            PipeOps.Consume(pipe, n);
            want -= (int)n;
        }
    }

    /// <summary>Looks ahead without taking, as MSG_PEEK does.</summary>
    static void Peek(LocalRegion region, Pipe* pipe, int want, Queue<byte> model)
    {
        var expected = model.Take(want).ToArray();
        var seen = 0;
        while (seen < expected.Length)
        {
            var run = PipeOps.ReadRun(region, pipe, (ulong)seen, (ulong)(want - seen), out var n);
            Assert.True(run != null, "bytes are there, but cannot be looked at");
            for (ulong i = 0; i < n; i++)
                Assert.Equal(expected[seen + (int)i], run[i]);
            seen += (int)n;
        }
    }
}
