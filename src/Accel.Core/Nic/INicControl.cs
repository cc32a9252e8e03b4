using Accel.Core.Handover;
using Accel.Core.Ip;
using Accel.Core.Local;

namespace Accel.Core.Nic;

/// <summary>Transport protocols that are steered.</summary>
public enum Transport : byte
{
    Tcp = 6,
    Udp = 17,
}

/// <summary>What the control plane refused, in words for stackdump; the numbers are part of the protocol.</summary>
public enum NicRefusal : byte
{
    None = 0,
    NoDaemon,
    Policy,
    OtherUserHasQueue,
    NoSlot,
    PortTaken,
    Version,
    NotYourPort,
    NoInterface,
    Failed,
    NotYourConnection,
    KernelRefused,
    Busy,
}

/// <summary>
/// The control plane as the data path sees it. Rare calls: each may cost a message to acceld and its answer, and ends
/// within a second in any case. Called by one thread at a time.
/// </summary>
public unsafe interface INicControl
{
    /// <summary>True if there is a daemon for this network namespace. Cheap enough to ask for each socket.</summary>
    bool IsPresent { get; }

    /// <summary>
    /// To be called in a forked child before anything else: it needs a conversation with the daemon of its own, which
    /// the next call begins. The inherited one only shows that the stack lives.
    /// </summary>
    void AfterFork();

    /// <summary>True while the daemon answers. A lost one is looked for again by <see cref="Tend"/>.</summary>
    bool IsConnected { get; }

    /// <summary>
    /// A descriptor that becomes readable when there is something for <see cref="Tend"/>; -1 if there is none.
    /// </summary>
    int WatchDescriptor { get; }

    /// <summary>
    /// Joins the daemon of this network namespace: maps its tables and opens this stack's links. Writes each link's
    /// <see cref="LinkInfo"/> into <paramref name="infos"/>. Returns the links; an empty array and why, if there are
    /// none.
    /// </summary>
    ILink[] Attach(ulong stackId, LinkInfo* infos, int max, out NicRefusal refusal);

    /// <summary>
    /// The same in the image that came by exec(), which has the links by inheritance: <paramref name="find"/> gives a
    /// descriptor by its tag. Returns an empty array if something is missing.
    /// </summary>
    ILink[] Resume(ulong stackId, LinkInfo* infos, int max, Func<int, int> find);
    /// <summary>The host's secret for sequence numbers and timestamps; 0 before <see cref="Attach"/>.</summary>
    ulong SequenceKey0 { get; }

    ulong SequenceKey1 { get; }

    /// <summary>Addresses, routes and neighbours; unmapped before <see cref="Attach"/>.</summary>
    NetTables Tables { get; }

    /// <summary>
    /// Frames for a local port go to this stack's links from now on. <paramref name="descriptor"/> is the kernel socket
    /// that holds the port, which proves the right to it. <paramref name="listener"/>: others of the kernel may have
    /// connections on the same port, so frames of those still go to the kernel; and <paramref name="answer"/> is what
    /// SYNs of a flood are answered with in its name. Once more: as it is now.
    /// </summary>
    NicRefusal Steer(
        Transport transport, in Endpoint local, int descriptor, bool listener, in SynAnswer answer = default);

    /// <summary>
    /// The listener has closed, and connections are left that it took: frames of these go on coming, those that would
    /// begin another are the kernel's, where a program that was started to follow this one may listen by now.
    /// </summary>
    void Leave(in Endpoint local);

    /// <summary>Frames for the port go to the kernel again.</summary>
    void Unsteer(Transport transport, in Endpoint local);

    /// <summary>The same for several, in one go.</summary>
    void Unsteer(Transport transport, ReadOnlySpan<Endpoint> locals);

    /// <summary>
    /// A connection over a steered port becomes the kernel's: makes its socket, and has the frames of that connection
    /// go there from now on. <paramref name="queues"/>: the bytes that go with the image. The descriptor is the
    /// caller's; after a refusal nothing has changed.
    /// </summary>
    NicRefusal Restore(in Endpoint local, in Endpoint remote, in TcpImage image, byte* queues, out int descriptor);

    /// <summary>No stack has the port, on whatever address. A hint: the next moment it may be another's.</summary>
    bool IsPortFree(Transport transport, ushort port);

    /// <summary>Asks the kernel to find the neighbour; the answer comes into the tables.</summary>
    void Resolve(int interfaceIndex, in Endpoint neighbour);

    /// <summary>
    /// Takes what the daemon has said (an ICMP error: calls <paramref name="host"/>), and reconnects to a restarted one
    /// if the old one went away. Call when <see cref="WatchDescriptor"/> is readable, and about once a second.
    /// </summary>
    void Tend(INicHost host);
}

/// <summary>What the engine asks of the process that runs it.</summary>
public unsafe interface INicHost
{
    /// <summary>Something happened on a connection: tell who watches <paramref name="side"/> of it.</summary>
    void Notify(LocalRegion region, int conn, int side);

    /// <summary>A connection came into a listener's accept queue.</summary>
    void NotifyListener(LocalRegion region, int listener);

    /// <summary>Wakes the thread that keeps the timers: something is due before it would wake by itself.</summary>
    void WakeTicker(ulong name);

    /// <summary>An ICMP error for a segment or datagram of ours (RFC 5927: the caller checks that it can be true).
    /// </summary>
    void OnIcmp(in IcmpEvent report);

    ulong Random();

    ulong Ticks();
}

/// <summary>An ICMP error with the header that it quotes.</summary>
public struct IcmpEvent
{
    public Transport Transport;
    public byte Type;
    public byte Code;
    public Endpoint Local;
    public Endpoint Remote;

    /// <summary>TCP: the sequence number of the quoted segment.</summary>
    public uint Seq;

    /// <summary>Next-hop MTU in bytes if the error brought one.</summary>
    public uint Mtu;
}
