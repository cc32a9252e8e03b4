using System.Collections.Generic;
using Accel.Core.Handover;
using Accel.Core.Ip;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Stack;
using Accel.Os.Links;

namespace Accel.Os.Control;

/// <summary>
/// The stack's conversation with acceld. Each process of a stack has its own (an answer must not reach a sibling); the
/// stack lives for acceld as long as any of them is open.
/// </summary>
[ColdPath]
public sealed unsafe partial class AcceldClient : INicControl
{
    private const long RetryNs = 500_000_000, DropsNs = 1_000_000_000;
    private const int MaxStashed = 32;

    private readonly LinuxKernel _kernel;
    private readonly Action<int, int> _own;
    private readonly Action<int> _disown;
    private readonly string _path;
    private readonly byte[] _pathBytes;
    private readonly Message[] _stash = new Message[MaxStashed];
    private readonly List<int> _kept = [];
    private readonly int[] _brought = new int[Protocol.MaxDescriptors];
    private XdpLink[] _links = [];
    private int _broughtCount;
    private int _stashed;
    private int _fd = -1;
    private int _inherited = -1;
    private int _mirror = -1;
    private int _steering = -1;
    private ulong _stackId;
    private uint _slot;
    private uint _serial;
    private ulong* _ports;
    private int _patience = Protocol.AnswerMilliseconds;
    private long _retryNs;
    private long _dropsNs;

    /// <param name="kernel">System calls.</param>
    /// <param name="own">Protects a descriptor, which sits high already, from the program; and what it is (see
    /// <see cref="DescriptorEntry"/>).</param>
    /// <param name="disown">Ends that and closes it.</param>
    /// <param name="socketPath">Where acceld listens, if not at its usual place.</param>
    public AcceldClient(LinuxKernel kernel, Action<int, int> own, Action<int> disown, string? socketPath = null)
    {
        _kernel = kernel;
        _own = own;
        _disown = disown;
        _path = socketPath ?? Protocol.SocketPath(kernel.NetworkNamespace());
        _pathBytes = [.. System.Text.Encoding.UTF8.GetBytes(_path), 0];
    }

    public bool IsPresent
    {
        get
        {
            fixed (byte* path = _pathBytes)
                return _kernel.Exists(path);
        }
    }

    public bool IsConnected => _fd >= 0 || _inherited >= 0;

    public int WatchDescriptor => _fd;

    public NetTables Tables { get; private set; }

    public ulong SequenceKey0 { get; private set; }

    public ulong SequenceKey1 { get; private set; }

    /// <summary>Why the last thing that went wrong did, in words.</summary>
    public string? LastError { get; private set; }

    public ILink[] Attach(ulong stackId, LinkInfo* infos, int max, out NicRefusal refusal)
    {
        _stackId = stackId;
        List<XdpLink> links = [];
        _patience = Protocol.AttachMilliseconds;
        refusal = Open(0, out WelcomeMessage welcome);
        if (refusal == NicRefusal.None)
            refusal = ReceiveLinks(welcome, infos, max, links);
        _patience = Protocol.AnswerMilliseconds;
        if (refusal != NicRefusal.None)
        {
            Leave();
            DropLinks(links);
        }
        _kept.Clear();
        if (refusal != NicRefusal.None)
            return [];
        _slot = welcome.Slot;
        _links = [.. links];
        return [.. links];
    }

    public NicRefusal Steer(
        Transport transport, in Endpoint local, int descriptor, bool listener, in SynAnswer answer = default)
    {
        // What acceld was asked to take away it might take away after this: then it has to be the one that gives.
        bool mayBeTaken = Forgive(transport, local);
        if (!listener && _ports != null && !mayBeTaken)
        {
            ulong wanted = PortEntry.For(_slot, local, 0).Bits;
            ref ulong entry = ref _ports[PortEntry.IndexOf(transport, local.Port)];
            ulong before = Interlocked.CompareExchange(ref entry, wanted, 0);
            if (before == 0 || before == wanted)
                return NicRefusal.None;
        }
        SteerMessage question = new()
        {
            Header = Question(MessageKind.Steer),
            Transport = transport,
            IsListener = (byte)(listener ? 1 : 0),
            Local = local,
            Answer = answer,
            NowNs = _kernel.NowNs(),
        };
        NicRefusal refusal = Ask(question, question.Header.Serial, [descriptor]);
        // Nothing was heard. It may have been done, or be done late, and then frames would come to a stack that knows
        // nothing of the port and answers nobody. What connections are left of an earlier listener keep it.
        if (refusal == NicRefusal.Failed)
            Owe(transport, local, listener && transport == Transport.Tcp);
        return refusal;
    }

