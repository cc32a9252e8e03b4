using System.Globalization;
using System.Text.Json.Nodes;
using Accel.Core.Nic;
using Accel.Inspect;

namespace Accel.StackDump.Verbs;

/// <summary>A line for each socket, as `ss -tanpo` would, with the path it runs on and why.</summary>
internal static class SocketsVerb
{
    /// <param name="machine">The look.</param>
    /// <param name="selection">Which of them.</param>
    /// <param name="info">A second line with TCP's inside, as `ss -i` has it.</param>
    public static Output Show(Machine machine, Selection selection, bool info = false)
    {
        Listed[] listed = [.. Listed.Of(machine, selection)];
        NicView? Nic(StackView stack, SocketLine line) => line.Block < 0 ? null : machine.Nic(stack);
        return new(() => new JsonArray([.. listed.Select(l =>
        {
            JsonObject row = Json(l.Stack, l.Socket, l.Line);
            if (Nic(l.Stack, l.Line) is { } nic) Describe(row, nic, l.Line.Block, l.Stack.NowNs);
            return row;
        })]), () =>
        {
            var table = new TextTable("State", "Recv-Q", "Send-Q", "Local", "Peer", "Process", "Path").Right(1, 2);
            var insides = new List<string?>();
            foreach ((StackView stack, SocketView? socket, SocketLine line) in listed)
            {
                NicView? nic = Nic(stack, line);
                table.Add(line.State, Text(line.ReceiveQueue), Text(line.SendQueue), line.Local, line.Remote,
                    Owners(socket), line.Path + (nic is null ? "" : Timer(nic, line.Block, stack.NowNs)));
                if (info) insides.Add(nic is null ? null : Inside(nic, line.Block, stack.NowNs));
            }
            return info ? Woven(table.Lines(), insides) : table.Lines();
        });
    }

    public static Output ShowInside(Machine machine, Selection selection) => Show(machine, selection, info: true);

    /// <summary>The table's lines, each followed by its socket's inside.</summary>
    private static List<string> Woven(List<string> lines, List<string?> insides)
    {
        List<string> woven = [lines[0]];
        for (int i = 0; i < insides.Count; i++)
        {
            woven.Add(lines[i + 1]);
            if (insides[i] is { } inside) woven.Add($"\t {inside}");
        }
        return woven;
    }

    private static unsafe string Timer(NicView nic, int block, long nowNs)
        => TcpText.Timer(in nic.Region.BlockAt(block)->Tcb, nowNs) is not ({ } name, var millis) ? ""
            : string.Create(CultureInfo.InvariantCulture, $"  timer:({name},{millis:0}ms)");

    private static unsafe string Inside(NicView nic, int block, long nowNs) =>
        TcpText.Line(TcpText.Info(in nic.Region.BlockAt(block)->Tcb, nowNs));

    private static unsafe void Describe(JsonObject row, NicView nic, int block, long nowNs)
    {
        NicBlock* b = nic.Region.BlockAt(block);
        row["link"] = nic.LinkName(b->Route.Link);
        if (TcpText.Timer(in b->Tcb, nowNs) is var (name, millis))
            row["timer"] = new JsonObject { ["name"] = name, ["ms"] = millis };
        row["tcp"] = TcpText.Info(in b->Tcb, nowNs);
    }

    public static string Owners(SocketView? socket)
    {
        if (socket is null || socket.Holders.Count == 0) return "-";
        string shown = string.Join(',',
            socket.Holders.Take(3).Select(h => $"({h.Process.Name},{h.Process.Pid},{h.Descriptor})"));
        return socket.Holders.Count > 3 ? $"{shown},..." : shown;
    }

    private static JsonObject Json(StackView stack, SocketView? socket, SocketLine line) => new()
    {
        ["stack"] = stack.Id.ToString("x16", CultureInfo.InvariantCulture),
        ["seen"] = stack.Seen,
        ["state"] = line.State,
        ["recv_q"] = line.ReceiveQueue,
        ["send_q"] = line.SendQueue,
        ["local"] = line.Local,
        ["peer"] = line.Remote,
        ["path"] = line.Route,
        ["why"] = line.Path,
        ["holders"] = new JsonArray([.. (socket?.Holders ?? []).Select(h => new JsonObject
        {
            ["pid"] = h.Process.Pid,
            ["name"] = h.Process.Name,
            ["fd"] = h.Descriptor,
        })]),
    };

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);
}
