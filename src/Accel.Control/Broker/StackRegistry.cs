using Accel.Control.Handover;
using Accel.Control.Links;
using Accel.Control.Native;
using Accel.Control.Steering;
using Accel.Core.Nic;

namespace Accel.Control.Broker;

/// <summary>
/// The stacks that have a slot, those that an acceld before this one knew and that may come back, and those that are
/// being buried.
/// </summary>
internal sealed class StackRegistry(BrokerOptions options, InterfaceSet interfaces)
{
    private const int SettleMilliseconds = 50, GraceMilliseconds = 10, RetryMilliseconds = 100, MostAttempts = 50,
        LookMilliseconds = 2;

    private readonly Dictionary<ulong, Stack> _stacks = [];
    private readonly Dictionary<uint, (SlotHolder Holder, long Until)> _limbo = [];
    private readonly List<Stack> _dying = [];

    public IEnumerable<Stack> All => _stacks.Values;

    public IReadOnlyCollection<uint> Limbo => _limbo.Keys;

    public uint Buried { get; private set; }

    public Stack? Find(ulong id) => _stacks.GetValueOrDefault(id);

    public Stack? Of(uint slot) => _stacks.Values.FirstOrDefault(s => s.Slot == slot);

    /// <summary>Who had slots under an acceld that died: they get some time.</summary>
    public void TakeOver(long now, HashSet<uint> slotsWithPorts)
    {
        for (uint slot = 0; slot < SteeringLimits.MaxSlots; slot++)
        {
            if (interfaces.Maps!.Slots.TryGet(slot, out SlotHolder holder) && holder.Stack == 0
                && !slotsWithPorts.Contains(slot))
                continue;
            _limbo[slot] = (holder, now + options.GraceMilliseconds);
        }
        if (_limbo.Count > 0)
            options.Log($"{_limbo.Count} stack{(_limbo.Count == 1 ? "" : "s")} of an acceld before this one may come "
                + $"back within {options.GraceMilliseconds / 1000.0:0.#} s");
    }

    /// <summary>A new stack. Null if all slots are taken.</summary>
    public Stack? Admit(ulong id, Peer peer) => FreeSlot() is { } slot ? Enter(id, slot, peer) : null;

    /// <summary>The slot that the next stack gets.</summary>
    public uint? FreeSlot()
    {
        for (uint slot = 0; slot < SteeringLimits.MaxSlots; slot++)
        {
            if (!_limbo.ContainsKey(slot) && Of(slot) == null && !_dying.Exists(s => s.Slot == slot))
                return slot;
        }
        return null;
    }

    /// <summary>A stack that comes back to the slot that it had. Null if that is not its own.</summary>
    public Stack? Readmit(ulong id, uint slot, Peer peer)
    {
        if (!_limbo.TryGetValue(slot, out (SlotHolder Holder, long Until) held) || held.Holder.Stack != id
            || held.Holder.Uid != peer.Uid)
            return null;
        _limbo.Remove(slot);
        Stack stack = Enter(id, slot, peer);
        stack.IsHandingOver = true;
        return stack;
    }

    private Stack Enter(ulong id, uint slot, Peer peer)
    {
        var stack = new Stack(id, slot, peer) { Estate = Estate.Of(peer.Pid, id) };
        _stacks[id] = stack;
        interfaces.Maps!.Slots.Set(slot, new SlotHolder(id, peer.Uid, 0));
        return stack;
    }

    /// <summary>
    /// No process of it is left: its connections are ended, then its ports go back to the kernel, and its frames when
    /// all is quiet.
    /// </summary>
    public void Bury(Stack stack, PortTable ports, long now)
    {
        if (!_stacks.Remove(stack.Id))
            return;
        _dying.Add(stack);
        stack.BurialAt = now;
        if (stack.Estate is { } estate)
        {
            stack.Executor = new Executor(estate, options.Log);
            // Whoever lives on without acceld may still write to them.
            stack.Executor.Begin(name => ports.IsOwnAddress(name) && ports.Mix(Transport.Tcp, name, stack.Slot),
                mayClose: stack.Processes.All(HasEnded));
            stack.BurialAt = now + LookMilliseconds;
        }
        if (stack.Executor is not { IsDone: false })
            EndSteering(stack, ports, now);
    }

    /// <summary>A process that ends has no memory any more when its descriptors are closed.</summary>
    private static bool HasEnded(int pid)
    {
        try
        {
            return File.ReadAllText($"/proc/{pid}/statm").StartsWith("0 ", StringComparison.Ordinal);
        }
        catch (IOException)
        {
            return true;
        }
    }

    private Dictionary<int, byte[]> InterfacesOf(Stack stack) => interfaces.All.Select(served => served.Device)
        .Where(device => stack.Sockets.Keys.Any(key => key.Interface == device.Index))
        .ToDictionary(device => device.Index, device => device.Mac);

