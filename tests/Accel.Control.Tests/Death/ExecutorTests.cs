using System.Diagnostics;
using Accel.Control.Handover;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Testing.Death;

namespace Accel.Control.Tests.Death;

/// <summary>
/// acceld ends the connections of a stack that may have been hostile, and of which a process may have stayed that
/// acceld does not know of and that still writes to the regions.
/// </summary>
public sealed unsafe class ExecutorTests : IDisposable
{
    const int FirstPort = 5000;

    readonly FakeKernel _kernel = new();
    readonly List<string> _log = [];
    DeadStack _stack = new();
    Estate? _estate;

    public void Dispose()
    {
        _estate?.Dispose();
        _stack.Dispose();
    }

    static Endpoint Here(int number) => DeadRegions.V4(10, 77, 0, 1, FirstPort + number);

    static Endpoint There(int number) => DeadRegions.V4(10, 77, 0, 2, 80 + number);

    static byte[] Bytes(int number) => [.. Enumerable.Range(number, 1000 + number).Select(i => (byte)i)];

    void Add(int count)
    {
        for (var i = 0; i < count; i++)
            _stack.Dead.Add(Here(i), There(i), Bytes(i), 10 * i);
    }

    Executor Begin(Func<Endpoint, bool>? isOwn = null, bool mayClose = true, int milliseconds = 10_000)
    {
        _estate ??= _stack.Find()!;
        Executor executor = new(_estate, _log.Add, _kernel.Make) { MostMilliseconds = milliseconds };
        executor.Begin(isOwn ?? (_ => true), mayClose);
        return executor;
    }

    static void Finish(Executor executor)
    {
        for (var i = 0; i < 30 && !executor.TryFinish(); i++)
            continue;
        Assert.True(executor.IsDone);
    }

    Executor Run(Func<Endpoint, bool>? isOwn = null, bool mayClose = true)
    {
        var executor = Begin(isOwn, mayClose);
        Finish(executor);
        return executor;
    }

    [Fact]
    public void The_kernel_gets_the_names_the_numbers_and_the_bytes()
    {
        Add(5);
        var executor = Run();
        Assert.Equal((5, 0), (executor.Closed, executor.Resets.Count));
        foreach (var (i, made) in _kernel.Made.Index())
        {
            Assert.Equal((Here(i), There(i)), (made.Local, made.Remote));
            Assert.Equal(((uint)(10 * i), (uint)(1000 + i - 10 * i)), (made.Image.Sent, made.Image.Unsent));
            Assert.Equal(Bytes(i), made.Bytes);
        }
    }

    [Fact]
    public void A_name_that_is_not_the_stacks_is_neither_used_nor_reset()
    {
        Add(4);
        _stack.Dead.InOf(2)->Tail++;
        _stack.Dead.InOf(3)->Tail++;
        var executor = Run(name => name.Port is FirstPort or FirstPort + 2);
        Assert.Equal([Here(0)], _kernel.Made.Select(made => made.Local));
        Assert.Equal([Here(2)], executor.Resets.Select(one => one.Route.Local));
        Assert.Contains("2 connections", string.Join('\n', _log), StringComparison.Ordinal);
    }

    [Fact]
    public void Two_of_one_name_are_reset_once()
    {
        Add(3);
        _stack.Dead.BlockAt(2)->Route = _stack.Dead.BlockAt(0)->Route;
        var executor = Run();
        Assert.Equal([Here(1)], _kernel.Made.Select(made => made.Local));
        Assert.Equal([Here(0)], executor.Resets.Select(one => one.Route.Local));
    }