    public void Leave(in Endpoint local)
    {
        SteerMessage question = new()
        {
            Header = Question(MessageKind.Unsteer), Transport = Transport.Tcp, IsListener = 1, Local = local,
        };
        if (Ask(question, question.Header.Serial, default) is NicRefusal.NoDaemon or NicRefusal.Failed)
            Owe(Transport.Tcp, local, true);
    }

    public void Unsteer(Transport transport, in Endpoint local)
    {
        if (TryGiveBack(transport, local))
            return;
        SteerMessage question = new()
        {
            Header = Question(MessageKind.Unsteer), Transport = transport, Local = local,
        };
        if (Ask(question, question.Header.Serial, default) is NicRefusal.NoDaemon or NicRefusal.Failed)
            Owe(transport, local, false);
    }

    public bool IsPortFree(Transport transport, ushort port) =>
        _ports == null || Volatile.Read(ref _ports[PortEntry.IndexOf(transport, port)]) == 0;

    /// <summary>Who writes simple entries into the table takes them out as well.</summary>
    private bool TryGiveBack(Transport transport, in Endpoint local)
    {
        if (_ports == null)
            return false;
        ulong ours = PortEntry.For(_slot, local, 0).Bits;
        ref ulong entry = ref _ports[PortEntry.IndexOf(transport, local.Port)];
        return Interlocked.CompareExchange(ref entry, 0, ours) == ours || entry == 0;
    }

    public NicRefusal Restore(
        in Endpoint local, in Endpoint remote, in TcpImage image, byte* queues, out int descriptor)
    {
        descriptor = -1;
        int file = _kernel.FileOf("accel-handover", queues, image.QueueBytes);
        if (file < 0)
            return NicRefusal.Failed;
        RestoreMessage question = new()
        {
            Header = Question(MessageKind.Restore), Local = local, Remote = remote, Image = image,
        };
        NicRefusal refusal = Ask(question, question.Header.Serial, [file], mayRepeat: false);
        _kernel.Close(file);
        if (refusal != NicRefusal.None)
            return refusal;
        if (_broughtCount < 1 || _brought[0] < 0)
            return NicRefusal.Failed;
        descriptor = _brought[0];
        _brought[0] = -1;
        return NicRefusal.None;
    }

    public void Resolve(int interfaceIndex, in Endpoint neighbour)
    {
        if (!IsJoined())
            return;
        ResolveMessage message = new()
        {
            Header = MessageHeader.Of(MessageKind.Resolve), InterfaceIndex = interfaceIndex, Neighbour = neighbour,
        };
        // Lost if acceld is that busy: whoever waits for the neighbour asks again.
        new Conversation(_kernel, _fd).Send(message);
    }

    public void AfterFork()
    {
        // The parent says it.
        _owedCount = 0;
        if (_fd < 0)
            return;
        _inherited = _fd;
        _fd = -1;
        _retryNs = 0;
    }

    public void Tend(INicHost host)
    {
        if (_links.Length == 0 || !IsJoined())
            return;
        while (_fd >= 0 && TryReceive(out Message packet))
        {
            CloseBrought();
            Stash(packet);
        }
        for (int i = 0; i < _stashed; i++)
            Deliver(_stash[i], host);
        _stashed = 0;
        long now = _kernel.NowNs();
        if (now < _dropsNs)
            return;
        _dropsNs = now + DropsNs;
        foreach (XdpLink link in _links)
            link.UpdateDrops();
    }

    private void Deliver(in Message packet, INicHost host)
    {
        if (packet.Header.Kind == MessageKind.LinkState)
        {
            Change(Conversation.As<LinkStateMessage>(packet));
            return;
        }
        IcmpMessage icmp = Conversation.As<IcmpMessage>(packet);
        IcmpEvent report = new()
        {
            Transport = icmp.Transport,
            Type = icmp.Type,
            Code = icmp.Code,
            Local = icmp.Local,
            Remote = icmp.Remote,
            Seq = icmp.Seq,
            Mtu = icmp.Mtu,
        };
        host.OnIcmp(report);
    }