    private void EndSteering(Stack stack, PortTable ports, long now)
    {
        foreach (ServedInterface one in interfaces.All)
            one.Disconnect(stack.Slot);
        int freed = ports.RemoveSlot(stack.Slot);
        stack.Executor?.SayLastWords(InterfacesOf(stack));
        options.Log($"stack {stack.Id:x16} (process {stack.Peer.Pid}) is gone: "
            + $"{freed} port{(freed == 1 ? "" : "s")} back to the kernel, connections: "
            + $"{stack.Executor?.Closed ?? 0} closed, {stack.Executor?.Reset ?? 0} reset");
        stack.Executor = null;
        stack.Estate?.Dispose();
        stack.Estate = null;
        // No program that began before the socket left the map still delivers to it after a grace period of RCU, which
        // nobody else is to wait for.
        const int membarrier = 324, global = 1;
        ServedInterface[] served = [.. interfaces.All];
        stack.Grace = Task.Run(() =>
        {
            foreach (ServedInterface one in served)
                one.DisconnectRing(stack.Slot);
            Libc.SystemCall(membarrier, global, 0, 0, 0, 0, 0);
        });
        stack.BurialAt = now + SettleMilliseconds;
    }

    /// <summary>Waits a moment for those whose connections are still being ended. True if that helped one.</summary>
    public bool FinishDying(PortTable ports)
    {
        bool any = false;
        foreach (Stack stack in _dying)
        {
            if (stack.Executor is not { } executor || !executor.TryFinish())
                continue;
            EndSteering(stack, ports, Environment.TickCount64);
            any = true;
        }
        return any;
    }

    public long? NextDeadline()
    {
        long? next = null;
        foreach (Stack stack in _dying)
            next = Math.Min(next ?? long.MaxValue, stack.BurialAt);
        foreach ((_, long until) in _limbo.Values)
            next = Math.Min(next ?? long.MaxValue, until);
        return next;
    }

    public void Tick(PortTable ports, long now)
    {
        foreach (Stack stack in _dying.ToList())
        {
            if (stack.BurialAt > now)
                continue;
            if (stack.Executor is { } executor)
            {
                stack.BurialAt = now + LookMilliseconds;
                if (executor.IsDone)
                    EndSteering(stack, ports, now);
            }
            else if (!stack.Grace.IsCompleted)
                stack.BurialAt = now + GraceMilliseconds;
            else if (TryFinish(stack))
                _dying.Remove(stack);
            else
                stack.BurialAt = now + RetryMilliseconds;
        }
        foreach ((uint slot, (SlotHolder holder, long until)) in _limbo.ToList())
        {
            if (until > now)
                continue;
            _limbo.Remove(slot);
            int freed = ports.RemoveSlot(slot);
            foreach (ServedInterface served in interfaces.All)
            {
                served.Disconnect(slot);
                served.DisconnectRing(slot);
            }
            interfaces.Maps!.Slots.Set(slot, default(SlotHolder));
            options.Log($"stack {holder.Stack:x16} did not come back: {freed} port{(freed == 1 ? "" : "s")} back to "
                + "the kernel");
        }
    }

    private bool TryFinish(Stack stack)
    {
        bool done = true;
        uint frames = 0;
        foreach (ServedInterface served in interfaces.All)
        {
            foreach ((uint queue, QueueMemory memory) in served.Memories)
            {
                if (!stack.Sockets.Remove((served.Device.Index, queue), out StackSocket socket))
                    continue;
                if (memory.TryBury(stack.Owner, socket, out uint found))
                {
                    frames += found;
                    CloseAside(socket.Fd);
                }
                else
                {
                    stack.Sockets[(served.Device.Index, queue)] = socket;
                    done = false;
                }
            }
        }
        if (!done && ++stack.BurialAttempts < MostAttempts)
            return false;
        if (!done)
            options.Log($"stack {stack.Id:x16}: its frames cannot be taken back, since another stack does not give "
                + "the lock of a queue back");
        foreach (StackSocket socket in stack.Sockets.Values)
            CloseAside(socket.Fd);
        foreach (int socket in stack.PacketSockets)
            CloseAside(socket);
        foreach (FrameRingMap ring in stack.Rings.Values)
            ring.Dispose();
        stack.Sockets.Clear();
        stack.PacketSockets.Clear();
        stack.Rings.Clear();
        interfaces.Maps!.Slots.Set(stack.Slot, default(SlotHolder));
        options.Log($"stack {stack.Id:x16}: buried, {frames} frames taken back");
        Buried++;
        return true;
    }

    /// <summary>Closing such a socket takes tens of milliseconds (synchronize_net), which whoever asks for a new one
    /// is not to wait for.</summary>
    private static void CloseAside(int fd) => Task.Run(() => Libc.Close(fd));

    /// <summary>An interface has gone: sockets on it are of no use.</summary>
    public void Forget(int interfaceIndex)
    {
        foreach (Stack stack in _stacks.Values.Concat(_dying))
        {
            foreach ((int Interface, uint Queue) key in stack.Sockets.Keys.ToList())
            {
                if (key.Interface == interfaceIndex && stack.Sockets.Remove(key, out StackSocket socket))
                    Libc.Close(socket.Fd);
            }
            if (stack.Rings.Remove(interfaceIndex, out FrameRingMap? ring))
                ring.Dispose();
        }
    }
}
