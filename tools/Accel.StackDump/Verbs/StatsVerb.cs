using System.Globalization;
using System.Text.Json.Nodes;
using Accel.Core.Handover;
using Accel.Core.Memory;
using Accel.Core.Stack;
using Accel.Inspect;

namespace Accel.StackDump.Verbs;

/// <summary>The counters of each stack, and how full its tables are.</summary>
internal static class StatsVerb
{
    public static Output Show(Machine machine, Selection selection)
    {
        var json = new JsonArray();
        var lines = new List<string>();
        foreach (StackView stack in machine.Chosen(selection.Pid))
        {
            string id = stack.Id.ToString("x16", CultureInfo.InvariantCulture);
            lines.Add($"stack {id}  {string.Join(' ', stack.Processes.Select(p => $"{p.Name}({p.Pid})"))}");
            JsonObject counters = Counters(stack, lines), tables = Tables(machine, stack, lines);
            string refusal = LastRefusal(stack);
            lines.Add($"  handover_refusal: {refusal}");
            JsonObject? nic = machine.Nic(stack) is { } path ? NicVerb.Counters(path, lines) : null;
            json.Add(new JsonObject
            {
                ["stack"] = id,
                ["pids"] = new JsonArray([.. stack.Processes.Select(p => JsonValue.Create(p.Pid))]),
                ["counters"] = counters,
                ["tables"] = tables,
                ["handover_refusal"] = refusal,
                ["nic_counters"] = nic,
            });
        }
        return new(json, lines);
    }

    /// <summary>Why the last live connection that was to go to the kernel stayed.</summary>
    private static unsafe string LastRefusal(StackView stack)
    {
        int last = stack.Region.Tables->HandoverRefusal;
        return last < HandoverRefusalText.Rows.Length ? HandoverRefusalText.Rows[last] : $"number {last}";
    }

    private static unsafe JsonObject Counters(StackView stack, List<string> lines)
    {
        var json = new JsonObject();
        var table = new TextTable("counter", "value", "meaning").Right(1);
        foreach (CounterRow row in CounterTable.Rows)
        {
            long sum = 0;
            for (int shard = 0; shard < CounterShard.Shards; shard++)
                sum += stack.Region.ShardAt(shard)->Values[(int)row.Counter];
            json[row.Name] = sum;
            table.Add(row.Name, sum.ToString(CultureInfo.InvariantCulture), row.Meaning);
        }
        lines.AddRange(table.Lines("  "));
        return json;
    }

    private static unsafe JsonObject Tables(Machine machine, StackView stack, List<string> lines)
    {
        var json = new JsonObject();
        var table = new TextTable("table", "in use", "ever used", "capacity", "refused").Right(1, 2, 3, 4);
        void Row(string name, in FreeList list)
        {
            json[name] = new JsonObject
            {
                ["in_use"] = list.InUse,
                ["ever_used"] = list.Bumped,
                ["capacity"] = list.Capacity,
                ["refused"] = list.Refused,
            };
            table.Add(name, $"{list.InUse}", $"{list.Bumped}", $"{list.Capacity}", $"{list.Refused}");
        }

        StackTables* t = stack.Region.Tables;
        Row("sockets", t->Sockets);
        Row("epoll_sets", t->EpollSets);
        Row("epoll_items", t->EpollItems);
        Row("wakers", t->Wakers);
        if (machine.OwnLocal(stack) is { } own)
        {
            Core.Local.LocalTables* l = own.Region.Tables;
            Row("connections", l->Conns);
            Row("listeners", l->Listeners);
            Row("doorbells", l->Doorbells);
            json["buffer_bytes_ever_used"] = l->Buffers.BumpByte - l->Buffers.FirstByte;
            json["buffer_bytes_in_use"] = BytesInUse(l->Buffers);
            lines.Add($"  buffers: {BytesInUse(l->Buffers) >> 10} KiB in use, "
                + $"{(l->Buffers.BumpByte - l->Buffers.FirstByte) >> 10} KiB ever used, "
                + $"{(l->Buffers.EndByte - l->Buffers.FirstByte) >> 10} KiB there, {l->Buffers.Refused} refused");
        }
        lines.AddRange(table.Lines("  "));
        return json;
    }

    private static unsafe long BytesInUse(BufferArena arena)
    {
        long sum = 0;
        for (int i = 0; i < BufferClass.Count; i++) sum += (long)arena.InUse[i] << BufferClass.Log2(i);
        return sum;
    }
}