    private void Change(in LinkStateMessage state)
    {
        foreach (XdpLink link in _links)
        {
            if (link.Info->InterfaceIndex != state.InterfaceIndex)
                continue;
            // Its packet socket is this stack's own: acceld speaks of the interface.
            const LinkFlags Own = LinkFlags.Bell | LinkFlags.SuperFrames;
            link.Info->Flags = (uint)((state.Flags & ~Own) | ((LinkFlags)link.Info->Flags & Own));
            // Buffers were made for the MTU that was: a larger one is for stacks that come later.
            link.Info->Mtu = Math.Min(link.LargestMtu, state.Mtu);
            for (int i = 0; i < 6; i++)
                link.Info->Mac[i] = state.Mac[i];
        }
    }

    /// <summary>True if there is a conversation of this process, begun again if it must be.</summary>
    private bool IsJoined()
    {
        if (_fd >= 0)
        {
            SayOwed();
            return true;
        }
        long now = _kernel.NowNs();
        if (_stackId == 0 || now < _retryNs)
            return false;
        _retryNs = now + RetryNs;
        NicRefusal refusal = NicRefusal.NoDaemon;
        WelcomeMessage welcome = default;
        if (IsPresent)
            refusal = Open(_slot + 1, out welcome);
        if (refusal == NicRefusal.None && (welcome.Flags & WelcomeFlags.HandOver) != 0 && !HandOver())
            refusal = NicRefusal.Failed;
        if (refusal != NicRefusal.None)
        {
            Leave();
            if (refusal is NicRefusal.NoSlot or NicRefusal.Version)
                GiveUpLinks();
            return false;
        }
        if (_inherited >= 0)
            _disown(_inherited);
        _inherited = -1;
        SayOwed();
        return true;
    }

    /// <summary>
    /// A new acceld that knows nothing of this stack: the old one was stopped, or this process was, for longer than
    /// stacks are waited for. Nothing comes over the links any more.
    /// </summary>
    private void GiveUpLinks()
    {
        foreach (XdpLink link in _links)
            link.Info->Flags &= ~(uint)LinkFlags.Up;
        _retryNs = long.MaxValue;
    }

    /// <summary>acceld is a new one: it gets to know the queues, and serves others over them again.</summary>
    private bool HandOver()
    {
        Conversation conversation = new(_kernel, _fd);
        foreach (XdpLink link in _links)
        {
            foreach (ref readonly XdpQueue queue in link.Queues)
            {
                QueueMessage message = new()
                {
                    Header = MessageHeader.Of(MessageKind.OwnQueue),
                    InterfaceIndex = link.Info->InterfaceIndex,
                    Queue = queue.Number,
                    RxRingSize = queue.Receive.Size,
                    TxRingSize = queue.Send.Size,
                };
                if (conversation.Send(message, [queue.Descriptor, queue.UmemDescriptor]) < 0)
                    return false;
            }
        }
        Message last = new() { Header = MessageHeader.Of(MessageKind.OwnReady) };
        return conversation.Send(last) == 0 && TryAwait(MessageKind.Ready, out Message ready)
            && ready.Header.Refusal == NicRefusal.None;
    }

    /// <summary>Connects and says who is there.</summary>
    private NicRefusal Open(uint heldSlot, out WelcomeMessage welcome)
    {
        welcome = default;
        int fd = Conversation.Connect(_kernel, _path);
        if (fd < 0)
        {
            LastError = string.Concat("no daemon at ", _path);
            return NicRefusal.NoDaemon;
        }
        _own(fd, DescriptorEntry.ControlTag);
        _fd = fd;
        HelloMessage hello = new()
        {
            Header = Question(MessageKind.Hello),
            LayoutHash = LayoutHash.Value,
            StackId = _stackId,
            HeldSlot = heldSlot,
        };
        if (new Conversation(_kernel, fd).Send(hello) < 0 || !TryAwait(MessageKind.Welcome, out Message packet))
            return NicRefusal.Failed;
        if (packet.Header.Refusal != NicRefusal.None)
            return packet.Header.Refusal;
        welcome = Conversation.As<WelcomeMessage>(packet);
        return TakeTables(welcome);
    }

    private NicRefusal TakeTables(in WelcomeMessage welcome)
    {
        bool direct = (welcome.Flags & WelcomeFlags.DirectSteering) != 0 && _broughtCount > 1
            && welcome.PortTableBytes == PortEntry.TableBytes;
        // The old ones with their descriptors: those of the parent, or of an acceld before this one.
        int oldMirror = _mirror, oldSteering = _steering;
        _mirror = Keep(0, DescriptorEntry.MirrorTag);
        _steering = direct ? Keep(1, DescriptorEntry.SteeringTag) : -1;
        _disown(oldMirror);
        _disown(oldSteering);
        CloseBrought();
        SequenceKey0 = welcome.SequenceKey0;
        SequenceKey1 = welcome.SequenceKey1;
        return MapTables() ? NicRefusal.None : NicRefusal.Failed;
    }

