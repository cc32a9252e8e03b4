using Accel.Core.Ip;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// This process's hold on the stack's network interfaces: it runs the engine in the program's own calls. Whoever waits
/// pumps: rings the doorbell for what was queued, takes what has arrived, lets connections go on.
/// </summary>
public sealed unsafe class NicPath : INicHost
{
    private const int PollRounds = 4;
    private const long TendNs = 100_000_000;

    private readonly PosixStack _s;
    private AccelThread* _t;
    private AccelThread* _tending;
    private bool _hasProgress;
    private int _watched = -1;
    private int _kicksDue;

    /// <summary>One conversation with acceld at a time: its answers are for whoever asked.</summary>
    private long _tendedNs;
    private ulong _clockTicks;

    [ColdPath]
    public NicPath(PosixStack s, NicRegion region, INicControl control, ILink[] links, uint regionNumber)
    {
        _s = s;
        Control = control;
        Links = links;
        RegionNumber = regionNumber;
        Engine = new NicEngine(region, s.Region(regionNumber), this, s.Kernel, links,
            new MirrorTables(control));
        Engine.TapTo(s.Tap);
        Steering = new Steering(s, control);
        Ports = new PortKeeper(s, this);
        Choice = new PortChoice(s, Ports, control);
        Queues = new NicQueues(s, links);
    }

    public NicEngine Engine { get; }

    public INicControl Control { get; }

    public Steering Steering { get; }

    public ILink[] Links { get; }

    public PortKeeper Ports { get; }

    public PortChoice Choice { get; }

    public NicQueues Queues { get; }

    /// <summary>How long the last round of <see cref="Pump"/> took; of whichever thread.</summary>
    public ulong LastRoundTicks { get; private set; }

    /// <summary>The stack's own local region, in which the connections lie.</summary>
    public uint RegionNumber { get; }

    /// <summary>
    /// Lets the engine do what there is to do, if nobody else is at it. Cheap when there is nothing. True if it did
    /// something.
    /// </summary>
    public bool Pump(AccelThread* t)
    {
        if (!IsBusy && !IsTime() || !Engine.TryEnter(t->Tid))
            return false;
        Run(t);
        return true;
    }

    /// <summary>True if a connected socket's other end is the engine.</summary>
    public bool Carries(PosixStack s, Socket* socket) =>
        socket->Region == RegionNumber && s.Sides(socket, out Wire wire) && NicConnector.IsOverNic(wire);

    /// <summary>Frames have come or wait to leave, or connections are to be looked at.</summary>
    private bool IsBusy
    {
        get
        {
            foreach (ILink link in Links)
            {
                if (link.IsReadable || link.Unflushed > 0)
                    return true;
            }
            return Engine.HasWork;
        }
    }

    /// <summary>A timer is due. Who spins need not ask the clock in each turn: timers are that coarse.</summary>
    private bool IsTime()
    {
        ulong ticks = _s.Kernel.Ticks();
        if (ticks - _clockTicks < _s.TicksPerKernelCheck)
            return false;
        _clockTicks = ticks;
        return _s.Kernel.NowNs() >= Engine.NextDeadline;
    }

    private bool IsReadable
    {
        get
        {
            foreach (ILink link in Links)
            {
                if (link.IsReadable)
                    return true;
            }
            return false;
        }
    }

    /// <summary>One round, under the engine's lock, which is left.</summary>
    private void Run(AccelThread* t)
    {
        _t = t;
        ulong begun = _s.Kernel.Ticks();
        if (Engine.HasWork)
            Engine.ServeKicked(_s.Kernel.NowNs());
        // What was queued before goes first: the peer can begin while we look at what has come.
        if (Engine.Unflushed > 0)
        {
            FlushTiming.OnWait(t, _s.Kernel.Ticks(), _s.TicksPerKernelCheck);
            Engine.Flush();
        }
        // Not before the flush: it lasts as long as a round trip, so that what answers it may have come.
        long now = _s.Kernel.NowNs();
        Engine.Poll(now);
        for (int i = 1; i < PollRounds && IsReadable; i++)
            Engine.Poll(now = _s.Kernel.NowNs());
        Engine.Exit(t->Tid, now);
        ulong round = _s.Kernel.Ticks() - begun;
        LastRoundTicks = round;
        _s.CountTime(t, Counter.NicRoundNs, round);
    }

