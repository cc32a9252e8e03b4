namespace Accel.Core.Local;

/// <summary>
/// A listener's accept queue as those see it who fill it: clients of the local path, the engine of the network path.
/// </summary>
public static unsafe class AcceptQueue
{
    /// <summary>True if <see cref="TryCountIn"/> would say no now.</summary>
    public static bool IsFull(Listener* listener) => Volatile.Read(ref listener->Queued) > (int)listener->Backlog;

    /// <summary>Counts a connection against the backlog. Linux lets one more in than it says.</summary>
    public static bool TryCountIn(Listener* listener)
    {
        while (true)
        {
            int queued = Volatile.Read(ref listener->Queued);
            if (queued > (int)listener->Backlog)
                return false;
            if (Interlocked.CompareExchange(ref listener->Queued, queued + 1, queued) == queued)
                return true;
        }
    }

    /// <summary>A connection that was counted does not come.</summary>
    public static void CountOut(Listener* listener) => Interlocked.Decrement(ref listener->Queued);

    /// <summary>A client takes its queued connection elsewhere. False: it has been accepted.</summary>
    public static bool TryWithdraw(Conn* conn) => TryChange(conn, ConnState.Queued, ConnState.Withdrawn);

    /// <summary>It could not be taken anywhere: it is queued as before, if accept() has not passed it by now.</summary>
    public static void TakeBack(Conn* conn) => TryChange(conn, ConnState.Withdrawn, ConnState.Queued);

    private static bool TryChange(Conn* conn, ConnState from, ConnState to) =>
        Interlocked.CompareExchange(ref conn->State, (uint)to, (uint)from) == (uint)from;

    /// <summary>Puts a connection before the newest of a list.</summary>
    public static void Push(LocalRegion region, ref uint list, int connIndex)
    {
        Conn* conn = region.ConnAt(connIndex);
        while (true)
        {
            uint newest = Volatile.Read(ref list);
            conn->Next = newest;
            if (Interlocked.CompareExchange(ref list, (uint)connIndex + 1, newest) == newest)
                return;
        }
    }

    /// <summary>
    /// Puts a connection that was counted and is Queued into the list that accept() takes from. False if the listener
    /// has been closed meanwhile, with nobody left to see it: the caller resets the connection if it still waits.
    /// Otherwise the caller tells the listener's watchers.
    /// </summary>
    public static bool Enqueue(LocalRegion region, int listenerIndex, int connIndex, ulong ticks)
    {
        Listener* listener = region.ListenerAt(listenerIndex);
        listener->Stamp = ticks;
        Push(region, ref listener->Arrived, connIndex);
        return Volatile.Read(ref listener->Generation) == region.ConnAt(connIndex)->ListenerGeneration;
    }
}
