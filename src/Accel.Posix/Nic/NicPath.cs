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
    /// <summary>Word of the thread's own state: sends that may wait for the program's next look at its events.
    /// </summary>
    private const int OwnCredit = 4;

    private const int PollBudget = 256, FlushAt = 64;
    private const long TendNs = 100_000_000;

    private readonly PosixStack _s;
    private AccelThread* _t;
    private AccelThread* _tending;
    private bool _hasProgress;
    private int _watched = -1;
    private long _tendedNs;

    [ColdPath]
    public NicPath(PosixStack s, NicRegion region, INicControl control, ILink[] links, uint regionNumber)
    {
        _s = s;
        Control = control;
        Links = links;
        RegionNumber = regionNumber;
        Engine = new NicEngine(region, s.Region(regionNumber), this, s.Kernel, links,
            new MirrorTables(control));
        Steering = new Steering(s, control);
        Ports = new PortKeeper(s, this);
    }

    public NicEngine Engine { get; }

    public INicControl Control { get; }

    public Steering Steering { get; }

    public ILink[] Links { get; }

    public PortKeeper Ports { get; }

    /// <summary>The stack's own local region, in which the connections lie.</summary>
    public uint RegionNumber { get; }

    /// <summary>
    /// Lets the engine do what there is to do, if nobody else is at it. Cheap when there is nothing.
    /// </summary>
    public void Pump(AccelThread* t)
    {
        if (HasWork() && Engine.TryEnter(t->Tid))
            Run(t);
    }

    private bool HasWork()
    {
        foreach (ILink link in Links)
        {
            if (link.IsReadable || link.Unflushed > 0)
                return true;
        }
        return Engine.HasWork(_s.Kernel.NowNs());
    }

    /// <summary>One round, under the engine's lock, which is left.</summary>
    private void Run(AccelThread* t)
    {
        _t = t;
        // What was queued before goes first: the peer can begin while we look at what has come.
        Engine.Flush();
        Engine.Poll(_s.Kernel.NowNs(), PollBudget);
        Engine.Exit(t->Tid, _s.Kernel.NowNs());
    }

    /// <summary>Before a sleep: what is queued must leave, and what has come must be seen.</summary>
    public void PumpDry(AccelThread* t)
    {
        const int Rounds = 8;
        for (int i = 0; i < Rounds && HasWork(); i++)
        {
            if (!Engine.TryEnter(t->Tid))
                break;
            Run(t);
        }
        if (Engine.HasUnresolved)
            AskForNeighbours(t);
    }

    /// <summary>The program did something to its end of a connection: the engine looks at it now.</summary>
    public void Kick(AccelThread* t, int conn)
    {
        Engine.Kick(conn);
        ulong credit = t->Own[OwnCredit];
        if (credit > 0)
            t->Own[OwnCredit] = credit - 1;
        Engine.Enter(t->Tid);
        _t = t;
        Engine.Exit(t->Tid, _s.Kernel.NowNs());
        if ((credit == 0 || Engine.Unflushed >= FlushAt) && Engine.Unflushed > 0 && Engine.TryEnter(t->Tid))
        {
            _t = t;
            Engine.Flush();
            Engine.Exit(t->Tid, _s.Kernel.NowNs());
        }
        if (Engine.HasUnresolved)
            AskForNeighbours(t);
    }

    /// <summary>
    /// The program got so many events at once and will answer them one by one: the answers leave together, when it
    /// comes back for more.
    /// </summary>
    public static void Credit(AccelThread* t, long events) => t->Own[OwnCredit] = events > 1 ? (ulong)events : 0;

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

    /// <summary>Under the lock, after something was queued: the doorbell is not to wait for the program's next look.
    /// </summary>
    public bool IsFlushDue(AccelThread* t)
    {
        ulong credit = t->Own[OwnCredit];
        if (credit > 0)
            t->Own[OwnCredit] = credit - 1;
        return credit == 0 || Engine.Unflushed >= FlushAt;
    }

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

    public bool Listen(AccelThread* t, int listener, in Endpoint local, in NicSettings settings)
    {
        Engine.Enter(t->Tid);
        _t = t;
        bool listens = Engine.Listen(listener, local, settings);
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
        Engine.Flush();
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

    /// <summary>Now and then: what acceld has to say, and ports that nobody needs any more.</summary>
    public void Tend(AccelThread* t, long now)
    {
        if (now - _tendedNs < TendNs)
            return;
        _tendedNs = now;
        Ports.Sweep(t, now);
        _s.LockStack(t);
        _tending = t;
        Steering.Tend(t, this);
        WatchControl();
        _s.UnlockStack(t);
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
        else
            Pump(t);
    }

    /// <summary>Every sleep of this process ends when a frame comes.</summary>
    public void JoinHub()
    {
        foreach (ILink link in Links)
        {
            for (int queue = 0; queue < (int)link.Info->Queues; queue++)
                _s.Peers.AddLink(link.Descriptor(queue));
        }
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

    /// <summary>What the links and acceld can be waited for with. Returns how many.</summary>
    public uint Descriptors(PollFd* fds, uint max)
    {
        uint count = 0;
        foreach (ILink link in Links)
        {
            for (int queue = 0; queue < (int)link.Info->Queues && count < max; queue++)
                fds[count++] = new PollFd { Fd = link.Descriptor(queue), Events = (short)Ev.IN };
        }
        return count;
    }

    public void Notify(LocalRegion region, int conn, int side) =>
        Notifier.Notify(_s, _t, region, LocalRegion.SideOf(region.ConnAt(conn), side), 2 * conn + side);

    public void NotifyListener(LocalRegion region, int listener) =>
        Notifier.NotifyListener(_s, _t, region, listener);

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
