using Accel.Control.Broker;
using Accel.Control.Native;
using Accel.Core.Ip;
using Accel.Core.Local;
using Accel.Core.Nic;

namespace Accel.Control.Mirror;

/// <summary>
/// The mirror of a network namespace: reads the kernel's tables, follows their changes, and keeps a region up to date
/// that stacks map read-only. A thread of its own does the work. The namespace is that of the thread which calls
/// <see cref="Start"/>.
/// </summary>
/// <param name="eventBufferBytes">How many changes may wait: if there are more, all is read again.</param>
public sealed unsafe class NetMirror(int eventBufferBytes = 4 << 20) : INetMirror
{
    /// <summary>RTNLGRP_: links, neighbours, addresses, routes, rules, IPv6 settings, next-hop objects.</summary>
    private static readonly int[] Groups = [1, 3, 5, 7, 8, 9, 11, 12, 19, 32];

    /// <summary>
    /// Reading may take a tenth of a processor when changes never end: after a reading that cost a millisecond, the
    /// next one begins ten later at the earliest. Not by the clock: on a busy machine it takes long and costs little.
    /// </summary>
    private const int RestPerRead = 10;
    private const long LongestRestMs = 5_000;

    /// <summary>Some settings change without an event (use_tempaddr, addresses' labels of other tools).</summary>
    private const long EverythingAgainMs = 60_000;

    private readonly MirrorRegion _region = new();
    private readonly int _wake = Libc.EventFd(0, Libc.SockCloexec | Libc.SockNonBlock);
    private readonly Lock _asking = new();
    private NetlinkSocket? _events, _questions, _requests;
    private IcmpListener? _icmp;
    private Solicitor? _solicitor;
    private KernelTables? _tables;
    private Thread? _thread;
    private TableSet _stale;
    private bool _neighboursChanged;
    private long _nextReadMs, _nextFullMs;
    private volatile bool _ended;
    private volatile IReadOnlyList<OwnAddress> _addresses = [];

    /// <summary>The mirror's memory, open for reading.</summary>
    public int Fd => _region.Fd;

    public NetTables Tables => _region.Writer.Tables;

    public IReadOnlyList<OwnAddress> Addresses => _addresses;

    public event Action? AddressesChanged;

    public event Action? NeighboursChanged;

    public event Action<IcmpEvent>? IcmpReceived;

    /// <summary>What went wrong while following the kernel: it is tried again.</summary>
    public event Action<string>? Failed;

    public void Start()
    {
        // Listening begins before reading, so that no change falls between.
        _events = NetlinkSocket.Listen(Groups, eventBufferBytes);
        _questions = NetlinkSocket.Open();
        _requests = NetlinkSocket.Open();
        _icmp = IcmpListener.Open();
        _solicitor = Solicitor.Open();
        _tables = new KernelTables(_questions);
        _stale = TableSet.All;
        ReadStale();
        _thread = new Thread(Follow) { IsBackground = true, Name = "accel-mirror" };
        _thread.Start();
    }

    public void Resolve(int interfaceIndex, in Endpoint neighbour)
    {
        Endpoint plain = neighbour.Unmapped();
        if (plain.Family == Endpoint.None || _requests is null)
            return;
        byte[] body = NeighbourReader.RequestUse(interfaceIndex, plain);
        lock (_asking)
        {
            if (_ended)
                return;
            // Refusals (no such interface any more) are of no interest: the neighbour then stays unknown.
            _requests.Drain();
            _requests.Send(NetlinkMessage.NewNeighbour, NetlinkMessage.Request | NetlinkMessage.Create, body);
            // After it: the answer is for the entry that the kernel has made.
            if (Tables.TryLink(interfaceIndex, out LinkEntry link))
                _solicitor!.Ask(link, plain);
        }
        Interlocked.Increment(ref _region.Writer.Header->Resolved);
    }

    private void Follow()
    {
        PollEntry* items = stackalloc PollEntry[4];
        while (!_ended)
        {
            items[0] = new PollEntry { Fd = _events!.Fd, Events = Libc.PollIn };
            items[1] = new PollEntry { Fd = _icmp!.V4, Events = Libc.PollIn };
            items[2] = new PollEntry { Fd = _icmp.V6, Events = Libc.PollIn };
            items[3] = new PollEntry { Fd = _wake, Events = Libc.PollIn };
            Libc.Poll(items, 4, MillisecondsToNextRead());
            try
            {
                if (items[1].Returned != 0)
                    _icmp.Take(_icmp.V4, OnIcmp);
                if (items[2].Returned != 0)
                    _icmp.Take(_icmp.V6, OnIcmp);
                if (items[0].Returned != 0)
                    TakeEvents();
                if (_nextFullMs <= Environment.TickCount64)
                    _stale = TableSet.All;
                if (_stale != TableSet.None && MillisecondsToNextRead() == 0)
                    ReadStale();
            }
            catch (ControlException e)
            {
                // A socket that failed once may work again; what it missed is read then.
                _stale = TableSet.All;
                _nextReadMs = Environment.TickCount64 + 1000;
                Failed?.Invoke(e.Message);
            }
        }
    }

