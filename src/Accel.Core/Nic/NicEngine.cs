using Accel.Core.Ip;
using Accel.Core.Local;
using Accel.Core.Memory;

namespace Accel.Core.Nic;

/// <summary>
/// The engine of a stack's network path: frames of the links on one side, streams of the own local region on the other,
/// TCP between. All state lies in the region, so that each process of the family has an object of this kind and any may
/// run it. What is not said to need no lock is called between <see cref="TryEnter"/> or <see cref="Enter"/> and
/// <see cref="Exit"/>.
/// </summary>
public sealed unsafe class NicEngine
{
    private readonly NicRegion _region;

    /// <param name="region">The region of the network path.</param>
    /// <param name="local">The stack's own local region, where its connections and listeners are.</param>
    /// <param name="host">Tells the programs what happened.</param>
    /// <param name="liveness">Finds out whether a thread has died.</param>
    /// <param name="links">In the order of <see cref="NicRegion.LinkAt"/>.</param>
    /// <param name="tables">Routes and neighbours.</param>
    [ColdPath]
    public NicEngine(NicRegion region, LocalRegion local, INicHost host, ILiveness liveness, ILink[] links,
        INetTables tables)
    {
        _region = region;
        _ = (local, host, liveness, links, tables);
    }

    public NicRegion Region => _region;

    /// <summary>When frames were last looked for, and when there was anything to do. No lock.</summary>
    public long LastPollNs => Volatile.Read(ref _region.Tables->LastPollNs);

    public long LastActivityNs => Volatile.Read(ref _region.Tables->LastActivityNs);

    /// <summary>When <see cref="Poll"/> should be called although nothing arrives; long.MaxValue: never. No lock.
    /// </summary>
    public long NextDeadline => Volatile.Read(ref _region.Tables->NextDeadlineNs);

    /// <summary>True if there is something to do apart from frames that wait on a link. No lock, cheap.</summary>
    public bool HasWork(long nowNs) => false;

    /// <summary>A neighbour is to be asked for: take the lock and call <see cref="TryTakeUnresolved"/>. No lock.
    /// </summary>
    public bool HasUnresolved => false;

    /// <summary>Takes the lock if it is free, or its holder has died. False: the holder does what was kicked.</summary>
    public bool TryEnter(int tid) => false;

    /// <summary>Takes the lock; waits for it if it must.</summary>
    public void Enter(int tid)
    {
    }

    /// <summary>
    /// Runs every connection that was kicked, and leaves the lock. Looks again afterwards: who kicked meanwhile and did
    /// not get the lock need not come back.
    /// </summary>
    public void Exit(int tid, long nowNs)
    {
    }

    /// <summary>The program did something to its end of a connection. No lock.</summary>
    public void Kick(int conn)
    {
    }

    /// <summary>
    /// Takes what has arrived, at most <paramref name="budget"/> buffers, does what timers ask for, and sends. Returns
    /// the frames handled. Queued frames leave with the next <see cref="Flush"/>.
    /// </summary>
    public int Poll(long nowNs, int budget) => 0;

    /// <summary>Frames queued on all links. No lock: a guess then.</summary>
    public int Unflushed => 0;

    /// <summary>Rings the doorbells of all links that something was queued on.</summary>
    public void Flush()
    {
    }

    /// <summary>
    /// Opens a connection. Its <see cref="Conn"/> was just taken: side 0 is the program's, with its holders, limits and
    /// names written; the engine becomes side 1. How it goes on is seen through <see cref="NicConn"/>, and told to side
    /// 0. Addresses are plain ones (no v4-mapped). After an error the Conn is still the caller's alone.
    /// </summary>
    public NicError Connect(int conn, in Endpoint local, in Endpoint remote, in Route route, in NicSettings settings,
        long nowNs) => NicError.NoLink;

    /// <summary>
    /// Connections to a listener of the local region come from the links too from now on. A wildcard address of IPv6
    /// takes IPv4 as well, unless the listener is V6Only. Once more with the same index: other settings.
    /// </summary>
    public bool Listen(int listener, in Endpoint local, in NicSettings settings) => false;

    /// <summary>
    /// Ends that. Half-open connections are forgotten; what is in the accept queue is the caller's to reset. False if
    /// it did not listen.
    /// </summary>
    public bool Unlisten(int listener) => false;

    /// <summary>Options of a connection have changed.</summary>
    public bool Configure(int conn, in NicSettings settings, long nowNs) => false;

    /// <summary>An ICMP error that the control plane heard of.</summary>
    public void OnIcmp(in IcmpEvent report, long nowNs)
    {
    }

    /// <summary>The next neighbour to ask the kernel for.</summary>
    public bool TryTakeUnresolved(out int interfaceIndex, out Endpoint neighbour)
    {
        interfaceIndex = 0;
        neighbour = default;
        return false;
    }

    /// <summary>Everything that programs wrote and closed has been sent and acknowledged. No lock: soon out of date.
    /// </summary>
    public bool IsDrained => true;

    /// <summary>The last process of the family ends in disorder: resets every connection.</summary>
    public void AbortAll(long nowNs)
    {
    }

    /// <summary>The control plane has other tables.</summary>
    public void SetTables(INetTables tables) => _ = tables;
}
