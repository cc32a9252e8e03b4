using System.Globalization;
using System.Text.Json.Nodes;
using Accel.Inspect;

namespace Accel.StackDump.Verbs;

/// <summary>The stacks with their processes.</summary>
internal static class StacksVerb
{
    public static unsafe Output Show(Machine machine, Selection selection)
    {
        var json = new JsonArray();
        var lines = new List<string>();
        foreach (StackView stack in selection.Pid is null ? machine.Stacks : machine.Chosen(selection.Pid))
        {
            int inUse = stack.Region.Tables->Sockets.InUse;
            DateTimeOffset created = Created(stack);
            var processes = new JsonArray();
            string foreign = stack.IsForeign ? "  (as acceld shows it)" : "";
            lines.Add(string.Create(CultureInfo.InvariantCulture,
                $"stack {stack.Id:x16}  user {stack.Header.OwnerUid}  "
                + $"since {created.LocalDateTime:yyyy-MM-dd HH:mm:ss}  {inUse} sockets{foreign}"));
            foreach (ProcessView p in stack.Processes)
            {
                string state = !p.Alive ? "dead" : p.Stopped ? "stopped" : "running";
                processes.Add(new JsonObject { ["pid"] = p.Pid, ["name"] = p.Name, ["state"] = state });
                lines.Add($"  {p.Pid}  {p.Name}{(state == "running" ? "" : $"  ({state})")}");
            }
            json.Add(new JsonObject
            {
                ["stack"] = stack.Id.ToString("x16", CultureInfo.InvariantCulture),
                ["uid"] = stack.Header.OwnerUid,
                ["seen"] = stack.Seen,
                ["created"] = created.ToString("O", CultureInfo.InvariantCulture),
                ["sockets"] = inUse,
                ["processes"] = processes,
            });
        }
        if (lines.Count == 0) lines.Add("no accelerated process that this user may look at");
        return new(json, lines);
    }

    /// <summary>A region may say anything: what is no time is the beginning of all.</summary>
    private static DateTimeOffset Created(StackView stack)
    {
        long millis = stack.Header.CreatedNs / 1_000_000;
        return DateTimeOffset.FromUnixTimeMilliseconds(Math.Max(0, millis));
    }
}
