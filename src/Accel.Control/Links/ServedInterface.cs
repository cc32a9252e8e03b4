using Accel.Control.Bpf;
using Accel.Control.Native;
using Accel.Control.Steering;
using Accel.Core.Nic;
using Accel.Os.Links;

namespace Accel.Control.Links;

/// <summary>
/// An interface with the steering program on it, and the frames of its queues. They are made when the first stack
/// comes: until then the program passes everything on, and costs next to nothing.
/// </summary>
public sealed unsafe class ServedInterface : IDisposable
{
    private const int MaxSuperFrame = PacketSocket.MaxBytes;

    private readonly SteeringProgram _program;
    private readonly QueueSizes _sizes;
    private readonly int _mostQueues;
    private readonly Dictionary<uint, QueueMemory> _queues = [];
    private ushort _bindFlags;
    private bool _isZeroCopy;
    private Task<(FrameRingMap? Ring, string Refusal)>? _spare;
    private uint _spareSlot;

    private ServedInterface(NetInterface device, SteeringProgram program, AttachMode mode, string why,
        QueueSizes? sizes, int mostQueues)
    {
        Device = device;
        _program = program;
        Mode = mode;
        Why = why;
        _mostQueues = mostQueues;
        _sizes = sizes ?? QueueSizes.ForQueues(Queues);
        _bindFlags = (ushort)(XdpSocket.NeedWakeup | XdpSocket.ScatterGather
            | (mode == AttachMode.Native ? XdpSocket.ZeroCopy : XdpSocket.Copy));
    }

    public NetInterface Device { get; private set; }

    public AttachMode Mode { get; }

    /// <summary>Why this mode, in words.</summary>
    public string Why { get; private set; }

    /// <summary>Of the queues' memory: those that were taken over may have others than are made now.</summary>
    public QueueSizes Sizes => _queues.Count > 0 ? _queues.Values.First().Sizes : _sizes;

    public BpfMap Sockets => _program.Maps["xsks"];

    public BpfMap Counts => _program.Maps["counts"];

    public IReadOnlyDictionary<uint, QueueMemory> Memories => _queues;

    public uint Queues => (uint)Math.Min(Math.Min(Device.Queues, _mostQueues), SteeringLimits.MaxQueues);

    private LinkFlags ModeFlag => Mode switch
    {
        AttachMode.Native => LinkFlags.Native,
        AttachMode.Generic => LinkFlags.Generic,
        _ => LinkFlags.Ring,
    };

    /// <summary>How a stack's sockets there work.</summary>
    public LinkFlags Flags =>
        ModeFlag | LinkFlags.NeedWakeup | LinkFlags.SuperFrames
        | (_isZeroCopy ? LinkFlags.ZeroCopy : 0)
        | ((_bindFlags & XdpSocket.ScatterGather) != 0 ? LinkFlags.ScatterGather : 0)
        | (Device.IsVirtualPair ? LinkFlags.TrustsPartialChecksums : 0) | (Device.IsUp ? LinkFlags.Up : 0);

    /// <summary>
    /// Puts the program on an interface, or in the place of one that an acceld left there, whose maps it takes over.
    /// </summary>
    /// <param name="device">The interface.</param>
    /// <param name="maps">Those of the namespace, if there are any yet. The program's, if not.</param>
    /// <param name="wish">The user's.</param>
    /// <param name="sizes">Of rings and memory.</param>
    /// <param name="mostQueues">Queues to use at most.</param>
    public static ServedInterface Open(NetInterface device, ref SteeringMaps? maps, ModeWish wish, QueueSizes? sizes,
        int mostQueues)
    {
        int old = Attachment.Find(device.Index, out AttachMode oldMode, out string name);
        ModeChoice choice = ModeChoice.For(wish, device);
        Dictionary<string, BpfMap> given = [];
        Dictionary<string, BpfMap> left = [];
        SteeringProgram? program = null;
        try
        {
            if (old >= 0 && !SteeringProgram.IsOurs(name))
            {
                // It comes before a tc program, and does not mind one.
                choice = choice with { Modes = [.. choice.Modes.Where(mode => mode == AttachMode.Ring)] };
                if (choice.Modes.Count == 0)
                    throw new ControlException($"another XDP program ({name}) is on the interface");
                Libc.Close(old);
                old = -1;
            }
            if (old >= 0)
                left = LoadedProgram.MapsOf(old);
            if (left.Count > 0 && maps == null)
                maps = SteeringMaps.From(left);
            if (maps != null)
                foreach ((string key, BpfMap map) in maps.All)
                    given[key] = map;
            foreach (string own in SteeringProgram.OwnMaps)
                if (left.TryGetValue(own, out BpfMap? map))
                    given[own] = map;
            program = SteeringProgram.Load(given);
            maps ??= SteeringMaps.From(program.Maps)
                ?? throw new ControlException("the steering program lacks maps");
            (AttachMode mode, string why) = Place(device, program, old, oldMode, choice, maps);
            var served = new ServedInterface(device, program, mode, why, sizes, mostQueues);
            if (mode == AttachMode.Native && choice.Modes.Contains(AttachMode.Generic)
                && served.ProbeNative() is { } refusal)
            {
                Attachment.Detach(device.Index, program.FdOf(mode), mode);
                if (Attachment.Attach(device.Index, program, AttachMode.Generic) is { } also)
                    throw new ControlException($"native: {refusal}; generic: {also}");
                served = new ServedInterface(device, program, AttachMode.Generic, $"native: {refusal}", sizes,
                    mostQueues);
            }
            served.Configure(device);
            return served;
        }
        catch
        {
            program?.Dispose();
            throw;
        }
        finally
        {
            foreach (BpfMap map in left.Values)
                map.Dispose();
            if (old >= 0)
                Libc.Close(old);
        }
    }

