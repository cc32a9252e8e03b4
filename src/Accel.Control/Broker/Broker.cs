using System.Collections.Concurrent;
using System.Diagnostics;
using Accel.Control.Links;
using Accel.Control.Native;
using Accel.Control.Steering;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Os.Control;

namespace Accel.Control.Broker;

/// <summary>
/// acceld: serves interfaces, and the stacks that come for sockets on them. One thread does everything, in one loop;
/// no call of it waits for a stack.
/// </summary>
public sealed class Broker : IDisposable
{
    private const int RefreshMilliseconds = 1000, MixedMilliseconds = 10_000, MixedSoonMilliseconds = 50;
    private const int HelloMilliseconds = 5000, PacketsPerTurn = 64, MostClients = 4096, MostReports = 1024;

    /// <summary>As long as a stack waits for a neighbour, and a little.</summary>
    private const int AskedMilliseconds = 5000;

    private readonly BrokerOptions _options;
    private readonly INetMirror _mirror;
    private readonly InterfaceSet _interfaces;
    private readonly StackRegistry _stacks;
    private readonly LookDesk _looks;
    private readonly List<Client> _clients = [];
    private readonly ConcurrentQueue<IcmpEvent> _reports = new();
    private readonly int _wake = Libc.EventFd(0, Libc.SockCloexec | Libc.SockNonBlock);
    private readonly long _startedAt = Stopwatch.GetTimestamp();
    private Listener? _listener;
    private PortTable _ports = null!;
    private Desk _desk = null!;
    private long _refreshAt;
    private long _mixedAt;
    private volatile bool _addressesChanged = true, _neighboursChanged;
    private volatile bool _stopping;

    public Broker(BrokerOptions options, INetMirror mirror)
    {
        _options = options;
        _mirror = mirror;
        _interfaces = new InterfaceSet(options);
        _stacks = new StackRegistry(options, _interfaces);
        _looks = new LookDesk(options, Wake);
    }

    private static long Now => Environment.TickCount64;

    /// <summary>A line for each interface that is served.</summary>
    public IReadOnlyList<string> Summary =>
        [.. _interfaces.All.Select(s => $"{s.Device.Name} {InterfaceSet.Describe(s)}")];

    /// <summary>Attaches and listens. Throws <see cref="ControlException"/> if nothing can be served.</summary>
    public void Start()
    {
        // First of all, since it says whether another acceld is there.
        _listener = new Listener(_options.SocketPath);
        _mirror.AddressesChanged += () =>
        {
            _addressesChanged = true;
            Wake();
        };
        _mirror.IcmpReceived += report =>
        {
            if (_reports.Count < MostReports)
                _reports.Enqueue(report);
            Wake();
        };
        _mirror.NeighboursChanged += () =>
        {
            _neighboursChanged = true;
            Wake();
        };
        _mirror.Start();
        _interfaces.FindLeftovers();
        bool isTakingOver = _interfaces.Maps != null;
        _interfaces.Changed += served => Tell(served, served.Flags);
        _interfaces.Removed += served =>
        {
            Tell(served, served.Flags & ~LinkFlags.Up);
            _stacks.Forget(served.Device.Index);
        };
        _interfaces.Refresh();
        if (_interfaces.Maps == null)
            throw new ControlException(_interfaces.Refusals.Count == 0
                ? $"no interface is named {string.Join(" or ", _options.Patterns)}"
                : string.Join('\n', _interfaces.Refusals.Select(r => $"{r.Key}: {r.Value}")));
        _ports = new PortTable(_interfaces.Maps);
        _desk = new Desk(_options, _interfaces, _stacks, _ports, _mirror, Status, _looks);
        _desk.ListenersChanged += () => _mixedAt = Math.Min(_mixedAt, Now + MixedSoonMilliseconds);
        if (isTakingOver)
        {
            _ports.TakeOver();
            _stacks.TakeOver(Now, _ports.SlotsInUse());
        }
        PublishAddresses();
        _desk.PrepareRings();
        _desk.Rehearse();
        _refreshAt = _mixedAt = Now + RefreshMilliseconds;
    }

