using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Tests;

/// <summary>The allocators and the lock of the region, alone and with several threads at them.</summary>
public unsafe class MemoryTests
{
    const int Stride = 64;

    [Fact]
    public void A_free_list_gives_each_slot_once_and_then_says_no()
    {
        using var list = new Slots(10);
        Assert.Equal(Enumerable.Range(0, 10), Enumerable.Range(0, 10).Select(_ => list.Take()).Order());
        Assert.Equal(-1, list.Take());
        Assert.Equal(1u, list.List->Refused);
        list.Give(4);
        list.Give(7);
        Assert.Equal(7, list.Take());
        Assert.Equal(4, list.Take());
        Assert.Equal(10, list.List->InUse);
    }

    [Fact]
    public void A_free_list_gives_no_slot_to_two_threads()
    {
        using var list = new Slots(64);
        var owners = new int[64];
        var clashes = 0;
        Parallel(4, seed =>
        {
            var random = new Prng((ulong)seed);
            var mine = new List<int>();
            for (var i = 0; i < 100_000; i++)
            {
                if (mine.Count > 0 && random.OneIn(2))
                {
                    Return(mine[^1]);
                    mine.RemoveAt(mine.Count - 1);
                }
                else if (mine.Count < 20 && list.Take() is var slot and >= 0)
                {
                    if (Interlocked.Increment(ref owners[slot]) != 1)
                        Interlocked.Increment(ref clashes);
                    mine.Add(slot);
                }
            }
            mine.ForEach(Return);
        });
        Assert.Equal(0, clashes);
        Assert.Equal(0, list.List->InUse);

        void Return(int slot)
        {
            Interlocked.Decrement(ref owners[slot]);
            list.Give(slot);
        }
    }

    [Fact]
    public void A_free_list_with_a_broken_link_says_no()
    {
        using var list = new Slots(10);
        list.List->Head = 11;
        Assert.Equal(-1, list.Take());
    }

    [Fact]
    public void Rings_do_not_overlap_and_come_back()
    {
        using var memory = new TestRegion(32 << 20);
        var arena = &memory.Region.Tables->Buffers;
        var random = new Prng(Prng.Seed(1));
        var held = new List<(uint Unit, int Log2)>();
        for (var step = 0; step < 3000; step++)
        {
            if (held.Count > 0 && random.OneIn(2))
            {
                var i = random.Below(held.Count);
                BufferArena.Give(arena, memory.Region.Address, held[i].Unit, held[i].Log2);
                held.RemoveAt(i);
                continue;
            }
            var log2 = BufferClass.Log2(random.Below(BufferClass.Count));
            var unit = BufferArena.Take(arena, memory.Region.Address, log2);
            if (unit == 0)
                continue;
            Assert.True(BufferArena.Contains(arena, unit, log2));
            Assert.DoesNotContain(held, h => Overlap(h, (unit, log2)));
            held.Add((unit, log2));
        }
        Assert.True(arena->Refused > 0, "the arena was to run full");
        foreach (var (unit, log2) in held)
            BufferArena.Give(arena, memory.Region.Address, unit, log2);
        for (var size = 0; size < BufferClass.Count; size++)
            Assert.Equal(0, memory.BuffersInUse(size));
    }

    [Fact]
    public void The_largest_rings_lie_where_huge_pages_do()
    {
        using var memory = new TestRegion(32 << 20);
        var arena = &memory.Region.Tables->Buffers;
        Assert.NotEqual(0u, BufferArena.Take(arena, memory.Region.Address, BufferClass.Log2(0)));
        for (var i = 0; i < 3; i++)
        {
            var unit = BufferArena.Take(arena, memory.Region.Address, BufferClass.Log2(BufferClass.Count - 1));
            Assert.NotEqual(0u, unit);
            Assert.Equal(0ul, ((ulong)unit << BufferArena.UnitLog2) % (2 << 20));
        }
    }

    [Fact]
    public void A_lock_lets_one_in_at_a_time()
    {
        var word = 0;
        var inside = 0;
        var clashes = 0;
        long total = 0;
        Parallel(4, seed =>
        {
            for (var i = 0; i < 20_000; i++)
            {
                if (!SharedLock.Enter(ref word, seed + 1, new People()))
                    Interlocked.Increment(ref clashes);
                if (++inside != 1)
                    Interlocked.Increment(ref clashes);
                total++;
                inside--;
                SharedLock.Exit(ref word);
            }
        });
        Assert.Equal(0, clashes);
        Assert.Equal(80_000, total);
        Assert.Equal(0, word);
    }

    [Fact]
    public void A_lock_is_taken_over_from_the_dead_and_says_so()
    {
        var word = 77;
        Assert.False(SharedLock.Enter(ref word, 5, new People { Dead = 77 }));
        Assert.Equal(5, word);
    }

    [Fact]
    public void A_lock_is_not_taken_from_the_living()
    {
        var word = 77;
        var people = new People { YieldsUntilExit = 3 * 2000, Exit = () => Volatile.Write(ref word, 0) };
        Assert.True(SharedLock.Enter(ref word, 5, people));
        Assert.True(people.Asked >= 2);
        Assert.False(SharedLock.TryEnter(ref word, 6));
    }

    static bool Overlap((uint Unit, int Log2) a, (uint Unit, int Log2) b) =>
        a.Unit < End(b) && b.Unit < End(a);

    static uint End((uint Unit, int Log2) ring) => ring.Unit + (1u << (ring.Log2 - BufferArena.UnitLog2));

    static void Parallel(int threads, Action<int> work)
    {
        var all = Enumerable.Range(0, threads).Select(i => new Thread(() => work(i))).ToList();
        all.ForEach(t => t.Start());
        all.ForEach(t => t.Join());
    }

    sealed class Slots : IDisposable
    {
        public readonly FreeList* List = (FreeList*)NativeMemory.AllocZeroed((nuint)sizeof(FreeList));
        readonly byte* _slots;

        public Slots(int capacity)
        {
            _slots = (byte*)NativeMemory.AllocZeroed((nuint)(capacity * Stride));
            List->Capacity = (uint)capacity;
        }

        public int Take() => FreeList.Take(List, _slots, Stride);

        public void Give(int index) => FreeList.Give(List, _slots, Stride, index);

        public void Dispose()
        {
            NativeMemory.Free(_slots);
            NativeMemory.Free(List);
        }
    }

    /// <summary>Says who is alive: all but one.</summary>
    sealed class People : ILiveness
    {
        public int Dead;
        public int Asked;
        public int YieldsUntilExit = -1;
        public Action Exit = () => { };

        public bool IsThreadAlive(int tid)
        {
            Asked++;
            return tid != Dead;
        }

        public void Yield()
        {
            if (YieldsUntilExit-- == 0)
                Exit();
            Thread.Yield();
        }

        public void Sleep(int* word, int value) => Thread.Sleep(1);

        public void Wake(int* word) { }
    }
}
