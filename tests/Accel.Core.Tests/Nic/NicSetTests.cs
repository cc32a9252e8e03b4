using System.Numerics;
using System.Runtime.InteropServices;
using Accel.Core.Nic;

namespace Accel.Core.Tests.Nic;

/// <summary>The set of numbers against one of the library, alone and with many who add.</summary>
public unsafe class NicSetTests
{
    static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    [Fact]
    public void Agrees_with_a_set()
    {
        var set = (NicSet*)NativeMemory.AllocZeroed((nuint)sizeof(NicSet));
        var model = new HashSet<int>();
        var random = new Prng(Prng.Seed(1));
        for (var i = 0; i < 100_000; i++)
        {
            if (!random.OneIn(10))
            {
                var number = random.Below(NicSet.Capacity);
                NicSet.Add(set, number);
                model.Add(number);
            }
            else if (NicSet.TakeWord(set, out var first, out var bits))
            {
                for (; bits != 0; bits &= bits - 1)
                    Assert.True(model.Remove(first + BitOperations.TrailingZeroCount(bits)));
            }
            else
                Assert.Empty(model);
        }
        while (NicSet.TakeWord(set, out var first, out var bits))
            for (; bits != 0; bits &= bits - 1)
                Assert.True(model.Remove(first + BitOperations.TrailingZeroCount(bits)));
        Assert.Empty(model);
        Assert.True(NicSet.IsEmpty(set));
        NativeMemory.Free(set);
    }

    [Fact]
    public void Nothing_that_was_added_is_lost_to_who_takes()
    {
        var set = (NicSet*)NativeMemory.AllocZeroed((nuint)sizeof(NicSet));
        const int adders = 3, each = 2_000;
        var pending = new int[adders];
        var stopped = false;
        var threads = Enumerable.Range(0, adders).Select(a => new Thread(() =>
        {
            var random = new Prng((ulong)a);
            for (var i = 0; i < each; i++)
            {
                // One number per adder, far apart or close: added again only when it was taken.
                while (Volatile.Read(ref pending[a]) != 0 && !Volatile.Read(ref stopped))
                    Thread.Yield();
                Volatile.Write(ref pending[a], 1);
                NicSet.Add(set, a * 1 + (random.OneIn(2) ? 0 : 4096 * (a + 1)));
            }
        })).ToList();
        var taken = 0;
        var taker = new Thread(() =>
        {
            while (taken < adders * each && !Volatile.Read(ref stopped))
            {
                if (!NicSet.TakeWord(set, out var first, out var bits))
                    Thread.Yield();
                for (; bits != 0; bits &= bits - 1)
                {
                    var number = first + BitOperations.TrailingZeroCount(bits);
                    taken++;
                    Volatile.Write(ref pending[number % 4096], 0);
                }
            }
        });
        threads.ForEach(t => t.Start());
        taker.Start();
        // A lost number holds its adder, and with it the taker, for ever. Anything shorter than minutes is only a busy
        // machine, on which a thread that was put aside may not run for long.
        taker.Join(Patience);
        Volatile.Write(ref stopped, true);
        threads.Append(taker).ToList().ForEach(t => t.Join());
        Assert.Equal(adders * each, taken);
        NativeMemory.Free(set);
    }

    [Fact]
    public void Counters_and_their_rows_agree()
    {
        Assert.Equal((int)NicCounter.Count, NicCounterTable.Rows.Length);
        for (var i = 0; i < NicCounterTable.Rows.Length; i++)
            Assert.Equal((NicCounter)i, NicCounterTable.Rows[i].Counter);
        Assert.Equal(NicCounterTable.Rows.Length, NicCounterTable.Rows.Select(r => r.Name).Distinct().Count());
        Assert.True((int)NicCounter.Count <= NicCounters.Length);
    }
}
