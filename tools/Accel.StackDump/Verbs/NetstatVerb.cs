using System.Globalization;
using System.Text.Json.Nodes;
using Accel.Core.Stack;
using Accel.Inspect;

namespace Accel.StackDump.Verbs;

/// <summary>The sockets in netstat's columns, and how many there are in each state and on each path.</summary>
internal static class NetstatVerb
{
    public static Output Show(Machine machine, Selection selection)
    {
        var json = new JsonArray();
        var table = new TextTable("Proto", "Recv-Q", "Send-Q", "Local Address", "Foreign Address", "State", "Path",
            "PID/Program name").Right(1, 2);
        var states = new SortedDictionary<string, int>(StringComparer.Ordinal);
        foreach (Listed listed in Listed.Of(machine, selection))
        {
            SocketLine line = listed.Line;
            string protocol = Protocol(listed);
            Holder? holder = listed.Socket?.Holders.Count > 0 ? listed.Socket.Holders[0] : null;
            string program = holder is { } h ? $"{h.Process.Pid}/{h.Process.Name}" : "-";
            table.Add(protocol, Text(line.ReceiveQueue), Text(line.SendQueue), line.Local, line.Remote, line.State,
                line.Route, program);
            string key = $"{line.State} {line.Route}";
            states[key] = states.GetValueOrDefault(key) + 1;
            json.Add(new JsonObject
            {
                ["proto"] = protocol,
                ["recv_q"] = line.ReceiveQueue,
                ["send_q"] = line.SendQueue,
                ["local"] = line.Local,
                ["foreign"] = line.Remote,
                ["state"] = line.State,
                ["path"] = line.Route,
                ["program"] = program,
            });
        }
        List<string> lines = table.Lines();
        foreach ((string key, int count) in states) lines.Add($"  {count} {key}");
        return new(json, lines);
    }

    private static unsafe string Protocol(Listed listed)
    {
        bool udp = listed.Socket is { } socket && socket.Stack.Region.SocketAt(socket.Index)->Is(SocketFlags.Datagram);
        return (udp ? "udp" : "tcp") + (listed.Line.Local.StartsWith('[') ? "6" : "");
    }

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);
}
