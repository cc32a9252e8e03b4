using System.Numerics;
using System.Runtime.InteropServices;
using Accel.Core.Capture;
using Accel.Core.Handover;
using Accel.Core.Ip;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Tcp;
using Accel.Core.Udp;

namespace Accel.Core.Nic;

/// <summary>
/// The engine of a stack's network path: frames of the links on one side, streams of the own local region on the other,
/// TCP between. All state lies in the region, so that each process of the family has an object of this kind and any may
/// run it. What is not said to need no lock is called between <see cref="TryEnter"/> or <see cref="Enter"/> and
/// <see cref="Exit"/>.
/// </summary>
public sealed unsafe class NicEngine
{
    /// <summary>Rounds over kicked connections before the lock is left all the same: others may run the next.</summary>
    private const int MaxRounds = 64;

    /// <summary>So often the same entry of the same holder must be met before it is looked whether it lives.</summary>
    private const int SuspectAfter = 8;

    /// <summary>Bytes of most of a super-frame: they do not wait for more.</summary>
    private const uint WorthSending = 48 << 10;

    private readonly NicCore _core;
    private readonly NicRegion _region;
    private readonly FrameRef* _frames;
    private int _owner;
    private int _metHolder;
    private uint _metEntry;
    private int _metTimes;

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
        _core = new NicCore(region, local, host, liveness, links, tables);
        _frames = (FrameRef*)NativeMemory.AllocZeroed(NicCore.Batch, (nuint)sizeof(FrameRef));
        NicTables* t = region.Tables;
        // The first engine of the family draws the keys; nothing runs before it is made.
        if (t->HashKey == 0)
        {
            t->Settings = TcpSettings.Linux(host.Random(), host.Random(), host.Random(), host.Random());
            t->HashKey = host.Random() | 1;
        }
        Udp = _core.Udp;
    }

    public NicRegion Region => _region;

    /// <summary>Datagrams. Its calls are under this engine's lock.</summary>
    public UdpEngine Udp { get; }

    /// <summary>Frames are copied there while somebody captures them.</summary>
    public void TapTo(CaptureTap tap)
    {
        _core.Tap = tap;
        _core.Udp.Output.Tap = tap;
    }

    /// <summary>When frames were last looked for, and when there was anything to do. No lock.</summary>
    public long LastPollNs => Volatile.Read(ref _region.Tables->LastPollNs);

    public long LastActivityNs => Volatile.Read(ref _region.Tables->LastActivityNs);

    /// <summary>When <see cref="Poll"/> should be called although nothing arrives; long.MaxValue: never. No lock.
    /// </summary>
    public long NextDeadline => Volatile.Read(ref _region.Tables->NextDeadlineNs);

    /// <summary>True if there is something to do apart from frames that wait on a link, and timers. No lock, cheap.
    /// </summary>
    public bool HasWork =>
        !NicSet.IsEmpty(_region.Kicked) || !NicSet.IsEmpty(_region.Stalled) || _core.Paths.HasNews;

    /// <summary>A neighbour is to be asked for: take the lock and call <see cref="TryTakeUnresolved"/>. No lock.
    /// </summary>
    public bool HasUnresolved => !NicSet.IsEmpty(_region.Asking);

    /// <summary>Nobody has the lock. No lock: a guess.</summary>
    public bool IsFree => Volatile.Read(ref _region.Tables->Lock.Word) == 0;

    /// <summary>Takes the lock if it is free, or its holder has died. False: the holder does what was kicked.</summary>
    public bool TryEnter(int tid)
    {
        StackLock* l = &_region.Tables->Lock;
        if (StackLock.TryEnter(l, tid))
        {
            Begin(tid, wasLeft: true);
            return true;
        }
        // A call from within: the engine called a program, whose answer comes back.
        if (Volatile.Read(ref _owner) == tid || !IsSuspect(l) || !StackLock.TakeFromDead(l, tid, _core.Liveness))
            return false;
        Begin(tid, wasLeft: false);
        return true;
    }

    /// <summary>Takes the lock; waits for it if it must.</summary>
    public void Enter(int tid)
    {
        StackLock* l = &_region.Tables->Lock;
        bool isFree = StackLock.TryEnter(l, tid);
        Begin(tid, isFree || StackLock.Enter(l, tid, _core.Liveness));
        if (!isFree)
            _core.Count(NicCounter.LockWaits);
    }

    /// <summary>True if the lock has been met in one and the same hand for some time. Only a hint, so without care for
    /// threads.</summary>
    private bool IsSuspect(StackLock* l)
    {
        int holder = Volatile.Read(ref l->Word);
        uint entry = Volatile.Read(ref _region.Tables->Entries);
        if (holder != _metHolder || entry != _metEntry)
        {
            _metHolder = holder;
            _metEntry = entry;
            _metTimes = 0;
            return false;
        }
        if (++_metTimes < SuspectAfter)
            return false;
        _metTimes = 0;
        return true;
    }

    private void Begin(int tid, bool wasLeft)
    {
        Volatile.Write(ref _owner, tid);
        _region.Tables->Entries++;
        foreach (ILink link in _core.Links)
            link.Tid = tid;
        if (!wasLeft)
            _core.Recovery.Run();
    }

    /// <summary>
    /// Runs every connection that was kicked, and leaves the lock. Looks again afterwards: who kicked meanwhile and did
    /// not get the lock need not come back.
    /// </summary>
    public void Exit(int tid, long nowNs)
    {
        _core.NowNs = nowNs;
        for (int round = 0; ; round++)
        {
            RunKicked();
            Volatile.Write(ref _region.Tables->NextDeadlineNs, _core.Timers.Next());
            Volatile.Write(ref _owner, 0);
            StackLock.Exit(&_region.Tables->Lock, tid, _core.Liveness);
            if (NicSet.IsEmpty(_region.Kicked) || round == MaxRounds || !TryEnter(tid))
                break;
        }
        // After leaving, which is a full fence: see SetAlarm.
        if (NextDeadline < Volatile.Read(ref _region.Tables->AlarmNs))
            RingAlarm();
    }

    [ColdPath]
    private void RingAlarm()
    {
        if (Interlocked.Exchange(ref _region.Tables->AlarmNs, 0) != 0)
            _core.Host.WakeTicker(_region.Tables->AlarmName);
    }

    /// <summary>
    /// The thread that keeps the timers goes to sleep until something is due, at the latest until
    /// <paramref name="latestNs"/>. Returns until when. If something is due earlier after this, it is woken. No lock.
    /// </summary>
    public long SetAlarm(long latestNs, ulong name)
    {
        NicTables* t = _region.Tables;
        Volatile.Write(ref t->AlarmName, name);
        long until;
        do
        {
            until = Math.Min(latestNs, NextDeadline);
            Volatile.Write(ref t->AlarmNs, until);
            // Whoever makes something due earlier now sees the alarm, or it is seen here.
            Interlocked.MemoryBarrier();
        }
        while (NextDeadline < until);
        return until;
    }

    /// <summary>
    /// A thread that is about to sleep asks whether it should wake up at <see cref="NextDeadline"/>, which it has read:
    /// yes, if nobody else does until then. Several at once may be told to, which costs a wake. No lock.
    /// </summary>
    public bool Keeps(int tid, long nowNs, long next)
    {
        NicTables* t = _region.Tables;
        long kept = Volatile.Read(ref t->KeptNs);
        if (kept > nowNs && kept <= next && Volatile.Read(ref t->Keeper) != tid)
            return false;
        Volatile.Write(ref t->Keeper, tid);
        Volatile.Write(ref t->KeptNs, next);
        return true;
    }

    /// <summary>It is awake. No lock.</summary>
    public void ClearAlarm() => Volatile.Write(ref _region.Tables->AlarmNs, 0);

    /// <summary>Looks at the connections whose programs did something, until there are none.</summary>
    private void RunKicked()
    {
        for (int round = 0; round < MaxRounds && !NicSet.IsEmpty(_region.Kicked); round++)
        {
            _core.Count(NicCounter.KickRounds);
            int words = 0;
            while (words++ < NicSet.Capacity / 64 && NicSet.TakeWord(_region.Kicked, out int first, out ulong bits))
                RunAll(first, bits);
        }
    }

    private void RunAll(int first, ulong bits)
    {
        for (; bits != 0; bits &= bits - 1)
        {
            int index = NicDemux.OfConn(_region, first + BitOperations.TrailingZeroCount(bits));
            if (index < 0)
                continue;
            _core.Count(NicCounter.Kicks);
            _core.Connections.Service(index);
        }
    }

    /// <summary>The same, and timers.</summary>
    public bool HasWorkAt(long nowNs) => HasWork || nowNs >= NextDeadline;

    /// <summary>The program did something to its end of a connection: looks at it at once.</summary>
    public void Serve(int conn, long nowNs)
    {
        _core.NowNs = nowNs;
        int index = (uint)conn < LocalRegion.MaxConns ? NicDemux.OfConn(_region, conn) : -1;
        if (index < 0)
            return;
        _core.Count(NicCounter.Kicks);
        _core.Connections.Service(index);
    }

    /// <summary>The program did something to its end of a connection. No lock.</summary>
    public void Kick(int conn)
    {
        if ((uint)conn < LocalRegion.MaxConns)
            NicSet.Add(_region.Kicked, conn);
    }

    /// <summary>
    /// The program has said that more comes at once (TCP_CORK, MSG_MORE), and what waits is not yet worth a frame of
    /// its own. No lock: a guess.
    /// </summary>
    public bool AwaitsMore(int conn)
    {
        int index = (uint)conn < LocalRegion.MaxConns ? NicDemux.OfConn(_region, conn) : -1;
        if (index < 0)
            return false;
        NicBlock* block = _region.BlockAt(index);
        if (block->Use != NicUse.Live || !NicWire.TryOf(_core.Local, block, out NicWire wire))
            return false;
        return NicStreams.Of(block, in wire) is
            { MoreComes: true, Finished: false, ReadShut: false, UrgentEnd: 0, Queued: > 0 and < WorthSending };
    }

    /// <summary>Looks at the connections that were kicked. Under the lock.</summary>
    public void ServeKicked(long nowNs)
    {
        _core.NowNs = nowNs;
        RunKicked();
    }

    /// <summary>
    /// Takes what has arrived, a batch from each link, does what timers ask for, and sends. Returns the frames handled.
    /// Queued frames leave with the next <see cref="Flush"/>, but a super-frame at once: what comes after the batch may
    /// answer it, so the next call wants a new look at the clock. (With the old one a round trip takes no time, which
    /// then is the least for minutes.)
    /// </summary>
    public int Poll(long nowNs)
    {
        _core.NowNs = nowNs;
        _core.Count(NicCounter.Polls);
        RetryStalled();
        _core.Paths.Recheck();
        int frames = 0;
        for (int i = 0; i < _core.Links.Length; i++)
            frames += Receive(i);
        int fired = _core.Timers.Run();
        // Exit says when timers are due next.
        NicTables* t = _region.Tables;
        Volatile.Write(ref t->LastPollNs, nowNs);
        if (frames == 0)
            _core.Count(NicCounter.PollsEmpty);
        if (frames > 0 || fired > 0)
            Volatile.Write(ref t->LastActivityNs, nowNs);
        return frames;
    }

    private int Receive(int link)
    {
        ILink from = _core.Links[link];
        int frames = 0;
        int got = from.Receive(_frames, NicCore.Batch);
        if (got <= 0)
            return 0;
        ReceivePressure.OnBatch(_core, from.Info, _frames, got);
        _core.Listeners.OnBatch();
        for (int at = 0; at < got;)
        {
            int end = at;
            while (end < got - 1 && _frames[end].More)
                end++;
            _core.Input.OnFrame(_frames + at, end + 1 - at, link);
            frames++;
            at = end + 1;
        }
        from.Release(_frames, got);
        _core.Pending.Serve();
        return frames;
    }

    private void RetryStalled()
    {
        int words = 0;
        while (words++ < NicSet.Capacity / 64 && NicSet.TakeWord(_region.Stalled, out int first, out ulong bits))
        {
            for (; bits != 0; bits &= bits - 1)
                NicSet.Add(_region.Kicked, first + BitOperations.TrailingZeroCount(bits));
        }
    }

    /// <summary>Frames queued on all links. No lock: a guess then.</summary>
    public int Unflushed
    {
        get
        {
            int frames = 0;
            foreach (ILink link in _core.Links)
                frames += link.Unflushed;
            return frames;
        }
    }

    /// <summary>Rings the doorbells of all links that something was queued on.</summary>
    public void Flush()
    {
        foreach (ILink link in _core.Links)
        {
            if (link.Unflushed > 0)
                link.Flush();
        }
    }

    /// <summary>
    /// Opens a connection. Its <see cref="Conn"/> was just taken: side 0 is the program's, with its holders, limits and
    /// names written; the engine becomes side 1. How it goes on is seen through <see cref="NicConn"/>, and told to side
    /// 0. Addresses are plain ones (no v4-mapped). After an error the Conn is still the caller's alone.
    /// </summary>
    public NicError Connect(int conn, in Endpoint local, in Endpoint remote, in Route route, in NicSettings settings,
        long nowNs)
    {
        _core.NowNs = nowNs;
        NicError error = (uint)conn < LocalRegion.MaxConns
            ? _core.Connections.Open(conn, in local, in remote, in route, in settings) : NicError.NotConnected;
        if (error != NicError.None)
            _core.Count(NicCounter.ConnectFailed);
        return error;
    }

    /// <summary>
    /// Connections to a listener of the local region come from the links too from now on. A wildcard address of IPv6
    /// takes IPv4 as well, unless the listener is V6Only. Once more with the same index: other settings.
    /// </summary>
    public bool Listen(int listener, in Endpoint local, in NicSettings settings) =>
        _core.Listeners.Listen(listener, in local, in settings);

    /// <summary>What the program on the interfaces may answer SYNs for a listener with, which listens here.</summary>
    public SynAnswer AnswerOf(int listener) => _core.Listeners.AnswerOf(listener);

    /// <summary>
    /// Ends that. Half-open connections are forgotten; what is in the accept queue is the caller's to reset. False if
    /// it did not listen.
    /// </summary>
    public bool Unlisten(int listener) => _core.Listeners.Unlisten(listener);

    /// <summary>Options of a connection have changed.</summary>
    public bool Configure(int conn, in NicSettings settings, long nowNs)
    {
        _core.NowNs = nowNs;
        int index = NicDemux.OfConn(_region, conn);
        if (index < 0)
            return false;
        _core.Connections.Configure(index, in settings);
        return true;
    }

    /// <summary>A connection as struct tcp_info tells it. False if it has ended.</summary>
    public bool TryReadInfo(int conn, long nowNs, out TcpInfoView info)
    {
        int index = NicDemux.OfConn(_region, conn);
        info = index < 0 ? default : new TcpInfoView(in _region.BlockAt(index)->Tcb, nowNs);
        return index >= 0;
    }

    /// <summary>An ICMP error that the control plane heard of.</summary>
    public void OnIcmp(in IcmpEvent report, long nowNs)
    {
        _core.NowNs = nowNs;
        int index = report.Transport != Transport.Tcp ? -1 : NicDemux.Find(_region, in report.Local, in report.Remote,
            NicDemux.HashOf(_region, in report.Local, in report.Remote));
        _core.Count(index < 0 ? NicCounter.IcmpUnknown : NicCounter.IcmpTaken);
        if (index >= 0)
            _core.Connections.OnIcmp(index, in report);
    }

    /// <summary>The next neighbour to ask the kernel for.</summary>
    public bool TryTakeUnresolved(out int interfaceIndex, out Endpoint neighbour) =>
        _core.Paths.TryTakeQuestion(out interfaceIndex, out neighbour);

    /// <summary>Connections that go to the kernel. Under the lock; <see cref="NicHandover"/> has the rules.</summary>
    public HandoverRefusal TryFreeze(int conn, long nowNs, out TcpImage image)
    {
        _core.NowNs = nowNs;
        return _core.Handover.TryFreeze(conn, out image);
    }

    public void Thaw(int conn, long nowNs)
    {
        _core.NowNs = nowNs;
        _core.Handover.Thaw(conn);
    }

    public bool Release(int conn, long nowNs)
    {
        _core.NowNs = nowNs;
        return _core.Handover.Release(conn);
    }

    /// <summary>Everything that programs wrote and closed has been sent and acknowledged. No lock: soon out of date.
    /// </summary>
    public bool IsDrained => _core.Connections.AreDrained;

    /// <summary>The last process of the family ends in disorder: resets every connection.</summary>
    public void AbortAll(long nowNs)
    {
        _core.NowNs = nowNs;
        int high = _region.BlocksHigh;
        for (int i = 0; i < high; i++)
        {
            if (_region.BlockAt(i)->Use is NicUse.HalfOpen or NicUse.Live)
                _core.Connections.Abort(i);
        }
    }

    /// <summary>The control plane has other tables.</summary>
    public void SetTables(INetTables tables)
    {
        _core.Tables = tables;
        _core.Udp.SetTables(tables);
    }
}
