using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Tests.Tcp;

/// <summary>Intervals against a bitmap.</summary>
public class ReassemblyTests
{
    const int Space = 400;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Same_as_a_bitmap(ulong seed)
    {
        var random = new Prng(Prng.Seed(seed));
        using var end = new TcpEnd(true);
        var pool = end.Pool;
        for (var round = 0; round < 200; round++)
        {
            var reassembly = new Reassembly();
            var bits = new bool[Space * 4];
            var start = new SeqNum((uint)random.Next());
            var next = 0;
            for (var step = 0; step < 300 && next < Space * 3; step++)
            {
                if (random.OneIn(4))
                {
                    var to = next + random.Below(30);
                    for (var i = next; i < to; i++)
                        bits[i] = true;
                    var expected = to;
                    while (bits[expected])
                        expected++;
                    Assert.Equal(start + (uint)expected, reassembly.Advance(pool, start + (uint)to));
                    to = expected;
                    next = to;
                }
                else
                    Add(pool, ref reassembly, bits, start, next, random);
                Same(pool, in reassembly, bits, start, next);
            }
            reassembly.Clear(pool);
            Assert.Equal(0, end.RecordsInUse);
        }
    }

    static void Add(SegmentPool pool, ref Reassembly reassembly, bool[] bits, SeqNum start, int next, Prng random)
    {
        var left = next + 1 + random.Below(Space / 2);
        var right = left + 1 + random.Below(20);
        var before = reassembly.Count;
        var whole = Enumerable.Range(left, right - left).All(i => bits[i]);
        if (!reassembly.TryAdd(pool, start + (uint)left, start + (uint)right, out var known))
        {
            Assert.Equal(Reassembly.Most, before);
            return;
        }
        Assert.Equal(Enumerable.Range(left, right - left).Any(i => bits[i]), known.Left != known.Right);
        if (whole)
            Assert.Equal((start + (uint)left, start + (uint)right), (known.Left, known.Right));
        for (var i = left; i < right; i++)
            bits[i] = true;
        var newest = reassembly.Recent[0];
        Assert.True(newest.Left <= start + (uint)left && newest.Right >= start + (uint)right);
    }

    static void Same(SegmentPool pool, in Reassembly reassembly, bool[] bits, SeqNum start, int next)
    {
        var runs = new List<(int, int)>();
        for (var i = next; i < bits.Length; i++)
            if (bits[i])
            {
                var from = i;
                while (i < bits.Length && bits[i])
                    i++;
                runs.Add((from, i));
            }
        Assert.Equal(runs.Count, reassembly.Count);
        var link = reassembly.First;
        foreach (var run in runs)
        {
            Assert.Equal(run, (pool[link].Seq - start, pool[link].End - start));
            link = pool[link].Next;
        }
        Assert.Equal(0u, link);
        Assert.Equal(runs.Count, (int)(pool.Capacity - pool.Free));
        for (var i = 0; i < reassembly.RecentCount; i++)
            Assert.Contains((reassembly.Recent[i].Left - start, reassembly.Recent[i].Right - start), runs);
        Assert.True(runs.Count == 0 || reassembly.RecentCount > 0);
    }

    [Fact]
    public void Newest_block_comes_first()
    {
        using var end = new TcpEnd(true);
        var reassembly = new Reassembly();
        foreach (var at in new uint[] { 100, 300, 500, 700, 900 })
            Assert.True(reassembly.TryAdd(end.Pool, new(at), new(at + 50), out _));
        Assert.True(reassembly.TryAdd(end.Pool, new(350), new(360), out _));
        Assert.Equal([300u, 900u, 700u, 500u], Enumerable.Range(0, 4).Select(i => reassembly.Recent[i].Left.Value));
    }

    [Fact]
    public void No_more_gaps_than_allowed()
    {
        using var end = new TcpEnd(true);
        Fill(end, Reassembly.Most);
    }

    [Fact]
    public void When_records_are_short_a_connection_has_its_share_only()
    {
        using var end = new TcpEnd(true);
        while (end.Pool.Free > end.Pool.Capacity / 2)
            end.Pool.Take(urgent: true);
        Fill(end, Reassembly.Fair);
    }

    static void Fill(TcpEnd end, int most)
    {
        var reassembly = new Reassembly();
        for (var i = 0u; i < most; i++)
            Assert.True(reassembly.TryAdd(end.Pool, new(10 * i), new(10 * i + 5), out _));
        Assert.False(reassembly.TryAdd(end.Pool, new(9_000), new(9_005), out _));
        Assert.True(reassembly.TryAdd(end.Pool, new(5), new(10), out _));
        Assert.Equal(most - 1, reassembly.Count);
        Assert.True(reassembly.TryAdd(end.Pool, new(9_000), new(9_005), out _));
    }
}
