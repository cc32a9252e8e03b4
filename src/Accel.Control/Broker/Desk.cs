using System.Numerics;
using Accel.Control.Bpf;
using Accel.Control.Handover;
using Accel.Control.Links;
using Accel.Control.Native;
using Accel.Control.Steering;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Os.Control;

namespace Accel.Control.Broker;

/// <summary>Answers what stacks ask. Trusts nothing in a packet; a refusal is an answer, nonsense ends the
/// conversation.</summary>
internal sealed class Desk(BrokerOptions options, InterfaceSet interfaces, StackRegistry stacks, PortTable ports,
    INetMirror mirror, Func<byte[]> status, LookDesk looks)
{
    private readonly Restorer _restorer = new(options, ports);
    private readonly HostKeys _keys = HostKeys.Load();
    private readonly PortProof _proof = new();

    public event Action? ListenersChanged;

    /// <summary>Before anybody can ask: see <see cref="Rehearsal"/>.</summary>
    public void Rehearse()
    {
        if (ports.SlotsInUse().Contains(Rehearsal.Nobody.Slot)
            || !Rehearsal.TryListen(out int descriptor, out SteerMessage wanted))
            return;
        if (Give(Rehearsal.Nobody.Peer, Rehearsal.Nobody, wanted, descriptor, out _) == NicRefusal.None)
            ports.Remove(wanted.Transport, wanted.Local, Rehearsal.Nobody.Slot);
        Libc.Close(descriptor);
    }

    /// <summary>Descriptors that came along are closed by the caller, but those set to -1 here.</summary>
    public void Handle(Client client, in Message packet, Span<int> descriptors)
    {
        MessageHeader header = packet.Header;
        if (header.Magic != Protocol.Magic)
        {
            client.Fault = "speaks something else";
            return;
        }
        if (header.Version != Protocol.Version)
        {
            client.Send(new WelcomeMessage
            {
                Header = MessageHeader.Of(MessageKind.Welcome, header.Serial, NicRefusal.Version),
            });
            return;
        }
        switch (header.Kind)
        {
            case MessageKind.Status:
                SendStatus(client, header.Serial);
                break;
            case MessageKind.Look:
                looks.Ask(client, header.Serial);
                break;
            case MessageKind.Hello when client.Stack == null:
                OnHello(client, Conversation.As<HelloMessage>(packet));
                break;
            case MessageKind.Steer when client.Stack != null:
                OnSteer(client, client.Stack, Conversation.As<SteerMessage>(packet),
                    descriptors.Length > 0 ? descriptors[0] : -1);
                break;
            case MessageKind.Unsteer when client.Stack != null:
                OnUnsteer(client, client.Stack, Conversation.As<SteerMessage>(packet));
                break;
            case MessageKind.Restore when client.Stack != null:
                _restorer.Answer(client, client.Stack, Conversation.As<RestoreMessage>(packet),
                    descriptors.Length > 0 ? descriptors[0] : -1);
                break;
            case MessageKind.Resolve when client.Stack != null:
                ResolveMessage resolve = Conversation.As<ResolveMessage>(packet);
                client.AskedAt = Environment.TickCount64;
                if (interfaces.Find(resolve.InterfaceIndex) != null)
                    mirror.Resolve(resolve.InterfaceIndex, resolve.Neighbour);
                break;
            case MessageKind.OwnQueue when client.Stack is { IsHandingOver: true }:
                OnOwnQueue(client.Stack, Conversation.As<QueueMessage>(packet), descriptors);
                break;
            case MessageKind.OwnReady when client.Stack is { IsHandingOver: true }:
                client.Stack.IsHandingOver = false;
                options.Log($"stack {client.Stack.Id:x16} (process {client.Peer.Pid}) is back");
                client.Send(new Message { Header = MessageHeader.Of(MessageKind.Ready, header.Serial) });
                break;
            default:
                client.Fault = $"sent a packet of kind {(int)header.Kind} out of turn";
                break;
        }
    }

    private void OnHello(Client client, in HelloMessage hello)
    {
        NicRefusal refusal = hello.LayoutHash != LayoutHash.Value ? NicRefusal.Version
            : hello.StackId == 0 ? NicRefusal.Failed
            : !SharesProcesses(client.Peer) ? NicRefusal.Policy
            : NicRefusal.None;
        Stack? stack = refusal == NicRefusal.None ? stacks.Find(hello.StackId) : null;
        if (stack != null && stack.Peer.Uid != client.Peer.Uid)
            refusal = NicRefusal.Policy;
        if (refusal == NicRefusal.None && stack != null)
        {
            // A process that was forked.
            Join(client, stack);
            Welcome(client, stack, hello.Header.Serial, WelcomeFlags.None, 0);
            return;
        }
        if (refusal == NicRefusal.None && hello.HeldSlot != 0)
        {
            stack = stacks.Readmit(hello.StackId, hello.HeldSlot - 1, client.Peer);
            if (stack != null)
            {
                Join(client, stack);
                Welcome(client, stack, hello.Header.Serial, WelcomeFlags.HandOver, 0);
                return;
            }
            refusal = NicRefusal.NoSlot;
        }
        if (refusal == NicRefusal.None)
            refusal = Admit(client, hello);
        if (refusal != NicRefusal.None)
            client.Send(new WelcomeMessage
            {
                Header = MessageHeader.Of(MessageKind.Welcome, hello.Header.Serial, refusal),
            });
    }

    private NicRefusal Admit(Client client, in HelloMessage hello)
    {
        List<ServedInterface> chosen = [];
        NicRefusal refusal = NicRefusal.NoInterface;
        foreach (ServedInterface served in interfaces.All)
        {
            if (options.Policy.RefuseAttach(client.Peer, served.Device.Name) is { } why)
            {
                refusal = NicRefusal.Policy;
                options.Log($"process {client.Peer.Pid} of user {client.Peer.Uid} gets nothing on "
                    + $"{served.Device.Name}: {why}");
            }
            else if (stacks.All.Any(s => s.Peer.Uid != client.Peer.Uid && !s.Peer.IsRoot && !client.Peer.IsRoot
                && s.Sockets.Keys.Any(k => k.Interface == served.Device.Index)))
                refusal = NicRefusal.OtherUserHasQueue;
            else
                chosen.Add(served);
        }
        if (chosen.Count == 0)
            return refusal;
        Stack? stack = stacks.Admit(hello.StackId, client.Peer);
        if (stack == null)
            return NicRefusal.NoSlot;
        Join(client, stack);
        List<ServedInterface> opened = [.. chosen.Where(served => Open(stack, served))];
        if (opened.Count == 0)
            return NicRefusal.Failed;
        Welcome(client, stack, hello.Header.Serial, WelcomeFlags.None, (uint)opened.Count);
        foreach (ServedInterface served in opened)
            Show(client, stack, served);
        client.Send(new Message { Header = MessageHeader.Of(MessageKind.Ready) });
        PrepareRings();
        options.Log($"stack {stack.Id:x16} (process {client.Peer.Pid}, user {client.Peer.Uid}) has slot {stack.Slot} "
            + $"on {string.Join(", ", opened.Select(s => s.Device.Name))}");
        return NicRefusal.None;
    }

    /// <summary>For the stack that comes next.</summary>
    public void PrepareRings()
    {
        if (stacks.FreeSlot() is not { } slot)
            return;
        foreach (ServedInterface served in interfaces.All)
            served.PrepareRing(slot);
    }

    /// <summary>
    /// Thread ids, by which a lock's holder is found dead, mean the same to all only in one PID namespace.
    /// </summary>
    private static bool SharesProcesses(Peer peer)
    {
        if (peer.Pid == 0)
            return false;
        FileInfo own = new("/proc/self/ns/pid"), other = new($"/proc/{peer.Pid}/ns/pid");
        return own.LinkTarget == null || other.LinkTarget == null || own.LinkTarget == other.LinkTarget;
    }

    private static void Join(Client client, Stack stack)
    {
        client.Stack = stack;
        stack.Clients.Add(client);
        stack.Processes.Add(client.Peer.Pid);
    }

    private void Welcome(Client client, Stack stack, uint serial, WelcomeFlags flags, uint links)
    {
        if (client.Peer.IsRoot)
            flags |= WelcomeFlags.DirectSteering;
        WelcomeMessage welcome = new()
        {
            Header = MessageHeader.Of(MessageKind.Welcome, serial),
            Flags = flags,
            Slot = stack.Slot,
            Links = links,
            PortTableBytes = (ulong)PortEntry.TableBytes,
            SequenceKey0 = _keys.Key0,
            SequenceKey1 = _keys.Key1,
        };
        if (client.Peer.IsRoot)
            client.Send(welcome, mirror.Fd, interfaces.Maps!.PortsFd);
        else
            client.Send(welcome, mirror.Fd);
    }

    /// <summary>Makes a stack's sockets on an interface. All queues or none: flows of the others would be lost.
    /// </summary>
    private bool Open(Stack stack, ServedInterface served)
    {
        string refusal = "";
        for (uint queue = 0; queue < served.Queues && refusal.Length == 0; queue++)
        {
            QueueMemory? memory = served.Memory(queue, out refusal);
            if (memory == null)
                break;
            int socket = XdpSocket.Share(memory.SocketFd, memory.Sizes.ReceiveRing, memory.Sizes.SendRing,
                served.Device.Index, queue);
            if (socket < 0)
                refusal = $"socket: {Libc.Text(-socket)}";
            else
                stack.Sockets[(served.Device.Index, queue)] =
                    new StackSocket(socket, memory.Sizes.ReceiveRing, memory.Sizes.SendRing);
        }
        FrameRingMap? ring = refusal.Length == 0 && served.Mode == AttachMode.Ring
            ? served.TakeRing(stack.Slot, out refusal) : null;
        if (ring != null)
            stack.Rings[served.Device.Index] = ring;
        for (uint queue = 0; queue < served.Queues; queue++)
        {
            if (refusal.Length == 0)
                served.Connect(stack.Slot, queue, stack.Sockets[(served.Device.Index, queue)].Fd);
            else if (stack.Sockets.Remove((served.Device.Index, queue), out StackSocket socket))
                Libc.Close(socket.Fd);
        }
        if (refusal.Length == 0)
            return true;
        options.Log($"{served.Device.Name}: no socket for stack {stack.Id:x16}: {refusal}");
        return false;
    }

    private unsafe void Show(Client client, Stack stack, ServedInterface served)
    {
        LinkInfo info = served.Describe(stack.Slot);
        int packet = served.OpenPacketSocket(stack.Slot, out bool hasBell);
        LinkMessage link = new()
        {
            Header = MessageHeader.Of(MessageKind.Link),
            InterfaceIndex = info.InterfaceIndex,
            Flags = ((LinkFlags)info.Flags & (packet >= 0 ? (LinkFlags)uint.MaxValue : ~LinkFlags.SuperFrames))
                | (hasBell ? LinkFlags.Bell : 0),
            Mtu = info.Mtu,
            Queues = info.Queues,
            Slot = info.Slot,
            MaxSuperFrame = info.MaxSuperFrame,
            RxRingSize = info.RxRingSize,
            TxRingSize = info.TxRingSize,
            FillRingSize = info.FillRingSize,
            CompletionRingSize = info.CompletionRingSize,
            Frames = info.Frames,
            FrameBytes = info.FrameBytes,
            HasPacketSocket = packet >= 0 ? 1u : 0,
            RingBytes = info.RingBytes,
        };
        served.Device.Mac.AsSpan(0, 6).CopyTo(new Span<byte>(link.Mac, 6));
        byte[] name = System.Text.Encoding.UTF8.GetBytes(served.Device.Name);
        name.AsSpan(0, Math.Min(name.Length, LinkInfo.NameBytes - 1))
            .CopyTo(new Span<byte>(link.Name, LinkInfo.NameBytes));
        List<int> descriptors = [];
        if (packet >= 0)
        {
            stack.PacketSockets.Add(packet);
            descriptors.Add(packet);
        }
        if (stack.Rings.TryGetValue(info.InterfaceIndex, out FrameRingMap? ring))
            descriptors.Add(ring.Fd);
        client.Send(link, [.. descriptors]);
        for (uint queue = 0; queue < served.Queues; queue++)
            client.Send(new QueueMessage
            {
                Header = MessageHeader.Of(MessageKind.Queue),
                InterfaceIndex = info.InterfaceIndex,
                Queue = queue,
                RxRingSize = stack.Sockets[(info.InterfaceIndex, queue)].ReceiveSize,
                TxRingSize = stack.Sockets[(info.InterfaceIndex, queue)].SendSize,
            }, stack.Sockets[(info.InterfaceIndex, queue)].Fd, served.Memories[queue].MemoryFd);
    }

    private void OnSteer(Client client, Stack stack, in SteerMessage wanted, int descriptor)
    {
        NicRefusal refusal = Give(client.Peer, stack, wanted, descriptor, out string? why);
        if (why != null)
            options.Log($"process {client.Peer.Pid} may not have {wanted.Transport} port {wanted.Local.Port}: {why}");
        client.Send(new Message
        {
            Header = MessageHeader.Of(MessageKind.Answer, wanted.Header.Serial, refusal),
        });
    }

    private NicRefusal Give(Peer peer, Stack stack, in SteerMessage wanted, int descriptor, out string? why)
    {
        why = _proof.Refusal(wanted, descriptor, out bool v6Only);
        if (why != null)
            return NicRefusal.NotYourPort;
        why = options.Policy.RefuseSteer(peer, wanted.Transport, wanted.Local, wanted.IsListener != 0, NamesOf(stack));
        if (why != null)
            return NicRefusal.Policy;
        bool mayHaveOthers = wanted.IsListener != 0 && wanted.Transport == Transport.Tcp;
        ulong flags = (wanted.IsListener != 0 ? PortEntry.Listener : 0) | (mayHaveOthers ? PortEntry.Mixed : 0);
        NicRefusal refusal = ports.Add(wanted.Transport, wanted.Local, stack.Slot, v6Only, flags);
        // A server that was killed, and started again at once.
        if (refusal == NicRefusal.PortTaken && stacks.FinishDying(ports))
            refusal = ports.Add(wanted.Transport, wanted.Local, stack.Slot, v6Only, flags);
        if (mayHaveOthers && refusal == NicRefusal.None)
            ports.Answers.Set(wanted.Local, v6Only, stack.Slot, HasOurTime(wanted) ? wanted.Answer : default);
        if (mayHaveOthers)
            ListenersChanged?.Invoke();
        return refusal;
    }

    /// <summary>
    /// In a time namespace a stack's clock may be another than the one of the program on the interfaces, which then
    /// could not make cookies that the stack takes for its own.
    /// </summary>
    private static bool HasOurTime(in SteerMessage wanted)
    {
        const long mostApart = 5_000_000_000;
        return Math.Abs(wanted.NowNs - DaemonKernel.Shared.NowNs()) < mostApart;
    }

    private List<string> NamesOf(Stack stack) =>
    [
        .. interfaces.All.Where(i => stack.Sockets.Keys.Any(k => k.Interface == i.Device.Index))
            .Select(i => i.Device.Name),
    ];

    private void OnUnsteer(Client client, Stack stack, in SteerMessage wanted)
    {
        bool found = wanted.Transport is Transport.Tcp or Transport.Udp
            && (wanted.IsListener != 0
                ? ports.Leave(wanted.Transport, wanted.Local, stack.Slot)
                : ports.Remove(wanted.Transport, wanted.Local, stack.Slot));
        client.Send(new Message
        {
            Header = MessageHeader.Of(MessageKind.Answer, wanted.Header.Serial,
                found ? NicRefusal.None : NicRefusal.NotYourPort),
        });
    }

    private void OnOwnQueue(Stack stack, in QueueMessage message, Span<int> descriptors)
    {
        ServedInterface? served = interfaces.Find(message.InterfaceIndex);
        (int, uint) key = (message.InterfaceIndex, message.Queue);
        if (served == null || descriptors.Length < 2 || !IsRingSize(message.RxRingSize)
            || !IsRingSize(message.TxRingSize) || stack.Sockets.ContainsKey(key)
            || Libc.Option(descriptors[0], Libc.SolSocket, Libc.SoDomain) != Libc.AfXdp)
            return;
        if (served.Adopt(message.Queue, descriptors[0], descriptors[1]) is { } refusal)
        {
            options.Log($"{served.Device.Name}: queue {message.Queue} of stack {stack.Id:x16} cannot be taken over: "
                + refusal);
            return;
        }
        stack.Sockets[key] = new StackSocket(descriptors[0], message.RxRingSize, message.TxRingSize);
        descriptors[0] = -1;
    }

    private static bool IsRingSize(uint size) => BitOperations.IsPow2(size) && size <= 1 << 16;

    private static unsafe int FileOf(byte[] bytes)
    {
        fixed (byte* name = "acceld-status\0"u8)
        {
            int fd = Libc.MemfdCreate(name, 1);
            fixed (byte* from = bytes)
                Libc.Write(fd, from, bytes.Length);
            return fd;
        }
    }

    private void SendStatus(Client client, uint serial)
    {
        int file = FileOf(status());
        client.Send(new Message { Header = MessageHeader.Of(MessageKind.Answer, serial) }, file);
        if (client.HasOutput)
            client.Fault = "";
        Libc.Close(file);
    }
}
