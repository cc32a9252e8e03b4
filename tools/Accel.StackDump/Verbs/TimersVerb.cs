using System.Globalization;
using System.Text.Json.Nodes;
using Accel.Core.Nic;
using Accel.Inspect;

namespace Accel.StackDump.Verbs;

/// <summary>Every armed timer of the network path, the first first; connections of the local path have none.</summary>
internal static class TimersVerb
{
    public static Output Show(Machine machine, Selection selection)
    {
        var rows = new List<(double Millis, string Name, Listed Of)>();
        foreach (Listed listed in Listed.Of(machine, selection))
        {
            if (listed.Line.Block < 0 || machine.Nic(listed.Stack) is not { } nic) continue;
            foreach ((string name, double millis) in Timers(nic, listed.Line.Block, listed.Stack.NowNs))
                rows.Add((millis, name, listed));
        }
        rows.Sort((a, b) => a.Millis.CompareTo(b.Millis));
        var json = new JsonArray();
        var table = new TextTable("In ms", "Timer", "State", "Local", "Peer", "Process").Right(0);
        foreach ((double millis, string name, Listed of) in rows)
        {
            table.Add(millis.ToString("0.0", CultureInfo.InvariantCulture), name, of.Line.State, of.Line.Local,
                of.Line.Remote, SocketsVerb.Owners(of.Socket));
            json.Add(new JsonObject
            {
                ["ms"] = millis,
                ["timer"] = name,
                ["state"] = of.Line.State,
                ["local"] = of.Line.Local,
                ["peer"] = of.Line.Remote,
                ["pids"] = new JsonArray([.. of.Pids.Select(p => JsonValue.Create(p))]),
            });
        }
        return new(json, table.Lines());
    }

    private static unsafe (string Name, double Millis)[] Timers(NicView nic, int block, long nowNs) =>
        TcpText.Timers(in nic.Region.BlockAt(block)->Tcb, nowNs);
}
