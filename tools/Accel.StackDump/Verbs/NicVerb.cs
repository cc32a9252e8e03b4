using System.Globalization;
using System.Text.Json.Nodes;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Tcp;
using Accel.Inspect;

namespace Accel.StackDump.Verbs;

/// <summary>The network path of each stack: its engine, tables, listeners, settings, and every counter.</summary>
internal static class NicVerb
{
    public static Output Show(Machine machine, Selection selection)
    {
        var json = new JsonArray();
        var lines = new List<string>();
        foreach (StackView stack in machine.Chosen(selection.Pid))
        {
            string id = stack.Id.ToString("x16", CultureInfo.InvariantCulture);
            lines.Add($"stack {id}  {string.Join(' ', stack.Processes.Select(p => $"{p.Name}({p.Pid})"))}");
            var row = new JsonObject { ["stack"] = id };
            if (machine.Nic(stack) is { } nic)
            {
                row["engine"] = Engine(stack, nic, lines);
                row["listeners"] = Listeners(nic, lines);
                row["settings"] = Settings(nic, lines);
                row["counters"] = Counters(nic, lines);
            }
            else
                lines.Add("  no network path (no acceld here, or none needed yet)");
            json.Add(row);
        }
        return new(json, lines);
    }

    /// <summary>The counters of the engine and of its TCP, by name.</summary>
    public static unsafe JsonObject Counters(NicView nic, List<string> lines)
    {
        var json = new JsonObject();
        var table = new TextTable("counter", "value", "meaning").Right(1);
        void Add(string name, ulong value, string meaning)
        {
            json[name] = value;
            table.Add(name, value.ToString(CultureInfo.InvariantCulture), meaning);
        }

        NicTables* t = nic.Region.Tables;
        foreach (NicCounterTable.Row row in NicCounterTable.Rows)
            Add(row.Name, t->Counters.Values[(int)row.Counter], row.Meaning);
        foreach (TcpCounterRow row in TcpCounterTable.Rows)
            Add(row.Name, t->Tcp[(int)row.Counter], row.Meaning);
        lines.AddRange(table.Lines("  "));
        return json;
    }

    private static unsafe JsonObject Engine(StackView stack, NicView nic, List<string> lines)
    {
        NicTables* t = nic.Region.Tables;
        var uses = nic.Blocks().GroupBy(b => Use(nic, b)).ToDictionary(g => g.Key, g => g.Count());
        var json = new JsonObject
        {
            ["lock_holder"] = t->Lock.Word,
            ["last_poll_ms_ago"] = Ago(stack, t->LastPollNs),
            ["last_activity_ms_ago"] = Ago(stack, t->LastActivityNs),
            ["next_deadline_ms"] = t->NextDeadlineNs == long.MaxValue ? null
                : Math.Round((t->NextDeadlineNs - stack.NowNs) / 1e6, 3),
            ["timers_armed"] = nic.Region.Wheel->Armed,
            ["live"] = uses.GetValueOrDefault(NicUse.Live),
            ["half_open"] = uses.GetValueOrDefault(NicUse.HalfOpen),
            ["time_wait"] = uses.GetValueOrDefault(NicUse.TimeWait),
        };
        foreach ((string name, JsonNode? value) in json) lines.Add($"  {name,-24} {value?.ToString() ?? "-"}");
        Table(json, lines, "blocks", t->Blocks);
        Table(json, lines, "records", t->Records);
        return json;
    }

    private static void Table(JsonObject json, List<string> lines, string name, in FreeList list)
    {
        json[name] = new JsonObject
        {
            ["in_use"] = list.InUse,
            ["ever_used"] = list.Bumped,
            ["capacity"] = list.Capacity,
            ["refused"] = list.Refused,
        };
        lines.Add($"  {name,-24} {list.InUse} in use, {list.Bumped} ever used, {list.Capacity} there, "
            + $"{list.Refused} refused");
    }

    private static unsafe JsonArray Listeners(NicView nic, List<string> lines)
    {
        var json = new JsonArray();
        for (int i = 0; i < Core.Local.LocalRegion.MaxListeners; i++)
        {
            if (!nic.Listens(i)) continue;
            NicListening* l = nic.Region.ListenerAt(i);
            string name = EndpointText.Of(l->Local);
            lines.Add($"  listener {name}: {l->HalfOpen} half open, {l->Syns} SYNs, {l->Drops} dropped"
                + (l->CookieSentNs != 0 ? ", has sent cookies" : ""));
            json.Add(new JsonObject
            {
                ["local"] = name,
                ["half_open"] = l->HalfOpen,
                ["syns"] = l->Syns,
                ["drops"] = l->Drops,
                ["cookies"] = l->CookieSentNs != 0,
            });
        }
        return json;
    }

    private static unsafe JsonObject Settings(NicView nic, List<string> lines)
    {
        JsonObject json = Fields.Of(nic.Region.Tables->Settings);
        // Whoever knows these could forge connections; a dump may be passed on.
        string[] secrets = [.. json.Select(f => f.Key).Where(k => k.Contains("Key", StringComparison.Ordinal))];
        foreach (string secret in secrets) json.Remove(secret);
        lines.Add($"  settings {string.Join(' ', json.Select(f => $"{f.Key}={f.Value}"))}");
        return json;
    }

    private static unsafe NicUse Use(NicView nic, int block) => nic.Region.BlockAt(block)->Use;

    private static double? Ago(StackView stack, long ns) => ns == 0 ? null : Math.Round((stack.NowNs - ns) / 1e6, 3);
}
