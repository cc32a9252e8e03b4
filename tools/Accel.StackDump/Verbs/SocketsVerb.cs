using System.Globalization;
using System.Text.Json.Nodes;
using Accel.StackDump.Attach;

namespace Accel.StackDump.Verbs;

/// <summary>A line for each socket, as `ss -tanpo` would, with the path it runs on and why.</summary>
internal static class SocketsVerb
{
    public static Output Show(Machine machine, int? pid)
    {
        var json = new JsonArray();
        var table = new TextTable("State", "Recv-Q", "Send-Q", "Local", "Peer", "Process", "Path").Right(1, 2);
        foreach (StackView stack in machine.Chosen(pid))
        {
            foreach (SocketView socket in stack.Sockets())
            {
                if (pid is not null && socket.Holders.All(h => h.Process.Pid != pid)) continue;
                SocketLine line = SocketLine.Of(machine, socket);
                table.Add(line.State, Text(line.ReceiveQueue), Text(line.SendQueue), line.Local, line.Remote,
                    Owners(socket), line.Path);
                json.Add(Json(socket, line));
            }
        }
        return new(json, table.Lines());
    }

    private static string Owners(SocketView socket)
    {
        if (socket.Holders.Count == 0) return "-";
        string shown = string.Join(',',
            socket.Holders.Take(3).Select(h => $"({h.Process.Name},{h.Process.Pid},{h.Descriptor})"));
        return socket.Holders.Count > 3 ? $"{shown},..." : shown;
    }

    private static JsonObject Json(SocketView socket, SocketLine line) => new()
    {
        ["stack"] = socket.Stack.Id.ToString("x16", CultureInfo.InvariantCulture),
        ["state"] = line.State,
        ["recv_q"] = line.ReceiveQueue,
        ["send_q"] = line.SendQueue,
        ["local"] = line.Local,
        ["peer"] = line.Remote,
        ["path"] = line.OnKernel ? "kernel" : line.Routed ? "local" : "none",
        ["why"] = line.Path,
        ["holders"] = new JsonArray([.. socket.Holders.Select(h => new JsonObject
        {
            ["pid"] = h.Process.Pid,
            ["name"] = h.Process.Name,
            ["fd"] = h.Descriptor,
        })]),
    };

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);
}
