using System.Text.Json.Nodes;
using Accel.Inspect;

namespace Accel.StackDump.Verbs;

/// <summary>A verb that shows something of a selection.</summary>
internal sealed record Verb(string Name, string Meaning, Func<Machine, Selection, Output> Show);

/// <summary>Every verb once: commands, help and `lots` follow it.</summary>
internal static class VerbTable
{
    public static readonly Verb[] Rows =
    [
        new("stacks", "The stacks with their processes", StacksVerb.Show),
        new("sockets", "A line for each socket: state, queues, names, owners, path and why",
            (machine, selection) => SocketsVerb.Show(machine, selection)),
        new("netstat", "The same in netstat's columns, and how many there are of each kind", NetstatVerb.Show),
        new("queues", "Accept queues, epoll sets with their members, threads that sleep", QueuesVerb.Show),
        new("timers", "Armed timers, the first first", TimersVerb.Show),
        new("packets", "Unacknowledged, out-of-order and unread bytes as packet headers", PacketsVerb.Show),
        new("filters", "Which frames are steered to each stack, and where they go", FiltersVerb.Show),
        new("links", "Network interfaces of each stack: mode, rings, what they carried and dropped", LinksVerb.Show),
        new("nic", "The network path: engine, tables, listeners, settings, counters", NicVerb.Show),
        new("stats", "Counters with their meaning, and how full each table is", StatsVerb.Show),
        new("options", "The ACCEL_* options as the stack took them, with default, range and origin",
            OptionsVerb.Show),
    ];

    /// <summary>Everything, for a report.</summary>
    public static Output Lots(Machine machine, Selection selection)
    {
        var json = new JsonObject();
        var lines = new List<string>();
        foreach (Verb verb in Rows)
        {
            Output shown = verb.Name == "sockets" ? SocketsVerb.ShowInside(machine, selection)
                : verb.Show(machine, selection);
            json[verb.Name] = shown.Json;
            lines.Add($"==== {verb.Name}: {verb.Meaning}");
            lines.AddRange(shown.Lines);
            lines.Add("");
        }
        return new(json, lines);
    }
}
