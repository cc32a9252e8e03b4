using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// Connections that wait in the accept queue of a listener whose processes may all be busy, while others that know
/// nothing of the queue are not: their clients are asked to come through the kernel, which they do at their next call,
/// or at once where they sleep. One that is accepted before stays.
/// </summary>
[ColdPath]
internal static unsafe class Beckoning
{
    private const int ByListener = 2;

    public static void All(PosixStack s, AccelThread* t, LocalRegion region, int listenerIndex)
    {
        int count = (int)Math.Min(region.Tables->Conns.Bumped, LocalRegion.MaxConns);
        uint generation = Volatile.Read(ref region.ListenerAt(listenerIndex)->Generation);
        for (int i = 0; i < count; i++)
        {
            Conn* conn = region.ConnAt(i);
            if (conn->Listener == (uint)listenerIndex && conn->ListenerGeneration == generation)
                One(s, t, region, i);
        }
    }

    /// <summary>Asks the client of a connection, if that still waits.</summary>
    public static void One(PosixStack s, AccelThread* t, LocalRegion region, int connIndex)
    {
        Conn* conn = region.ConnAt(connIndex);
        if (!IsQueued(conn) || NicConn.EngineSide(conn) >= 0
            || Interlocked.CompareExchange(ref conn->Leaving, ByListener, 0) != 0)
            return;
        Interlocked.Or(ref conn->Side1.Flags, (uint)SideFlags.Beckoned);
        if (!IsQueued(conn))
            End(conn);
        else
            Notifier.Notify(s, t, region, &conn->Side0, 2 * connIndex);
    }

    private static bool IsQueued(Conn* conn) => Volatile.Read(ref conn->State) == (uint)ConnState.Queued;

    /// <summary>It stays where it is: both ends may go on.</summary>
    public static void End(Conn* conn)
    {
        uint before = Interlocked.And(ref conn->Side1.Flags, ~(uint)SideFlags.Beckoned);
        if ((before & (uint)SideFlags.Beckoned) != 0)
            Interlocked.CompareExchange(ref conn->Leaving, 0, ByListener);
    }

    /// <summary>The client answers. Under both locks of the socket.</summary>
    public static void Follow(PosixStack s, AccelThread* t, Socket* socket, int index, in Wire wire)
    {
        int fd = Sockets.KernelDescriptor(s, index);
        if (fd >= 0 && Withdrawal.Try(s, t, socket, index, fd, in wire) == Core.Handover.HandoverRefusal.None)
        {
            s.Count(t, Counter.LiveHandovers);
            return;
        }
        End(wire.Conn);
        Notifier.Notify(s, t, wire.Region, wire.Me, wire.Source);
    }
}
