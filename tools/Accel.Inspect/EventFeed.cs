using Accel.Core.Handover;
using Accel.Core.Nic;
using Accel.Core.Stack;

namespace Accel.Inspect;

/// <summary>
/// Turns what the stacks' regions say into events while somebody listens. Stacks with ACCEL_DIAGNOSTICS=1 log what
/// happens to each connection; what is sent again and dropped is told by comparing two looks, of every stack.
/// </summary>
public sealed class EventFeed
{
    private readonly Dictionary<(ulong Id, uint Uid), Known> _stacks = [];

    /// <summary>What was told of a stack already.</summary>
    private sealed class Known
    {
        public ulong NextEvent;
        public Dictionary<string, long> Dropped = [];
        public readonly Dictionary<string, ulong> Retransmitted = [];
    }

    /// <summary>
    /// Tells what happened since the last look; what is there at the first one is the past and no event.
    /// </summary>
    public void Look(Machine machine, IEnumerable<StackView> stacks, IStackEvents to)
    {
        foreach (StackView stack in stacks)
        {
            string id = $"{stack.Id:x16}";
            (ulong, uint) key = Key(stack);
            bool isNew = !_stacks.TryGetValue(key, out Known? known);
            if (known is null) _stacks[key] = known = new Known { NextEvent = Written(stack) };
            TellLog(to, id, stack, known);
            TellDrops(to, id, StackReading.Of(machine, stack), known, isNew);
            if (machine.Nic(stack) is { } nic) TellRetransmissions(to, id, nic, known, isNew);
        }
        foreach ((ulong, uint) gone in _stacks.Keys.Where(k => machine.Stacks.All(s => Key(s) != k)).ToList())
            _stacks.Remove(gone);
    }

    private static (ulong, uint) Key(StackView stack) => (stack.Id, stack.Header.OwnerUid);

    private static unsafe ulong Written(StackView stack) => stack.Region.Events->Next;

    private static unsafe void TellLog(IStackEvents to, string id, StackView stack, Known known)
    {
        ulong end = Written(stack);
        // A region that makes no sense: begin again where it is now.
        if (end < known.NextEvent) known.NextEvent = end;
        ulong first = end - Math.Min(end, EventLog.Length);
        long missed = 0;
        if (first > known.NextEvent)
        {
            missed = (long)(first - known.NextEvent);
            known.NextEvent = first;
        }
        for (; known.NextEvent < end; known.NextEvent++)
        {
            if (EventLog.TryRead(stack.Region.Events, known.NextEvent, out StackEvent what)) Tell(to, id, what);
            else missed++;
        }
        if (missed > 0) to.Missed(id, missed);
    }

    private static void Tell(IStackEvents to, string id, in StackEvent what)
    {
        string local = EndpointText.Of(what.Local), remote = EndpointText.Of(what.Remote);
        string path = what.Reason == (byte)PathReason.Nic ? SocketLine.Nic : SocketLine.Shared;
        switch (what.Kind)
        {
            case StackEventKind.Opened:
                to.ConnectionOpened(id, what.Pid, path, local, remote, what.Accepted != 0, what.AtNs);
                to.PathChosen(id, what.Pid, path, SocketLine.Why(what.Reason), local, remote, what.AtNs);
                break;
            case StackEventKind.Closed:
                to.ConnectionClosed(id, what.Pid, path, local, remote, (long)what.Sent, (long)what.Received, what.AtNs);
                break;
            case StackEventKind.OnKernel:
                to.PathChosen(
                    id, what.Pid, SocketLine.Kernel, SocketLine.Why(what.Reason), local, remote, what.AtNs);
                break;
            case StackEventKind.HandedOver or StackEventKind.HandoverRefused:
                string why = what.Reason < HandoverRefusalText.Rows.Length ? HandoverRefusalText.Rows[what.Reason]
                    : $"number {what.Reason}";
                to.Handover(id, what.Pid, what.Kind == StackEventKind.HandedOver, why, local, remote, what.AtNs);
                break;
        }
    }

    private static void TellDrops(IStackEvents to, string id, StackReading reading, Known known, bool isNew)
    {
        foreach ((string reason, long total) in reading.Dropped)
        {
            long more = total - known.Dropped.GetValueOrDefault(reason);
            if (more > 0 && !isNew) to.Dropped(id, reason, more, total);
        }
        known.Dropped = reading.Dropped;
    }

    private static unsafe void TellRetransmissions(IStackEvents to, string id, NicView nic, Known known, bool isNew)
    {
        var seen = new HashSet<string>();
        foreach (int index in nic.Blocks())
        {
            NicBlock* block = nic.Region.BlockAt(index);
            ulong total = block->Tcb.Tally.Retransmitted;
            if (total == 0) continue;
            string local = EndpointText.Of(block->Route.Local), remote = EndpointText.Of(block->Route.Remote);
            string name = $"{local} {remote}";
            seen.Add(name);
            ulong was = known.Retransmitted.GetValueOrDefault(name);
            known.Retransmitted[name] = total;
            // The same names again, but another connection: it begins at nothing.
            if (total < was) was = 0;
            if (total > was && !isNew) to.Retransmission(id, local, remote, (long)(total - was), (long)total);
        }
        foreach (string gone in known.Retransmitted.Keys.Where(k => !seen.Contains(k)).ToList())
            known.Retransmitted.Remove(gone);
    }
}