    private static (AttachMode Mode, string Why) Place(NetInterface device, SteeringProgram program, int old,
        AttachMode oldMode, ModeChoice choice, SteeringMaps maps)
    {
        if (old >= 0 && (choice.Modes.Contains(oldMode) || MustStay(oldMode, choice, maps)))
        {
            string? failed = Attachment.Exchange(device.Index, program, old, oldMode);
            return failed == null ? (oldMode, "as before")
                : throw new ControlException($"the program left there cannot be replaced: {failed}");
        }
        if (old >= 0)
            Attachment.Detach(device.Index, old, oldMode);
        string before = "";
        foreach (AttachMode mode in choice.Modes)
        {
            string? refusal = Attachment.Attach(device.Index, program, mode);
            if (refusal == null)
                return (mode, before.Length == 0 ? choice.Why : before);
            before += $"{(before.Length == 0 ? "" : "; ")}{Attachment.NameOf(mode)}: {refusal}";
        }
        throw new ControlException(before);
    }

    /// <summary>Stacks that look for their frames in rings find none in sockets, and the other way round.</summary>
    private static bool MustStay(AttachMode oldMode, ModeChoice choice, SteeringMaps maps)
    {
        if ((oldMode == AttachMode.Ring) == (choice.Modes[0] == AttachMode.Ring))
            return false;
        for (uint slot = 0; slot < SteeringLimits.MaxSlots; slot++)
        {
            if (maps.Slots.TryGet(slot, out SlotHolder holder) && holder.Stack != 0)
                return true;
        }
        return false;
    }

    /// <summary>Do sockets bind while the program is in the driver? Null if so.</summary>
    private string? ProbeNative()
    {
        ushort flags = _bindFlags;
        var small = new QueueSizes(64, 2048) { FillRing = 32, CompletionRing = 32 };
        using QueueMemory? probe = CreateMemory(0, small, ref flags, out string refusal, out bool isBusy);
        // Busy: sockets that an acceld before this one made are there, so they do bind.
        return probe != null || isBusy ? null : refusal;
    }

    private QueueMemory? CreateMemory(uint queue, QueueSizes sizes, ref ushort flags, out string refusal,
        out bool isBusy)
    {
        QueueMemory? made = QueueMemory.Create(Device, queue, sizes, ref flags, out refusal, out isBusy);
        if (made != null || isBusy || (flags & XdpSocket.ZeroCopy) == 0)
        {
            _isZeroCopy = made != null && (flags & XdpSocket.ZeroCopy) != 0;
            return made;
        }
        flags = (ushort)((_bindFlags & ~XdpSocket.ZeroCopy) | XdpSocket.Copy);
        return QueueMemory.Create(Device, queue, sizes, ref flags, out refusal, out isBusy);
    }

    /// <summary>
    /// What the program sends back leaves. A native program on a veth is dropped what it sends if the peer has neither
    /// a program nor GRO, which cannot be seen from here.
    /// </summary>
    private bool CanAnswer => Mode != AttachMode.Native || !Device.IsVirtualPair;

    /// <summary>Tells the program what it has to know of the interface.</summary>
    public void Configure(NetInterface device)
    {
        Device = device;
        BpfMap told = _program.Maps["link_config"];
        // A stack's buffers are for the MTU that was when it came: never offer more than the least that was.
        uint mtu = told.TryGet(0u, out InterfaceConfig before) && before.Mtu != 0
            ? Math.Min(before.Mtu, device.Mtu) : device.Mtu;
        int flags = InterfaceConfig.Up | (CanAnswer ? InterfaceConfig.Answers : 0)
            | (device.IsVirtualPair ? InterfaceConfig.PartialChecksums : 0);
        told.Set(0u, InterfaceConfig.Of(device.Mac, flags, mtu, SteeringLimits.MostSyns(Queues)));
    }

    /// <summary>The memory of a queue, made now if there is none. Null, and why.</summary>
    public QueueMemory? Memory(uint queue, out string refusal)
    {
        refusal = "";
        if (_queues.TryGetValue(queue, out QueueMemory? memory))
            return memory;
        ushort flags = _bindFlags;
        memory = CreateMemory(queue, _sizes, ref flags, out refusal, out bool isBusy);
        if (isBusy)
            refusal += " (stacks of an acceld that died hold it; they come back within seconds)";
        if (memory == null)
            return null;
        _bindFlags = flags;
        return _queues[queue] = memory;
    }