    /// <summary>
    /// Frames have come that nobody was woken for, since somebody was awake, who has left them. While somebody has the
    /// engine they are that one's affair.
    /// </summary>
    public bool HasLateFrames => Queues.Sleepers.Matters && IsReadable && Engine.IsFree;

    /// <summary>
    /// Before a sleep that would last until <paramref name="deadline"/>: when it has to end for a timer that the
    /// library's thread would be late for. A probe or a lost segment is due in less than its tick.
    /// </summary>
    public long Timekeeping(AccelThread* t, long deadline)
    {
        long next = Engine.NextDeadline;
        if (deadline >= 0 && next >= deadline)
            return deadline;
        long now = _s.Kernel.NowNs();
        return next > now && next - now <= Progress.LatestNs && Engine.Keeps(t->Tid, now, next) ? next : deadline;
    }

    /// <summary>The thread is going to sleep until a frame comes, if none is there. True if there was anything.
    /// </summary>
    public bool Settle(AccelThread* t)
    {
        Queues.Sleepers.Enter(t);
        return PumpDry(t);
    }

    /// <summary>Before a sleep: what is queued must leave, and what has come must be seen. True if there was anything.
    /// </summary>
    public bool PumpDry(AccelThread* t)
    {
        const int Rounds = 8;
        bool ran = false;
        // A round does what timers ask for: the clock need not be asked again right after it.
        for (int i = 0; i < Rounds && (IsBusy || (!ran && _s.Kernel.NowNs() >= Engine.NextDeadline)); i++)
        {
            if (!Engine.TryEnter(t->Tid))
                break;
            Run(t);
            ran = true;
        }
        if (Engine.HasUnresolved)
            AskForNeighbours(t);
        return ran;
    }

    /// <summary>
    /// The program did something to its end of a connection: the engine looks at it now. What is under a cork waits for
    /// the rest, or for the program's next look at its events.
    /// </summary>
    public void Kick(AccelThread* t, int conn)
    {
        if (FlushTiming.MayWait(t) && Engine.AwaitsMore(conn))
        {
            Engine.Kick(conn);
            return;
        }
        if (!Engine.TryEnter(t->Tid))
        {
            // The holder does it on its way out; the frames have to leave all the same.
            Engine.Kick(conn);
            Engine.Enter(t->Tid);
        }
        _t = t;
        long now = _s.Kernel.NowNs();
        Engine.Serve(conn, now);
        RingIfDue(t);
        Engine.Exit(t->Tid, now);
        if (Engine.HasUnresolved)
            AskForNeighbours(t);
    }

    /// <summary>
    /// A process of the family was killed, perhaps between what it wrote and the word to the engine; or a neighbour has
    /// closed its connections, who cannot tell the engine.
    /// </summary>
    public void KicksAreDue() => Volatile.Write(ref _kicksDue, 1);

    /// <summary>The engine looks at all connections, if that is due. Without any lock.</summary>
    public void KickAll(AccelThread* t)
    {
        if (Volatile.Read(ref _kicksDue) == 0 || Interlocked.Exchange(ref _kicksDue, 0) == 0)
            return;
        LocalRegion region = _s.Region(RegionNumber);
        int count = (int)Math.Min(region.Tables->Conns.Bumped, LocalRegion.MaxConns);
        for (int i = 0; i < count; i++)
        {
            if (Volatile.Read(ref Engine.Region.ConnBlocks[i]) != 0)
                Engine.Kick(i);
        }
        Pump(t);
    }

