using System.Globalization;
using System.Text.Json.Nodes;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Core.Stack;
using Accel.Core.Tcp;
using Accel.Inspect;
using Accel.Wire;

namespace Accel.StackDump.Verbs;

/// <summary>All fields of one socket, of its connection or listener, and of the epoll items that watch it.</summary>
internal static class SocketVerb
{
    public static Output Show(Machine machine, string name)
    {
        string[] parts = name.Split(':');
        if (parts.Length != 2 || !int.TryParse(parts[0], out int pid) || !int.TryParse(parts[1], out int descriptor))
            throw new NothingToShowException($"expected PID:FD, not '{name}'");
        foreach (StackView stack in machine.Chosen(pid))
        {
            foreach (SocketView socket in stack.Sockets())
                if (socket.Holders.Any(h => h.Process.Pid == pid && h.Descriptor == descriptor))
                    return Show(machine, socket);
        }
        throw new NothingToShowException($"descriptor {descriptor} of process {pid} is no socket of its stack");
    }

    private static unsafe Output Show(Machine machine, SocketView view)
    {
        var json = new JsonObject();
        var lines = new List<string>();
        void Section(string title, JsonObject fields)
        {
            json[title.Replace(' ', '_')] = fields;
            lines.Add(title);
            foreach ((string key, JsonNode? value) in fields) lines.Add($"  {key,-24} {value}");
        }

        StackView stack = view.Stack;
        Socket* s = stack.Region.SocketAt(view.Index);
        SocketLine line = SocketLine.Of(machine, view);
        Section("summary", new()
        {
            ["stack"] = stack.Id.ToString("x16", CultureInfo.InvariantCulture),
            ["index"] = view.Index,
            ["state"] = line.State,
            ["recv_q"] = line.ReceiveQueue,
            ["send_q"] = line.SendQueue,
            ["local"] = line.Local,
            ["peer"] = line.Remote,
            ["why"] = line.Path,
            ["holders"] = string.Join(' ', view.Holders.Select(h => $"{h.Process.Pid}:{h.Descriptor}")),
        });
        Section("socket", Fields.Of(*s));
        if (line.Block >= 0 && machine.Nic(stack) is { } nic) Network(stack, nic, line.Block, Section);
        LocalView? region = stack.RegionOf(machine, *s);
        if (region is not null && s->State == (uint)SocketState.Listening && s->Index < LocalRegion.MaxListeners)
            Section("listener", Fields.Of(*region.Region.ListenerAt((int)s->Index)));
        if (region is not null && s->State == (uint)SocketState.Connected && s->Index < LocalRegion.MaxConns)
        {
            Conn* conn = region.Region.ConnAt((int)s->Index);
            int side = (int)s->Side & 1;
            Section("connection", Fields.Of(*conn));
            Section("this side", Fields.Of(*LocalRegion.SideOf(conn, side)));
            Section("other side", Fields.Of(*LocalRegion.SideOf(conn, 1 - side)));
            Section("sending", Fields.Of(*LocalRegion.PipeOf(conn, side)));
            Section("receiving", Fields.Of(*LocalRegion.PipeOf(conn, 1 - side)));
        }
        uint item = s->Items;
        // The list is followed in a copy that may have been torn: never further than there are items.
        for (int i = 0; item is > 0 and <= StackRegion.MaxEpollItems && i < 64; i++)
        {
            EpollItem* e = stack.Region.EpollItemAt((int)item - 1);
            Section($"epoll item {i}", Fields.Of(*e));
            item = e->SocketNext;
        }
        return new(json, lines);
    }

    /// <summary>The engine's end: its block, the way out, and all of TCP.</summary>
    private static unsafe void Network(StackView stack, NicView nic, int block, Action<string, JsonObject> section)
    {
        NicBlock* b = nic.Region.BlockAt(block);
        JsonObject tcp = TcpText.Info(in b->Tcb, stack.NowNs);
        tcp["state"] = TcpText.State(b->Tcb.State);
        tcp["link"] = nic.LinkName(b->Route.Link);
        if (TcpText.Timer(in b->Tcb, stack.NowNs) is var (name, millis))
            tcp["timer"] = string.Create(CultureInfo.InvariantCulture, $"{name} in {millis} ms");
        section("tcp", tcp);
        var held = new List<string>();
        SegmentPool pool = nic.Region.Pool;
        uint link = b->Tcb.Reassembly.First;
        // A torn copy again: links that can be none end it.
        for (int i = 0; link is not 0 && link <= NicRegion.MaxRecords && i < Reassembly.Most; i++)
        {
            held.Add($"{pool[link].Seq.Value}-{pool[link].End.Value}");
            link = pool[link].Next;
        }
        section("out of order", new() { ["Runs"] = string.Join(' ', held) });
        foreach ((string title, JsonObject fields) in Fields.Sections("block", *b)) section(title, fields);
    }
}
