using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Tests;

/// <summary>The stack's lock and what is left to its holder.</summary>
public sealed unsafe class StackLockTests : IDisposable
{
    readonly StackLock* _lock = (StackLock*)NativeMemory.AllocZeroed((nuint)sizeof(StackLock));
    readonly People _people = new();

    public void Dispose() => NativeMemory.Free(_lock);

    List<int> Leave(int tid)
    {
        var done = new List<int>();
        for (int slot; (slot = StackLock.Exit(_lock, tid, _people)) >= 0;)
        {
            Assert.Equal(tid, _lock->Word);
            done.Add(slot);
            StackLock.Done(_lock, slot);
        }
        return done;
    }

    [Fact]
    public void One_is_inside_at_a_time_and_each_slot_is_done_once()
    {
        const int Threads = 4, Rounds = 5_000;
        int inside = 0, clashes = 0;
        long total = 0, unpaid = 0;
        var asked = new int[StackLock.Slots];
        var threads = Enumerable.Range(1, Threads).Select(tid => new Thread(() =>
        {
            for (var i = 0; i < Rounds; i++)
            {
                // A slot of one's own: asked again only once it was done.
                var slot = tid * 50;
                var defer = i % 3 == 0 && Interlocked.CompareExchange(ref asked[slot], 1, 0) == 0;
                if (defer && !StackLock.Defer(_lock, slot, tid, _people))
                    continue;
                if (!defer && !StackLock.Enter(_lock, tid, _people))
                    Interlocked.Increment(ref clashes);
                if (++inside != 1)
                    Interlocked.Increment(ref clashes);
                total++;
                inside--;
                for (int left; (left = StackLock.Exit(_lock, tid, _people)) >= 0;)
                {
                    StackLock.Done(_lock, left);
                    if (Interlocked.Exchange(ref asked[left], 0) != 1)
                        Interlocked.Increment(ref unpaid);
                }
            }
        })).ToList();
        threads.ForEach(t => t.Start());
        threads.ForEach(t => t.Join());
        Assert.Equal(0, clashes);
        Assert.Equal(0, unpaid);
        Assert.InRange(total, 1, Threads * Rounds);
        Assert.All(asked, a => Assert.Equal(0, a));
        Assert.Equal(0, _lock->Word);
    }

    [Fact]
    public void A_slot_left_to_the_holder_is_done_by_it_once()
    {
        Assert.True(StackLock.Enter(_lock, 1, _people));
        Assert.False(StackLock.Defer(_lock, 3, 2, _people));
        Assert.False(StackLock.Defer(_lock, 255, 2, _people));
        Assert.False(StackLock.Defer(_lock, 3, 1, _people));
        Assert.Equal([3, 255], Leave(1));
        Assert.Equal(0, _lock->Word);
        Assert.True(StackLock.TryEnter(_lock, 2));
        Assert.Empty(Leave(2));
    }

    [Fact]
    public void A_slot_left_to_nobody_is_the_callers()
    {
        Assert.True(StackLock.Defer(_lock, 64, 2, _people));
        Assert.False(StackLock.TryEnter(_lock, 3));
        Assert.Equal([64], Leave(2));
        Assert.False(StackLock.Defer(_lock, StackLock.Slots, 2, _people));
        Assert.Equal(0, _lock->Word);
    }

    [Fact]
    public void What_was_left_to_a_holder_that_died_is_done_by_the_next()
    {
        Assert.True(StackLock.Enter(_lock, 77, _people));
        Assert.False(StackLock.Defer(_lock, 9, 2, _people));
        // It dies in the middle of the work.
        Assert.Equal(9, StackLock.Exit(_lock, 77, _people));
        _people.Dead = 77;
        Assert.False(StackLock.Enter(_lock, 5, _people));
        Assert.Equal([9], Leave(5));
    }

    [Fact]
    public void Who_leaves_a_slot_to_a_dead_holder_becomes_the_holder()
    {
        Assert.True(StackLock.Enter(_lock, 77, _people));
        _people.Dead = 77;
        Assert.True(StackLock.Defer(_lock, 9, 2, _people));
        Assert.Equal([9], Leave(2));
    }

    [Fact]
    public void Who_waits_long_sleeps_and_is_woken()
    {
        Assert.True(StackLock.Enter(_lock, 1, _people));
        var waiter = new Thread(() =>
        {
            Assert.True(StackLock.Enter(_lock, 2, _people));
            Leave(2);
        });
        waiter.Start();
        Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref _people.Slept) > 2, 20_000));
        Leave(1);
        waiter.Join();
        Assert.True(_people.Woken > 0);
        Assert.Equal(0, _lock->Word);
    }

    /// <summary>All but one are alive. Sleep ends by itself.</summary>
    sealed class People : ILiveness
    {
        public int Dead, Slept, Woken;

        public bool IsThreadAlive(int tid) => tid != Dead;

        public void Yield() => Thread.Yield();

        public void Sleep(int* word, int value)
        {
            Interlocked.Increment(ref Slept);
            Thread.Sleep(1);
        }

        public void Wake(int* word) => Interlocked.Increment(ref Woken);
    }
}