    private bool MapTables()
    {
        LastError = _mirror < 0 ? "no mirror" : MirrorRefusal(_mirror);
        byte* mirror = LastError != null ? null : _kernel.MapView(_mirror, NetLimits.SizeBytes);
        if (mirror == null)
            return false;
        // Another thread may be reading the old one, which so stays mapped.
        Tables = new NetTables(mirror);
        if (_steering >= 0)
        {
            if (_ports != null)
                _kernel.Unmap((byte*)_ports, PortEntry.TableBytes);
            _ports = (ulong*)_kernel.MapShare(_steering, PortEntry.TableBytes, populate: false);
        }
        return true;
    }

    private string? MirrorRefusal(int fd)
    {
        RegionHeader header;
        if (_kernel.Read(fd, &header, (ulong)sizeof(RegionHeader), 0) != sizeof(RegionHeader)
            || _kernel.SizeOf(fd) < NetLimits.SizeBytes)
            return "the mirror is too short";
        return RegionHeader.Refusal(header, RegionKind.NetTables, LayoutHash.Value);
    }

    private MessageHeader Question(MessageKind kind) => MessageHeader.Of(kind, ++_serial);

    /// <summary>
    /// <see cref="NicRefusal.NoDaemon"/>: it was not asked. <see cref="NicRefusal.Failed"/>: it was, and may have done
    /// it or not. <paramref name="mayRepeat"/>: doing it twice is as good as once.
    /// </summary>
    private NicRefusal Ask<T>(in T question, uint serial, ReadOnlySpan<int> descriptors, bool mayRepeat = true)
        where T : unmanaged
    {
        NicRefusal outcome = NicRefusal.NoDaemon;
        // It may have gone since: perhaps there is a new one already.
        for (int attempt = 0; attempt < 2 && IsJoined(); attempt++)
        {
            if (new Conversation(_kernel, _fd).Send(question, descriptors) < 0)
            {
                Leave();
                continue;
            }
            outcome = NicRefusal.Failed;
            if (TryAwait(MessageKind.Answer, out Message answer, serial))
                return answer.Header.Refusal;
            if (_fd >= 0 || !mayRepeat)
                break;
        }
        return outcome;
    }

    /// <summary>Waits for a packet of a kind; reports that come in between are kept for later.</summary>
    private bool TryAwait(MessageKind kind, out Message packet, uint serial = 0)
    {
        packet = default;
        long end = _kernel.NowNs() + _patience * 1_000_000L;
        while (_fd >= 0)
        {
            long left = (end - _kernel.NowNs()) / 1_000_000;
            if (left <= 0 || !_kernel.WaitReadable(_fd, (int)left))
            {
                LastError = "acceld does not answer";
                return false;
            }
            if (!TryReceive(out packet))
                continue;
            if (packet.Header.Kind == kind && (serial == 0 || packet.Header.Serial == serial))
                return true;
            CloseBrought();
            Stash(packet);
        }
        return false;
    }

    private bool TryReceive(out Message packet)
    {
        CloseBrought();
        int got = new Conversation(_kernel, _fd).Receive(out packet, _brought, out _broughtCount);
        if (got > 0)
        {
            if (packet.Header.Magic != Protocol.Magic || packet.Header.Version != Protocol.Version)
                return false;
            if (packet.Header.Kind == MessageKind.Answer)
                SettleOwed(packet.Header.Serial);
            return true;
        }
        if (got is -Errno.EAGAIN or -Errno.EINTR)
            return false;
        LastError = "acceld has gone";
        Leave();
        return false;
    }

    private void Stash(in Message packet)
    {
        if (packet.Header.Kind is MessageKind.Icmp or MessageKind.LinkState && _stashed < MaxStashed)
            _stash[_stashed++] = packet;
    }

    private void CloseBrought()
    {
        for (int i = 0; i < _broughtCount; i++)
        {
            if (_brought[i] >= 0)
                _kernel.Close(_brought[i]);
        }
        _broughtCount = 0;
    }

    private void Leave()
    {
        CloseBrought();
        OweAgain();
        if (_fd >= 0)
            _disown(_fd);
        _fd = -1;
    }
}