    /// <summary>Until <see cref="Stop"/> is called.</summary>
    public void Run()
    {
        while (!_stopping)
        {
            Turn();
            Tend();
        }
    }

    /// <summary>May be called by any thread.</summary>
    public void Stop()
    {
        _stopping = true;
        Wake();
    }

    private unsafe void Wake()
    {
        ulong one = 1;
        Libc.Write(_wake, &one, sizeof(ulong));
    }

    /// <summary>Waits for something to do, and does what has come over the sockets.</summary>
    private unsafe void Turn()
    {
        var entries = new PollEntry[2 + _clients.Count];
        entries[0] = new PollEntry { Fd = _wake, Events = Libc.PollIn };
        entries[1] = new PollEntry { Fd = _listener!.Fd, Events = Libc.PollIn };
        for (int i = 0; i < _clients.Count; i++)
            entries[2 + i] = new PollEntry
            {
                Fd = _clients[i].Fd,
                Events = (short)(Libc.PollIn | (_clients[i].HasOutput ? Libc.PollOut : 0)),
            };
        long next = Math.Min(_refreshAt, Math.Min(_mixedAt, _stacks.NextDeadline() ?? long.MaxValue));
        fixed (PollEntry* first = entries)
            Libc.Poll(first, entries.Length, (int)Math.Clamp(next - Now, 0, RefreshMilliseconds));
        if (entries[0].Returned != 0)
        {
            ulong scrap;
            Libc.Read(_wake, &scrap, sizeof(ulong));
        }
        Client[] polled = [.. _clients];
        for (int i = 0; i < polled.Length; i++)
        {
            if ((entries[2 + i].Returned & Libc.PollOut) != 0)
                polled[i].Flush();
            if ((entries[2 + i].Returned & ~Libc.PollOut) != 0)
                Serve(polled[i]);
        }
        if (entries[1].Returned != 0)
            AcceptAll();
        foreach (Client client in polled)
            if (client.Fault != null)
                Drop(client);
    }

    private void AcceptAll()
    {
        while (_listener!.Accept(out Peer peer) is >= 0 and int fd)
        {
            if (_clients.Count >= MostClients)
                Libc.Close(fd);
            else
                _clients.Add(new Client(fd, peer, Now));
        }
    }

    private void Serve(Client client)
    {
        int[] descriptors = new int[Protocol.MaxDescriptors];
        for (int i = 0; i < PacketsPerTurn && client.Fault == null; i++)
        {
            bool got = client.TryReceive(out Message packet, descriptors, out int count);
            try
            {
                if (got)
                    _desk.Handle(client, packet, descriptors.AsSpan(0, count));
            }
            catch (ControlException e)
            {
                client.Fault = e.Message;
            }
            for (int d = 0; d < count; d++)
                if (descriptors[d] >= 0)
                    Libc.Close(descriptors[d]);
            if (!got)
                break;
        }
    }

    private void Drop(Client client)
    {
        if (!_clients.Remove(client))
            return;
        if (client.Fault is { Length: > 0 } fault)
            _options.Log($"process {client.Peer.Pid}: {fault}");
        _looks.Forget(client);
        client.Dispose();
        if (client.Stack is { } stack)
        {
            stack.Clients.Remove(client);
            if (stack.Clients.Count == 0)
                _stacks.Bury(stack, _ports, Now);
        }
    }

    /// <summary>What is due.</summary>
    private void Tend()
    {
        long now = Now;
        if (_addressesChanged)
            PublishAddresses();
        if (_neighboursChanged)
            TellAskers(now);
        while (_reports.TryDequeue(out IcmpEvent report))
            Forward(report);
        _stacks.Tick(_ports, now);
        _looks.Tend();
        if (now >= _mixedAt)
        {
            _mixedAt = now + MixedMilliseconds;
            if (_ports.HasListeners && KernelConnections.LocalPorts() is { } kernel)
                _ports.MarkMixed(kernel.Contains);
        }
        if (now < _refreshAt)
            return;
        _refreshAt = now + RefreshMilliseconds;
        _interfaces.Refresh();
        _desk.PrepareRings();
        foreach (Client client in _clients.ToList())
        {
            if (client.Stack == null && now - client.ConnectedAt > HelloMilliseconds)
            {
                client.Fault = "";
                Drop(client);
            }
        }
    }

