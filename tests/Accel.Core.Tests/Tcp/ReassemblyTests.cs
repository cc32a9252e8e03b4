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
                    var end = next + random.Below(30);
                    for (var i = next; i < end; i++)
                        bits[i] = true;
                    var expected = end;
                    while (bits[expected])
                        expected++;
                    Assert.Equal(start + (uint)expected, reassembly.Advance(start + (uint)end));
                    end = expected;
                    next = end;
                }
                else
                    Add(ref reassembly, bits, start, next, random);
                Same(in reassembly, bits, start, next);
            }
        }
    }

    static void Add(ref Reassembly reassembly, bool[] bits, SeqNum start, int next, Prng random)
    {
        var left = next + 1 + random.Below(Space / 2);
        var right = left + 1 + random.Below(20);
        var before = reassembly.Count;
        var whole = Enumerable.Range(left, right - left).All(i => bits[i]);
        if (!reassembly.TryAdd(start + (uint)left, start + (uint)right, out var known))
        {
            Assert.Equal(Reassembly.Capacity, before);
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

    static void Same(in Reassembly reassembly, bool[] bits, SeqNum start, int next)
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
        for (var i = 0; i < runs.Count; i++)
            Assert.Equal(runs[i], (reassembly[i].Left - start, reassembly[i].Right - start));
        for (var i = 0; i < reassembly.RecentCount; i++)
            Assert.Contains((reassembly.Recent[i].Left - start, reassembly.Recent[i].Right - start), runs);
        Assert.True(runs.Count == 0 || reassembly.RecentCount > 0);
    }

    [Fact]
    public void Newest_block_comes_first()
    {
        var reassembly = new Reassembly();
        foreach (var at in new uint[] { 100, 300, 500, 700, 900 })
            Assert.True(reassembly.TryAdd(new(at), new(at + 50), out _));
        Assert.True(reassembly.TryAdd(new(350), new(360), out _));
        Assert.Equal([300u, 900u, 700u, 500u], Enumerable.Range(0, 4).Select(i => reassembly.Recent[i].Left.Value));
    }

    [Fact]
    public void No_more_gaps_than_it_can_hold()
    {
        var reassembly = new Reassembly();
        for (var i = 0u; i < Reassembly.Capacity; i++)
            Assert.True(reassembly.TryAdd(new(10 * i), new(10 * i + 5), out _));
        Assert.False(reassembly.TryAdd(new(5000), new(5005), out _));
        Assert.True(reassembly.TryAdd(new(5), new(10), out _));
        Assert.Equal(Reassembly.Capacity - 1, reassembly.Count);
        Assert.True(reassembly.TryAdd(new(5000), new(5005), out _));
    }
}