    /// <summary>The link, by number, that an interface is; -1: none of ours.</summary>
    public int LinkOf(int interfaceIndex)
    {
        for (int i = 0; i < Links.Length; i++)
        {
            if (Links[i].Info->InterfaceIndex == interfaceIndex && (Links[i].Info->Flags & (uint)LinkFlags.Up) != 0)
                return i;
        }
        return -1;
    }

    /// <summary>Takes the engine's lock, to call what needs it.</summary>
    public void Enter(AccelThread* t)
    {
        Engine.Enter(t->Tid);
        _t = t;
    }

    public void Exit(AccelThread* t) => Engine.Exit(t->Tid, _s.Kernel.NowNs());

    /// <summary>Under the lock, after something may have been queued.</summary>
    private void RingIfDue(AccelThread* t)
    {
        if (Engine.Unflushed is > 0 and var frames && IsFlushDue(t, frames))
            Engine.Flush();
    }

    /// <summary>Under the lock, after something was queued: the doorbell is not to wait for the program's next look.
    /// </summary>
    public bool IsFlushDue(AccelThread* t, int frames) =>
        FlushTiming.IsDue(t, frames, _s.Kernel.Ticks(), _s.TicksPerKernelCheck);

    public void Flush(AccelThread* t)
    {
        if (!Engine.TryEnter(t->Tid))
            return;
        _t = t;
        Engine.Flush();
        Exit(t);
    }

    public NicError Open(AccelThread* t, int conn, in Endpoint local, in Endpoint remote, in Route route,
        in NicSettings settings)
    {
        Engine.Enter(t->Tid);
        _t = t;
        long now = _s.Kernel.NowNs();
        NicError error = Engine.Connect(conn, local, remote, route, settings, now);
        if (error == NicError.None)
            Engine.Flush();
        Engine.Exit(t->Tid, now);
        if (Engine.HasUnresolved)
            AskForNeighbours(t);
        StartProgress();
        return error;
    }

    public bool Listen(
        AccelThread* t, int listener, in Endpoint local, in NicSettings settings, out SynAnswer answer)
    {
        Engine.Enter(t->Tid);
        _t = t;
        bool listens = Engine.Listen(listener, local, settings);
        answer = Engine.AnswerOf(listener);
        Engine.Exit(t->Tid, _s.Kernel.NowNs());
        return listens;
    }

    public bool Unlisten(AccelThread* t, int listener)
    {
        Engine.Enter(t->Tid);
        _t = t;
        bool listened = Engine.Unlisten(listener);
        Engine.Exit(t->Tid, _s.Kernel.NowNs());
        return listened;
    }

    public void Configure(AccelThread* t, int conn, in NicSettings settings)
    {
        Engine.Enter(t->Tid);
        _t = t;
        long now = _s.Kernel.NowNs();
        Engine.Configure(conn, settings, now);
        RingIfDue(t);
        Engine.Exit(t->Tid, now);
    }

    [ColdPath]
    private void AskForNeighbours(AccelThread* t)
    {
        const int Most = 16;
        for (int i = 0; i < Most; i++)
        {
            Engine.Enter(t->Tid);
            bool found = Engine.TryTakeUnresolved(out int interfaceIndex, out Endpoint neighbour);
            Engine.Exit(t->Tid, _s.Kernel.NowNs());
            if (!found)
                break;
            Steering.Resolve(t, interfaceIndex, neighbour);
        }
    }

    /// <summary>The library's thread has to keep time from now on.</summary>
    public void StartProgress()
    {
        if (_hasProgress)
            return;
        _hasProgress = true;
        if (_s.Process->StartProgress != null)
            ((delegate* unmanaged<long>)_s.Process->StartProgress)();
    }

    /// <summary>
    /// One process of the family keeps the timers. True if it is this one, which it becomes if the last has gone.
    /// </summary>
    public bool IsTicker(AccelThread* t)
    {
        ref int ticker = ref _s.S.Tables->Ticker;
        int now = Volatile.Read(ref ticker);
        if (now == t->Tid)
            return true;
        if (now != 0 && _s.Kernel.IsThreadAlive(now))
            return false;
        return Interlocked.CompareExchange(ref ticker, t->Tid, now) == now;
    }

