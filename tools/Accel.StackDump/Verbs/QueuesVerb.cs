using System.Globalization;
using System.Text.Json.Nodes;
using Accel.Core.Local;
using Accel.Core.Stack;
using Accel.Inspect;

namespace Accel.StackDump.Verbs;

/// <summary>What waits for what: accept queues, epoll sets with their members, threads that sleep.</summary>
internal static unsafe class QueuesVerb
{
    private static readonly (uint Bit, string Name)[] Events =
    [
        (0x001, "IN"), (0x002, "PRI"), (0x004, "OUT"), (0x008, "ERR"), (0x010, "HUP"), (0x2000, "RDHUP"),
        (1u << 28, "EXCLUSIVE"), (1u << 29, "WAKEUP"), (1u << 30, "ONESHOT"), (1u << 31, "ET"),
    ];

    public static Output Show(Machine machine, Selection selection)
    {
        var json = new JsonArray();
        var lines = new List<string>();
        foreach (StackView stack in machine.Chosen(selection.Pid))
        {
            string id = stack.Id.ToString("x16", CultureInfo.InvariantCulture);
            lines.Add($"stack {id}  {string.Join(' ', stack.Processes.Select(p => $"{p.Name}({p.Pid})"))}");
            json.Add(new JsonObject
            {
                ["stack"] = id,
                ["accept_queues"] = AcceptQueues(machine, stack, lines),
                ["epoll_sets"] = Sets(stack, lines),
                ["waiters"] = Waiters(stack, lines),
            });
        }
        return new(json, lines);
    }

    private static JsonArray AcceptQueues(Machine machine, StackView stack, List<string> lines)
    {
        var json = new JsonArray();
        foreach (SocketView view in stack.Sockets())
        {
            Socket* s = stack.Region.SocketAt(view.Index);
            if (s->State != (uint)SocketState.Listening || s->Index >= LocalRegion.MaxListeners
                || stack.RegionOf(machine, *s) is not { } region)
                continue;
            Listener* l = region.Region.ListenerAt((int)s->Index);
            string local = EndpointText.Of(s->Local);
            lines.Add($"  listener {local}  {SocketsVerb.Owners(view)}  queue {l->Queued} of {l->Backlog}, "
                + $"{l->Accepted} accepted, {l->Overflows} overflows{(l->Waiting != 0 ? ", clients wait" : "")}");
            json.Add(new JsonObject
            {
                ["local"] = local,
                ["queued"] = l->Queued,
                ["backlog"] = l->Backlog,
                ["accepted"] = l->Accepted,
                ["overflows"] = l->Overflows,
                ["clients_wait"] = l->Waiting != 0,
            });
        }
        return json;
    }

    private static JsonArray Sets(StackView stack, List<string> lines)
    {
        var json = new JsonArray();
        var seen = new HashSet<uint>();
        uint used = Math.Min(stack.Region.Tables->EpollSets.Bumped, StackRegion.MaxEpollSets);
        for (int i = 0; i < used; i++)
        {
            EpollSet* set = stack.Region.EpollSetAt(i);
            if (set->Used == 0) continue;
            Waker* waker = set->Waker < StackRegion.MaxWakers ? stack.Region.WakerAt((int)set->Waker) : null;
            int sleepers = waker == null ? 0 : waker->Sleepers;
            lines.Add($"  epoll set {i}  fd {set->Descriptor}  {set->ItemCount} members, {set->HotCount} looked at, "
                + $"{set->NestedCount} nested, {set->Waits} waits, {sleepers} threads asleep");
            json.Add(new JsonObject
            {
                ["index"] = i,
                ["fd"] = set->Descriptor,
                ["references"] = set->References,
                ["members"] = set->ItemCount,
                ["hot"] = set->HotCount,
                ["nested"] = set->NestedCount,
                ["waits"] = set->Waits,
                ["sleepers"] = sleepers,
                ["items"] = Items(stack, set, seen, lines),
            });
        }
        return json;
    }

    private static JsonArray Items(StackView stack, EpollSet* set, HashSet<uint> seen, List<string> lines)
    {
        var json = new JsonArray();
        uint next = set->Items;
        // A copy may have been torn: each item is in one list, once.
        while (next - 1 < StackRegion.MaxEpollItems && seen.Add(next))
        {
            EpollItem* item = stack.Region.EpollItemAt((int)next - 1);
            var flags = (EpollItemFlags)item->Flags;
            string events = string.Join('|', Events.Where(e => (item->Events & e.Bit) != 0).Select(e => e.Name));
            string target = flags.HasFlag(EpollItemFlags.Nested) ? $"set {item->Target}" : $"socket {item->Target}";
            lines.Add($"    fd {item->Descriptor}  {target}  {events}  data {item->Data:x}  [{flags}]");
            json.Add(new JsonObject
            {
                ["fd"] = item->Descriptor,
                ["target"] = target,
                ["events"] = events,
                ["data"] = item->Data,
                ["flags"] = flags.ToString(),
            });
            next = item->SetNext;
        }
        return json;
    }

    private static JsonArray Waiters(StackView stack, List<string> lines)
    {
        var json = new JsonArray();
        uint used = Math.Min(stack.Region.Tables->Wakers.Bumped, StackRegion.MaxWakers);
        for (int i = 0; i < used; i++)
        {
            Waker* waker = stack.Region.WakerAt(i);
            if (waker->Used == 0 || waker->Sleepers == 0) continue;
            ProcessView? owner = stack.Processes.FirstOrDefault(p => p.Slot + 1 == waker->Owner);
            string who = owner is null ? "epoll set" : $"{owner.Name}({owner.Pid})";
            string what = waker->Socket == 0 ? "" : $" in a call on socket {waker->Socket - 1}";
            lines.Add($"  waiter {i}  {who}: {waker->Sleepers} asleep{what}, {waker->BellCount} doorbells");
            json.Add(new JsonObject
            {
                ["index"] = i,
                ["owner"] = who,
                ["sleepers"] = waker->Sleepers,
                ["socket"] = waker->Socket == 0 ? null : waker->Socket - 1,
                ["doorbells"] = waker->BellCount,
            });
        }
        return json;
    }
}
