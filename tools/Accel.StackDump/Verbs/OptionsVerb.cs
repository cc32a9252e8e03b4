using System.Globalization;
using System.Text.Json.Nodes;
using Accel.Core.Stack;
using Accel.Inspect;

namespace Accel.StackDump.Verbs;

/// <summary>The options as each stack took them from its environment.</summary>
internal static class OptionsVerb
{
    public static unsafe Output Show(Machine machine, Selection selection)
    {
        var json = new JsonArray();
        var lines = new List<string>();
        foreach (StackView stack in machine.Chosen(selection.Pid))
        {
            string id = stack.Id.ToString("x16", CultureInfo.InvariantCulture);
            lines.Add($"stack {id}  {string.Join(' ', stack.Processes.Select(p => $"{p.Name}({p.Pid})"))}");
            var options = new JsonArray();
            var table = new TextTable("option", "value", "unit", "from", "default", "range", "meaning").Right(1, 4);
            foreach (OptionRow row in OptionTable.Rows)
            {
                long value = stack.Region.Tables->Options.Values[(int)row.Option];
                string from = stack.Region.Tables->Options.FromEnvironment[(int)row.Option] != 0 ? "environment"
                    : "default";
                table.Add(row.Name, value.ToString(CultureInfo.InvariantCulture), row.Unit, from,
                    row.Default.ToString(CultureInfo.InvariantCulture), $"{row.Min}..{row.Max}", row.Meaning);
                options.Add(new JsonObject
                {
                    ["name"] = row.Name,
                    ["value"] = value,
                    ["default"] = row.Default,
                    ["min"] = row.Min,
                    ["max"] = row.Max,
                    ["meaning"] = row.Meaning,
                    ["unit"] = row.Unit,
                    ["from"] = from,
                });
            }
            lines.AddRange(table.Lines("  "));
            json.Add(new JsonObject { ["stack"] = id, ["options"] = options });
        }
        return new(json, lines);
    }
}