    private int MillisecondsToNextRead()
    {
        long next = _stale == TableSet.None ? _nextFullMs : _nextReadMs;
        return (int)Math.Clamp(next - Environment.TickCount64, 0, EverythingAgainMs);
    }

    private void TakeEvents()
    {
        if (!_events!.TakeEvents(OnEvent))
        {
            Interlocked.Increment(ref _region.Writer.Header->Overruns);
            _stale = TableSet.All;
        }
        if (!_neighboursChanged)
            return;
        _neighboursChanged = false;
        _tables!.PublishNeighbours(_region.Writer);
        NeighboursChanged?.Invoke();
    }

    private void OnEvent(in NetlinkMessage message)
    {
        _region.Writer.Header->Events++;
        switch (message.Type)
        {
            case NetlinkMessage.NewNeighbour or NetlinkMessage.DelNeighbour:
                _neighboursChanged |= _tables!.ApplyNeighbour(message);
                break;
            case NetlinkMessage.NewRoute or NetlinkMessage.DelRoute when message.Body is [Libc.AfInet, ..]:
                _stale |= TableSet.RoutesV4;
                break;
            case NetlinkMessage.NewRoute or NetlinkMessage.DelRoute when message.Body is [Libc.AfInet6, ..]:
                _stale |= TableSet.RoutesV6;
                break;
            case NetlinkMessage.NewRule or NetlinkMessage.DelRule:
                _stale |= TableSet.Rules;
                break;
            case NetlinkMessage.NewNexthop or NetlinkMessage.DelNexthop:
                _stale |= TableSet.RoutesV4 | TableSet.RoutesV6;
                break;
            case NetlinkMessage.NewLink or NetlinkMessage.DelLink or NetlinkMessage.NewAddress
                or NetlinkMessage.DelAddress:
                _stale |= TableSet.Routing;
                break;
        }
    }

    private void ReadStale()
    {
        long began = ThreadCpuNs();
        TableSet tables = _stale;
        _tables!.Read(tables);
        _stale = TableSet.None;
        if ((tables & TableSet.Routing) != 0)
            _tables.PublishRouting(_region.Writer);
        if (tables.HasFlag(TableSet.Neighbours))
            _tables.PublishNeighbours(_region.Writer);
        _region.Writer.Header->Dumps++;
        long now = Environment.TickCount64;
        _nextReadMs = now + Math.Min((ThreadCpuNs() - began) * RestPerRead / 1_000_000, LongestRestMs);
        if (tables == TableSet.All)
            _nextFullMs = now + EverythingAgainMs;
        PublishAddresses();
    }

    private static long ThreadCpuNs()
    {
        const int ThreadCpuTime = 3;
        long* time = stackalloc long[2];
        return Libc.ClockGetTime(ThreadCpuTime, time) < 0 ? 0 : time[0] * 1_000_000_000 + time[1];
    }

    private void PublishAddresses()
    {
        List<OwnAddress> now = OwnAddresses();
        if (now.SequenceEqual(_addresses))
            return;
        _addresses = now;
        _solicitor!.Use(now);
        AddressesChanged?.Invoke();
    }

    /// <summary>Unicast addresses that are in use, without those of the loopback network.</summary>
    private List<OwnAddress> OwnAddresses()
    {
        HashSet<int> loopbacks = [.. _tables!.Links.Where(l => l.Kind == LinkKind.Loopback).Select(l => l.Index)];
        List<OwnAddress> own = [];
        foreach (AddressEntry entry in _tables.Addresses)
        {
            Endpoint address = new()
            {
                Family = entry.Family, AddressLow = entry.AddressLow, AddressHigh = entry.AddressHigh,
            };
            bool isOptimistic = entry.Family == Endpoint.V6 && (entry.Flags & AddressEntry.Optimistic) != 0;
            bool isWaiting = entry.Family == Endpoint.V6 && !isOptimistic
                && (entry.Flags & (AddressEntry.Tentative | AddressEntry.DadFailed)) != 0;
            if (address.IsLoopback || isWaiting)
                continue;
            if (address.IsLinkLocal)
                address.ScopeId = (uint)entry.InterfaceIndex;
            own.Add(new OwnAddress(address, entry.InterfaceIndex, loopbacks.Contains(entry.InterfaceIndex),
                isOptimistic));
        }
        return own;
    }

    private void OnIcmp(IcmpEvent report)
    {
        if (!Tables.IsLocalAddress(report.Local))
            return;
        Interlocked.Increment(ref _region.Writer.Header->IcmpErrors);
        IcmpReceived?.Invoke(report);
    }

    public void Dispose()
    {
        lock (_asking)
            _ended = true;
        ulong one = 1;
        Libc.Write(_wake, &one, sizeof(ulong));
        _thread?.Join();
        _events?.Dispose();
        _questions?.Dispose();
        _requests?.Dispose();
        _icmp?.Dispose();
        _solicitor?.Dispose();
        _region.Dispose();
        Libc.Close(_wake);
    }
}
