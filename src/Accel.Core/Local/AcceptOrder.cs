namespace Accel.Core.Local;

/// <summary>
/// A listener's accept queue as those see it who empty it, under its lock: clients push newest first, and accept()
/// takes oldest first. A thread that is killed in the middle leaves what the next one needs to go on.
/// </summary>
public static unsafe class AcceptOrder
{
    /// <summary>Index plus one of the oldest connection; 0: there is none.</summary>
    public static uint First(LocalRegion region, Listener* listener)
    {
        while (listener->Ordered == 0)
        {
            uint newest = Volatile.Read(ref listener->Arrived);
            if (newest == 0)
                return 0;
            Volatile.Write(ref listener->Batch, newest);
            if (Interlocked.CompareExchange(ref listener->Arrived, 0, newest) == newest)
                Order(region, listener);
        }
        return listener->Ordered;
    }

    /// <summary>Takes the first out. Its Taking stays until it is known whose it is.</summary>
    public static void Unlink(LocalRegion region, Listener* listener, uint first)
    {
        listener->TakingGeneration = region.ConnAt((int)first - 1)->Generation;
        Volatile.Write(ref listener->Taking, first);
        Interlocked.Decrement(ref listener->Queued);
        Volatile.Write(ref listener->Ordered, region.ConnAt((int)first - 1)->Later);
    }

    /// <summary>A thread was killed in the middle, or is in it.</summary>
    public static bool IsHalfDone(Listener* listener) =>
        (Volatile.Read(ref listener->Batch) | Volatile.Read(ref listener->Taking)) != 0;

    /// <summary>Looked at in the order in which connections go, so that one that moves meanwhile is seen.</summary>
    public static bool IsEmpty(Listener* listener) =>
        (Volatile.Read(ref listener->Arrived) | Volatile.Read(ref listener->Batch)
            | Volatile.Read(ref listener->Ordered) | Volatile.Read(ref listener->Taking)) == 0;

    /// <summary>Goes on where a thread was killed that had the lock. Cheap if none was.</summary>
    public static void Recover(LocalRegion region, int index)
    {
        Listener* listener = region.ListenerAt(index);
        if (!IsHalfDone(listener))
            return;
        GoOn(region, listener);
        Recount(region, listener, (uint)index);
    }

    /// <summary>
    /// Whether it had counted out what it took is not known. Clients come meanwhile, who count themselves in a moment
    /// before they can be seen: the difference is what it stays at.
    /// </summary>
    private static void Recount(LocalRegion region, Listener* listener, uint index)
    {
        const int Looks = 16;
        int off = 0;
        for (int look = 0; look < Looks; look++)
        {
            int now = Volatile.Read(ref listener->Queued);
            int difference = CountQueued(region, listener, index) - now;
            if (difference != off)
                look = 0;
            off = difference;
            if (off == 0)
                return;
        }
        Interlocked.Add(ref listener->Queued, off);
    }

    private static int CountQueued(LocalRegion region, Listener* listener, uint index)
    {
        int count = (int)Math.Min(region.Tables->Conns.Bumped, LocalRegion.MaxConns), queued = 0;
        for (int i = 0; i < count; i++)
        {
            Conn* conn = region.ConnAt(i);
            if (conn->Listener == index && conn->ListenerGeneration == listener->Generation
                && Volatile.Read(ref conn->State) is (uint)ConnState.Queued or (uint)ConnState.Withdrawn)
                queued++;
        }
        return queued;
    }

    private static void GoOn(LocalRegion region, Listener* listener)
    {
        uint batch = listener->Batch, taking = listener->Taking;
        // Only where it has left the list of arrivals; in that it is the one that was pushed last, or behind that.
        uint arrived = Volatile.Read(ref listener->Arrived);
        if (batch != 0 && listener->Ordered == 0 && !IsLinked(region, arrived, batch, inOrder: false))
            Order(region, listener);
        listener->Batch = 0;
        if (taking - 1 < LocalRegion.MaxConns && !IsLinked(region, listener->Ordered, taking, inOrder: true)
            && region.ConnAt((int)taking - 1)->Generation == listener->TakingGeneration
            && Volatile.Read(ref region.ConnAt((int)taking - 1)->State) == (uint)ConnState.Queued)
        {
            region.ConnAt((int)taking - 1)->Later = listener->Ordered;
            Volatile.Write(ref listener->Ordered, taking);
        }
        listener->Taking = 0;
    }

    /// <summary>May be begun again: what it reads it does not write.</summary>
    private static void Order(LocalRegion region, Listener* listener)
    {
        uint later = 0, at = listener->Batch;
        for (int steps = 0; at != 0 && at <= LocalRegion.MaxConns && steps < LocalRegion.MaxConns; steps++)
        {
            Conn* conn = region.ConnAt((int)at - 1);
            conn->Later = later;
            later = at;
            at = conn->Next;
        }
        Volatile.Write(ref listener->Ordered, later);
        Volatile.Write(ref listener->Batch, 0);
    }

    /// <summary>True if a connection (index plus one) is in a list: of those in order, or of arrivals.</summary>
    public static bool IsLinked(LocalRegion region, uint at, uint wanted, bool inOrder)
    {
        for (int steps = 0; at != 0 && at <= LocalRegion.MaxConns && steps < LocalRegion.MaxConns; steps++)
        {
            if (at == wanted)
                return true;
            Conn* conn = region.ConnAt((int)at - 1);
            at = inOrder ? conn->Later : conn->Next;
        }
        return false;
    }
}
