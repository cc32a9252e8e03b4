using Accel.Core.Local;

namespace Accel.Core.Tests;

/// <summary>
/// A process dies in the middle: others finish what it was at, once; and nobody who comes late touches the connection
/// that has the slot by then.
/// </summary>
public unsafe class DeathTests
{
    private const uint Master = 1 << 8, Worker = 1 << 8 | 3, Client = 2 << 8;

    [Fact]
    public void Who_closes_late_does_not_reach_the_next_connection_of_the_slot()
    {
        // Master and client both find that a worker has died, whose end is to be closed.
        using var memory = new TestRegion();
        var region = memory.Region;
        var index = region.TakeConn(2, 0);
        var conn = region.ConnAt(index);
        var generation = conn->Generation;
        Assert.True(ConnClaim.TryTake(ConnClaim.CloserOf(conn, 1), generation, Client));
        Assert.False(region.CloseSide(index, 1, Client));
        Assert.True(ConnClaim.TryTake(ConnClaim.CloserOf(conn, 0), generation, Client));
        Assert.True(region.CloseSide(index, 0, Client));
        region.FreeConn(index);
        Assert.Equal(index, region.TakeConn(2, 0));

        Assert.False(ConnClaim.TryTake(ConnClaim.CloserOf(conn, 1), generation, Master));
        Assert.False(region.TryFree(index, generation, Master));
        Assert.Equal(0u, conn->ClosedMask);
        Assert.True(ConnClaim.TryTake(ConnClaim.CloserOf(conn, 1), conn->Generation, Master));
    }

    [Fact]
    public void One_alone_gives_a_connection_back_of_which_both_ends_close_at_once()
    {
        using var memory = new TestRegion();
        var region = memory.Region;
        var index = region.TakeConn(2, 0);
        var generation = region.ConnAt(index)->Generation;
        Assert.False(region.CloseSide(index, 0, Client));
        Assert.True(region.CloseSide(index, 1, Master));
        Assert.False(region.TryFree(index, generation, Client));
    }

    [Fact]
    public void What_a_dead_process_had_begun_is_taken_over_once()
    {
        using var memory = new TestRegion();
        var region = memory.Region;
        var conn = region.ConnAt(region.TakeConn(2, 0));
        var closer = ConnClaim.CloserOf(conn, 1);
        Assert.True(ConnClaim.TryTake(closer, conn->Generation, Worker));
        Assert.Equal(0u, ConnClaim.TakeOver(closer, Client, Master));
        Assert.Equal(conn->Generation, ConnClaim.TakeOver(closer, Worker, Master));
        Assert.Equal(0u, ConnClaim.TakeOver(closer, Worker, Client));
    }

    /// <summary>A listener with connections 0, 1, 2 that came in this order.</summary>
    private static Listener* Queue(LocalRegion region, out int index)
    {
        index = region.TakeListener();
        var listener = region.ListenerAt(index);
        listener->Generation = 1;
        listener->Backlog = 8;
        for (var i = 0; i < 3; i++)
        {
            var conn = region.ConnAt(region.TakeConn(2, 0));
            conn->Listener = (uint)index;
            conn->ListenerGeneration = 1;
            Assert.True(AcceptQueue.TryCountIn(listener));
            conn->State = (uint)ConnState.Queued;
            Assert.True(AcceptQueue.Enqueue(region, index, i, 0));
        }
        return listener;
    }

    private static void AssertAllThere(LocalRegion region, int index)
    {
        var listener = region.ListenerAt(index);
        AcceptOrder.Recover(region, index);
        Assert.False(AcceptOrder.IsHalfDone(listener));
        Assert.Equal(3, listener->Queued);
        for (var i = 0; i < 3; i++)
        {
            Assert.Equal((uint)i + 1, AcceptOrder.First(region, listener));
            AcceptOrder.Unlink(region, listener, (uint)i + 1);
            region.ConnAt(i)->State = (uint)ConnState.Accepted;
            listener->Taking = 0;
        }
        Assert.Equal(0u, AcceptOrder.First(region, listener));
        Assert.True(AcceptOrder.IsEmpty(listener));
        Assert.Equal(0, listener->Queued);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Who_dies_while_it_puts_the_queue_in_order_loses_nobody(bool hasTaken)
    {
        using var memory = new TestRegion();
        var listener = Queue(memory.Region, out var index);
        listener->Batch = listener->Arrived;
        if (hasTaken)
            listener->Arrived = 0;
        AssertAllThere(memory.Region, index);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void Who_dies_with_a_connection_in_hand_leaves_it_to_the_next(int step)
    {
        using var memory = new TestRegion();
        var listener = Queue(memory.Region, out var index);
        var first = AcceptOrder.First(memory.Region, listener);
        var (queued, ordered) = (listener->Queued, listener->Ordered);
        AcceptOrder.Unlink(memory.Region, listener, first);
        if (step < 2)
            listener->Ordered = ordered;
        if (step < 1)
            listener->Queued = queued;
        AssertAllThere(memory.Region, index);
    }

    [Fact]
    public void What_it_had_accepted_is_not_queued_again_in_its_next_life()
    {
        using var memory = new TestRegion();
        var region = memory.Region;
        var listener = Queue(region, out var index);
        var first = (int)AcceptOrder.First(region, listener) - 1;
        AcceptOrder.Unlink(region, listener, (uint)first + 1);
        region.FreeConn(first);
        Assert.Equal(first, region.TakeConn(2, 0));
        region.ConnAt(first)->State = (uint)ConnState.Queued;
        AcceptOrder.Recover(region, index);
        Assert.False(AcceptOrder.IsLinked(region, listener->Ordered, (uint)first + 1, inOrder: true));
        Assert.Equal(2, listener->Queued);
    }
}
