using System.Runtime.CompilerServices;
using Accel.Core.Capture;
using Accel.Core.Ip;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Tcp;
using Accel.Core.Udp;

namespace Accel.Core.Nic;

/// <summary>
/// What the parts of an engine share in one process: where things are, and the time of the current round. No state that
/// would be missed if the process died.
/// </summary>
internal sealed unsafe class NicCore
{
    /// <summary>Buffers that are taken from a link at once. A super-frame has at most 33.</summary>
    public const int Batch = 64;

    /// <summary>Ticks of the timer wheel are so many bits of a nanosecond: 131 us.</summary>
    private const int TickBits = 17;

    [ColdPath]
    public NicCore(NicRegion region, LocalRegion local, INicHost host, ILiveness liveness, ILink[] links,
        INetTables tables)
    {
        Region = region;
        Local = local;
        Host = host;
        Liveness = liveness;
        Links = links;
        Tables = tables;
        Output = new NicOutput(this);
        Paths = new NicPaths(this);
        Listeners = new NicListeners(this);
        Emission = new NicEmission(this);
        Connections = new NicConnections(this);
        Pending = new NicPending(this);
        Input = new NicInput(this);
        Timers = new NicTimers(this);
        Recovery = new NicRecovery(this);
        Handover = new NicHandover(this);
        Udp = new UdpEngine(region, local, host, links, tables);
    }

    public NicRegion Region { get; }

    public LocalRegion Local { get; }

    public INicHost Host { get; }

    public ILiveness Liveness { get; }

    public ILink[] Links { get; }

    public INetTables Tables { get; set; }

    public NicOutput Output { get; }

    public NicPaths Paths { get; }

    public NicListeners Listeners { get; }

    public NicEmission Emission { get; }

    public NicConnections Connections { get; }

    public NicPending Pending { get; }

    public NicInput Input { get; }

    public NicTimers Timers { get; }

    public NicRecovery Recovery { get; }

    public NicHandover Handover { get; }

    public UdpEngine Udp { get; }

    /// <summary>Where frames are copied to while somebody captures them; null in tests that have no stack.</summary>
    public CaptureTap? Tap { get; set; }

    /// <summary>Set whenever the engine is called under its lock.</summary>
    public long NowNs { get; set; }

    public NicTables* Head
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Region.Tables;
    }

    public TcpContext Context
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => new(NowNs, Region.Pool, ref Head->Settings, ref Head->Tcp);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Count(NicCounter counter) => Head->Counters.Values[(int)counter]++;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Add(NicCounter counter, ulong n) => Head->Counters.Values[(int)counter] += n;

    /// <summary>The tick at which a time has passed.</summary>
    public static ulong TickAfter(long ns) => ((ulong)ns + (1ul << TickBits) - 1) >> TickBits;

    /// <summary>The tick that has passed last.</summary>
    public static ulong TickBefore(long ns) => (ulong)ns >> TickBits;

    public static long TimeOf(ulong tick) => tick >= 1ul << (63 - TickBits) ? long.MaxValue : (long)(tick << TickBits);
}