    /// <summary>Takes over a queue's memory from a stack that kept it alive. Null, or why not.</summary>
    public string? Adopt(uint queue, int stackSocket, int stackMemory)
    {
        if (_queues.ContainsKey(queue))
            return null;
        QueueMemory? memory = QueueMemory.Adopt(Device, queue, stackSocket, stackMemory, out string refusal);
        if (memory == null)
            return refusal;
        _queues[queue] = memory;
        return null;
    }

    /// <summary>Frames of a slot on a queue go to a socket. In ring mode it shows that the stack lives.</summary>
    public void Connect(uint slot, uint queue, int socket) =>
        Sockets.Set(slot * SteeringLimits.MaxQueues + queue, socket);

    /// <summary>
    /// Makes the ring of the stack that will have a slot, aside: to put a map into a map takes the kernel tens of
    /// milliseconds (synchronize_rcu), which who comes is not to wait for.
    /// </summary>
    public void PrepareRing(uint slot)
    {
        if (Mode != AttachMode.Ring || (_spare != null && _spareSlot == slot))
            return;
        (Task<(FrameRingMap? Ring, string)>? unused, uint before) = (_spare, _spareSlot);
        _spareSlot = slot;
        _spare = Task.Run(() =>
        {
            if (unused != null)
            {
                unused.GetAwaiter().GetResult().Ring?.Dispose();
                DisconnectRing(before);
            }
            return MakeRing(slot);
        });
    }

    /// <summary>The ring of a slot: what stands in it comes to nobody until a socket is connected. Null, and why.
    /// </summary>
    public FrameRingMap? TakeRing(uint slot, out string refusal)
    {
        Task<(FrameRingMap?, string)>? prepared = _spareSlot == slot ? _spare : null;
        if (prepared != null)
            _spare = null;
        (FrameRingMap? ring, refusal) = prepared?.GetAwaiter().GetResult() ?? MakeRing(slot);
        if (ring != null)
        {
            _program.Maps["rings_full"].Set(slot, 0u);
            _program.Maps["bells"].Set(slot, default(BellState));
        }
        return ring;
    }

    private (FrameRingMap? Ring, string Refusal) MakeRing(uint slot)
    {
        FrameRingMap? ring = FrameRingMap.Create(out string refusal);
        if (ring == null)
            return (null, refusal);
        try
        {
            _program.Maps["rings"].Set(slot, ring.Fd);
            return (ring, "");
        }
        catch (ControlException e)
        {
            ring.Dispose();
            return (null, e.Message);
        }
    }

    /// <summary>Frames of a slot fall through to the kernel.</summary>
    public void Disconnect(uint slot)
    {
        for (uint queue = 0; queue < SteeringLimits.MaxQueues; queue++)
            Sockets.Remove(slot * SteeringLimits.MaxQueues + queue);
    }

    /// <summary>Takes the ring of a slot away. Waits until no program writes into it any more: tens of milliseconds.
    /// </summary>
    public void DisconnectRing(uint slot) => _program.Maps["rings"].Remove(slot);

    /// <summary>
    /// A packet socket that sends super-frames, and is the bell of a slot in ring mode. Minus an errno if it cannot be
    /// had.
    /// </summary>
    public int OpenPacketSocket(uint slot, out bool hasBell)
    {
        int fd = StackPacketSocket.Open(Device, Mode == AttachMode.Ring ? slot : null, out hasBell);
        if (hasBell)
            _program.Maps["bells"].Set(slot, new BellState { Present = 1 });
        return fd;
    }

    /// <summary>What stacks are told of the link.</summary>
    public LinkInfo Describe(uint slot) => new()
    {
        InterfaceIndex = Device.Index,
        Flags = (uint)Flags,
        Mtu = Device.Mtu,
        Queues = Queues,
        Slot = slot,
        MaxSuperFrame = MaxSuperFrame,
        RingBytes = Mode == AttachMode.Ring ? FrameRingMap.Bytes : 0,
        RxRingSize = Sizes.ReceiveRing,
        TxRingSize = Sizes.SendRing,
        FillRingSize = Sizes.FillRing,
        CompletionRingSize = Sizes.CompletionRing,
        Frames = Sizes.Frames,
        FrameBytes = Sizes.FrameBytes,
    };

    /// <summary>Takes the program off, if it is still there.</summary>
    public string? Detach() => Attachment.Detach(Device.Index, _program.FdOf(Mode), Mode);

    public void Dispose()
    {
        _spare?.GetAwaiter().GetResult().Ring?.Dispose();
        _spare = null;
        foreach (QueueMemory memory in _queues.Values)
            memory.Dispose();
        _queues.Clear();
        _program.Dispose();
    }
}