    [Fact]
    public void What_the_kernel_refuses_is_reset()
    {
        Add(3);
        _kernel.Takes = () => false;
        var executor = Run();
        Assert.Equal((0, 3), (executor.Closed, executor.Resets.Count));
        Assert.Contains("test", Assert.Single(_log), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void All_are_reset_without_their_bytes_or_while_somebody_may_write_them(bool hasLocal)
    {
        Add(3);
        if (!hasLocal)
            _stack.Local.Tables->Header.Kind = RegionKind.Stack;
        var executor = Run(mayClose: !hasLocal);
        Assert.Empty(_kernel.Made);
        Assert.Equal(3, executor.Resets.Count);
    }

    /// <summary>A process that acceld never heard of holds the memory: what was checked is what is done.</summary>
    [Fact]
    public void What_is_written_after_it_was_looked_at_does_not_count()
    {
        Add(3);
        using var waits = new SemaphoreSlim(0);
        _kernel.Takes = () => waits.Wait(10_000);
        var executor = Begin();
        for (var i = 0; i < 3; i++)
        {
            var block = _stack.Dead.BlockAt(i);
            block->Route.Local = DeadRegions.V4(10, 77, 0, 1, 22);
            block->Route.Remote.Port = 1;
            block->Tcb.SndUna += 1;
            var pipe = _stack.Dead.OutOf(i);
            (pipe->ReadBuffer, pipe->ReadLog2, pipe->Tail) = (1, 99, ulong.MaxValue);
            _stack.Dead.InOf(i)->Tail += 1000;
            block->Conn = uint.MaxValue;
        }
        _stack.Local.Tables->Buffers.EndByte = ulong.MaxValue;
        _stack.Local.Tables->Buffers.FirstByte = 0;
        waits.Release(3);
        Finish(executor);
        Assert.Equal(Enumerable.Range(0, 3).Select(Here), _kernel.Made.Select(made => made.Local));
        Assert.Equal(Enumerable.Range(0, 3).Select(There), _kernel.Made.Select(made => made.Remote));
        Assert.Equal(Enumerable.Range(0, 3).Select(Bytes), _kernel.Made.Select(made => made.Bytes));
    }

    /// <summary>Each block with a name of its own, half of them with streams: the broker's thread looks at them.
    /// </summary>
    [Fact]
    public void A_full_region_takes_no_long_time()
    {
        _stack.Dispose();
        _stack = new DeadStack(localBytes: LocalRegion.FixedBytes + LocalRegion.MaxConns * (2L << 14));
        for (var i = 0; i < NicRegion.MaxBlocks; i++)
        {
            Endpoint here = DeadRegions.V4(10, (byte)(i >> 8), (byte)i, 1, 1 + i % 65535), there = There(0);
            if (i < LocalRegion.MaxConns)
                _stack.Dead.Add(here, there, []);
            else
            {
                *_stack.Nic.BlockAt(i) = *_stack.Nic.BlockAt(0);
                _stack.Nic.BlockAt(i)->Route.Local = here;
            }
        }
        _stack.Nic.Tables->Blocks.Bumped = uint.MaxValue;
        var began = Stopwatch.GetTimestamp();
        var executor = Begin();
        var took = Stopwatch.GetElapsedTime(began);
        Assert.True(took.TotalSeconds < 3, $"{took.TotalSeconds:0.0} s");
        Finish(executor);
        Assert.Equal(NicRegion.MaxBlocks, executor.Closed + executor.Resets.Count);
        Assert.Equal(LocalRegion.MaxConns, executor.Closed);
    }

    /// <summary>Rings where nothing was ever written: to read them would take memory that their owner never had.
    /// </summary>
    [Fact]
    public void Bytes_that_never_were_are_not_sent()
    {
        const int count = 200;
        const ulong queue = 1 << 22;
        _stack.Dispose();
        _stack = new DeadStack(localBytes: LocalRegion.FixedBytes + count * (5L << 20) + (16 << 20));
        for (var i = 0; i < count; i++)
        {
            _stack.Dead.Add(Here(i), There(i), []);
            var pipe = _stack.Dead.OutOf(i);
            pipe->ReadBuffer = BufferArena.Take(&_stack.Local.Tables->Buffers, _stack.Local.Address, 22);
            pipe->ReadLog2 = 22;
            pipe->Tail = pipe->Head + queue;
        }
        var before = _stack.LocalMemory;
        Assert.True(before < 1 << 20, $"{before}");
        var executor = Run();
        Assert.Equal((0, count), (executor.Closed, executor.Resets.Count));
        Assert.Equal(before, _stack.LocalMemory);
    }

    /// <summary>A ring that many connections have is sent as often as it was really written.</summary>
    [Fact]
    public void One_ring_is_not_sent_for_a_thousand_connections()
    {
        const int count = 1000, bytes = 200_000;
        _stack.Dispose();
        _stack = new DeadStack(localBytes: LocalRegion.FixedBytes + (64 << 20));
        for (var i = 0; i < count; i++)
        {
            _stack.Dead.Add(Here(i), There(i), i == 0 ? new byte[bytes] : []);
            *_stack.Dead.OutOf(i) = *_stack.Dead.OutOf(0);
        }
        var before = _stack.LocalMemory;
        var executor = Run();
        Assert.Equal(count, executor.Closed + executor.Resets.Count);
        Assert.InRange(executor.Closed, 1, (int)(before / bytes));
        Assert.InRange(before, 0ul, 4ul << 20);
    }

    /// <summary>A kernel that is slow with each of them, as with an end of the peer's that it does not take.</summary>
    [Fact]
    public void What_takes_too_long_is_reset()
    {
        Add(100);
        _kernel.Takes = () =>
        {
            Thread.Sleep(50);
            return true;
        };
        var began = Stopwatch.GetTimestamp();
        var executor = Begin(milliseconds: 300);
        Finish(executor);
        Assert.InRange(Stopwatch.GetElapsedTime(began).TotalMilliseconds, 0, 2500);
        Assert.InRange(executor.Closed, 1, 20);
        Assert.Equal(100, executor.Closed + executor.Resets.Count);
    }

    /// <summary>Anything anywhere: names of the stack's own, queues of no more than two rings, and an end.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Spoilt_regions_cost_their_owner_its_connections(ulong seed)
    {
        const int rounds = 40, count = 50;
        var random = new Accel.Testing.Prng(seed);
        var closed = 0;
        for (var round = 0; round < rounds; round++)
        {
            _estate?.Dispose();
            _estate = null;
            _stack.Dispose();
            _stack = new DeadStack();
            _kernel.Made.Clear();
            Add(count);
            // It was mapped when the stack came; what is written later is seen.
            _estate = _stack.Find();
            for (var i = 0; i < count; i++)
                _stack.Dead.Spoil(random, i);
            var executor = Run(name => name.Port is >= FirstPort and < FirstPort + count
                && name.SameAddress(Here(0)));
            foreach (var made in _kernel.Made)
            {
                Assert.True(made.Local.SameAddress(Here(0)));
                Assert.InRange(made.Local.Port, FirstPort, FirstPort + count - 1);
                Assert.InRange(made.Bytes.Length, 0, 2 << 22);
            }
            Assert.Equal(_kernel.Made.Count, _kernel.Made.DistinctBy(made => (made.Local, made.Remote)).Count());
            closed += executor.Closed;
        }
        Assert.True(closed > rounds * count / 20, $"{closed} closed");
    }
}