    /// <summary>Who waits for a neighbour may be asleep. Whether it is this one that was found they see themselves.
    /// </summary>
    private void TellAskers(long now)
    {
        _neighboursChanged = false;
        foreach (Client client in _clients)
            if (client.AskedAt != 0 && now - client.AskedAt < AskedMilliseconds && !client.HasOutput)
                client.Send(new Message { Header = MessageHeader.Of(MessageKind.Neighbours) });
    }

    private void PublishAddresses()
    {
        _addressesChanged = false;
        IReadOnlyList<OwnAddress> own = _mirror.Addresses;
        Dictionary<AddressKey, int> wanted = [];
        foreach (OwnAddress one in own)
        {
            AddressKey key = AddressKey.Of(one.Address);
            // The same address on two interfaces: either may receive for it.
            int index = one.AnyInterface || wanted.ContainsKey(key) ? 0 : one.InterfaceIndex;
            wanted[key] = index;
        }
        Bpf.BpfMap map = _interfaces.Maps!.Addresses;
        foreach ((AddressKey key, int index) in wanted)
        {
            if (wanted.Count > SteeringLimits.MaxAddresses)
                break;
            map.Set(key, index);
        }
        foreach (AddressKey key in map.Keys<AddressKey>())
            if (!wanted.ContainsKey(key))
                map.Remove(key);
        _ports.OwnAddresses = [.. own.Select(a => a.Address)];
    }

    private unsafe void Forward(in IcmpEvent report)
    {
        PortEntry entry = new(_interfaces.Maps!.Ports[PortEntry.IndexOf(report.Transport, report.Local.Port)]);
        if (entry.Has(PortEntry.Exact)
            && _interfaces.Maps.Exact.TryGet(ExactKey.Of(report.Transport == Transport.Udp, report.Local),
                out ulong bits))
            entry = new PortEntry(bits);
        if (!entry.HasSlot || _stacks.Of(entry.Slot) is not { } stack)
            return;
        foreach (Client client in stack.Clients)
        {
            // A report that finds no room is lost, as it could be on the wire.
            if (client.HasOutput)
                continue;
            client.Send(new IcmpMessage
            {
                Header = MessageHeader.Of(MessageKind.Icmp),
                Transport = report.Transport,
                Type = report.Type,
                Code = report.Code,
                Mtu = report.Mtu,
                Seq = report.Seq,
                Local = report.Local,
                Remote = report.Remote,
            });
        }
    }

    /// <summary>Every stack gets to know how a link is now.</summary>
    private unsafe void Tell(ServedInterface served, LinkFlags flags)
    {
        LinkStateMessage state = new()
        {
            Header = MessageHeader.Of(MessageKind.LinkState),
            InterfaceIndex = served.Device.Index,
            Flags = flags,
            Mtu = served.Device.Mtu,
        };
        served.Device.Mac.AsSpan(0, 6).CopyTo(new Span<byte>(state.Mac, 6));
        foreach (Client client in _clients)
            if (client.Stack != null)
                client.Send(state);
    }

    private byte[] Status() => StatusReport.Write(_options, _interfaces, _stacks, _ports,
        Stopwatch.GetElapsedTime(_startedAt), _clients.Count);

    public void Dispose()
    {
        _stacks.FinishDying(_ports);
        if (!_options.KeepWhenStopping)
        {
            // New connections are the kernel's from now on; what was open gets its reset from there.
            foreach (ServedInterface served in _interfaces.All)
                Tell(served, served.Flags & ~LinkFlags.Up);
            _interfaces.Detach();
        }
        foreach (Client client in _clients)
            client.Dispose();
        _clients.Clear();
        _looks.Dispose();
        _interfaces.Dispose();
        _mirror.Dispose();
        _listener?.Dispose();
        Libc.Close(_wake);
    }
}