    /// <summary>
    /// Now and then: what acceld has to say, and ports that nobody needs any more. True if it was time for it.
    /// </summary>
    public bool Tend(AccelThread* t, long now)
    {
        if (now - _tendedNs < TendNs)
            return false;
        _tendedNs = now;
        Ports.Sweep(t, now);
        _s.LockStack(t);
        _tending = t;
        Steering.Tend(t, this);
        WatchControl();
        _s.UnlockStack(t);
        return true;
    }

    /// <summary>
    /// Processes of the family that died must be noticed although the program makes no call: what they alone held is to
    /// end on the wire.
    /// </summary>
    public void WatchFamily(AccelThread* t)
    {
        _s.Peers.Refresh(t);
        if (_s.Hub >= 0)
            _s.Peers.OnHub(t);
    }

    /// <summary>A new conversation with acceld has a new descriptor.</summary>
    private void WatchControl()
    {
        int fd = Control.WatchDescriptor;
        if (fd != _watched && fd >= 0)
            _s.Peers.AddLink(fd);
        _watched = fd;
    }

    /// <summary>Something for this process came by the hub: frames, or a word from acceld.</summary>
    public void OnDescriptor(AccelThread* t, int fd)
    {
        if (fd == Control.WatchDescriptor)
        {
            _tendedNs = 0;
            Tend(t, _s.Kernel.NowNs());
        }
        // What acceld says may be that a neighbour was found: connections wait for that.
        Pump(t);
    }

    /// <summary>Every sleep of this process ends when a frame comes, or acceld says something.</summary>
    public void JoinHub()
    {
        Queues.JoinHub();
        _watched = -1;
        WatchControl();
    }

    /// <summary>In a fork child, which has the engine by inheritance, but neither the thread nor the ports.</summary>
    [ColdPath]
    public void AfterFork(AccelThread* t)
    {
        _hasProgress = false;
        Steering.AfterFork();
        Ports.AfterFork();
        JoinHub();
        StartProgress();
    }

    /// <summary>
    /// For a child that has no part in the stack: what would keep the queues' sockets open after everybody else.
    /// </summary>
    [ColdPath]
    public void NoteMappings(ForkSteps steps)
    {
        const int Most = 8;
        Span<MappedRange> ranges = stackalloc MappedRange[Most];
        foreach (ILink link in Links)
        {
            for (int queue = 0; queue < (int)link.Info->Queues; queue++)
            {
                int count = link.MappingsOf(queue, ranges);
                for (int i = 0; i < count; i++)
                    steps.Add(AccelStep.Unmap, ranges[i].Address, ranges[i].Bytes);
            }
        }
    }

    /// <summary>In the image that came by exec(): a new process as to the thread, but with the ports.</summary>
    [ColdPath]
    public void AfterExec(AccelThread* t)
    {
        Ports.AfterExec(t);
        JoinHub();
        StartProgress();
    }

    public void Notify(LocalRegion region, int conn, int side)
    {
        // Who sleeps on connections of this kind alone does not interrupt all CPUs for its last look.
        Interlocked.MemoryBarrier();
        Notifier.Notify(_s, _t, region, LocalRegion.SideOf(region.ConnAt(conn), side), 2 * conn + side);
    }

    public void NotifyListener(LocalRegion region, int listener) =>
        Notifier.NotifyListener(_s, _t, region, listener);

    public void WakeTicker(ulong name) => _s.Kernel.Wake(name);

    public void OnIcmp(in IcmpEvent report)
    {
        AccelThread* t = _tending;
        Engine.Enter(t->Tid);
        _t = t;
        long now = _s.Kernel.NowNs();
        if (report.Transport == Transport.Udp)
            Engine.Udp.OnIcmp(report, now);
        else
            Engine.OnIcmp(report, now);
        Engine.Flush();
        Engine.Exit(t->Tid, now);
    }

    public ulong Random() => _s.Kernel.Random();

    public ulong Ticks() => _s.Kernel.Ticks();
}
