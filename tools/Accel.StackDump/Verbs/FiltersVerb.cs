using System.Globalization;
using System.Text.Json.Nodes;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Core.Stack;
using Accel.Core.Udp;
using Accel.Inspect;

namespace Accel.StackDump.Verbs;

/// <summary>Which frames come to each stack: the names that are steered to it, and where they go inside.</summary>
internal static unsafe class FiltersVerb
{
    public static Output Show(Machine machine, Selection selection)
    {
        var json = new JsonArray();
        var lines = new List<string>();
        foreach (StackView stack in machine.Chosen(selection.Pid))
        {
            string id = stack.Id.ToString("x16", CultureInfo.InvariantCulture);
            lines.Add($"stack {id}  {string.Join(' ', stack.Processes.Select(p => $"{p.Name}({p.Pid})"))}");
            var filters = new JsonArray();
            if (machine.Nic(stack) is { } nic) List(machine, stack, nic, filters, lines);
            if (filters.Count == 0) lines.Add("  nothing is steered to it");
            json.Add(new JsonObject
            {
                ["stack"] = id,
                ["refused"] = stack.Region.Tables->NicRefusal,
                ["filters"] = filters,
            });
        }
        return new(json, lines);
    }

    private static void List(Machine machine, StackView stack, NicView nic, JsonArray json, List<string> lines)
    {
        var table = new TextTable("Filter", "Local", "Peer", "Link", "Goes to");
        void Add(string kind, string local, string peer, string link, string target)
        {
            table.Add(kind, local, peer, link, target);
            json.Add(new JsonObject
            {
                ["kind"] = kind,
                ["local"] = local,
                ["peer"] = peer,
                ["link"] = link,
                ["target"] = target,
            });
        }

        string all = string.Join(',', nic.Links().Select(nic.LinkName));
        for (int i = 0; i < LocalRegion.MaxListeners; i++)
        {
            NicListening* l = nic.Region.ListenerAt(i);
            if (l->Open != 0) Add("tcp listener", EndpointText.Of(l->Local), "*:*", all, $"listener {i}");
        }
        foreach (int block in nic.Blocks())
        {
            NicBlock* b = nic.Region.BlockAt(block);
            string state = TcpText.State(b->Tcb.State);
            Add("tcp connection", EndpointText.Of(b->Route.Local), EndpointText.Of(b->Route.Remote),
                nic.LinkName(b->Route.Link), b->Conn == 0 ? $"{state}" : $"connection {b->Conn - 1}, {state}");
        }
        uint conns = machine.OwnLocal(stack) is { } own
            ? Math.Min(own.Region.Tables->Conns.Bumped, LocalRegion.MaxConns) : 0;
        for (int i = 0; i < conns; i++)
        {
            UdpBinding* u = nic.Region.Udp.BindingAt(i);
            if (u->Open != 0)
                Add("udp", EndpointText.Of(u->Local), EndpointText.Of(u->Remote), all, $"connection {i}");
        }
        if (json.Count > 0) lines.AddRange(table.Lines("  "));
    }
}
