using System.Globalization;
using Accel.Cli.Processes;
using Accel.Cli.Settings;
using Accel.Core.Handover;
using Accel.Core.Nic;
using Accel.Core.Stack;
using Accel.Manual;

namespace Accel.Cli.Manual;

/// <summary>What the code's tables say, as text of a page.</summary>
internal static class Tables
{
    public static IEnumerable<string>? Of(string table, string which) => table switch
    {
        "options" => OptionTable.Rows.SelectMany(r => Term($"`{r.Name}`", $"{r.Meaning} Default {Number(r.Default)}, "
            + $"range {Number(r.Min)} to {Number(r.Max)}{(r.Unit.Length == 0 ? "" : $" {r.Unit}")}.")),
        "words" => OptionTable.Words.Where(w => w.IsForUsers).SelectMany(w => Term($"`{w.Name}`", w.Meaning)),
        "counters" => CounterTable.Rows.SelectMany(r => Term($"`{r.Name}`", r.Meaning)),
        "nic-counters" => NicCounterTable.Rows.SelectMany(r => Term($"`{r.Name}`", r.Meaning)),
        "reasons" => PathReasonTable.Rows.SelectMany(Reason),
        "handover-refusals" => HandoverRefusalText.Rows.Skip(1).Select(r => $"- {r}"),
        "nic-refusals" => NicRefusalText.Rows.Skip(1).Select(r => $"- {r}"),
        "profiles" => Profile.Names().SelectMany(ProfileText),
        "command" => CommandText.Of(ModelOf(which)),
        _ => null,
    };

    private static CommandModel ModelOf(string tool) => CommandModel.FromJson(Tool.Run(tool switch
    {
        "accel" => Path.Combine(Installation.Bin, "Accel.Cli", "release", "accel-cli"),
        "acceld" => Installation.Daemon,
        "stackdump" => Installation.StackDump,
        "accelstat" => Path.Combine(Installation.Bin, "Accel.Stat", "release", "accelstat"),
        _ => throw new FormatException($"there is no tool {tool}"),
    }, "--model"));

    private static IEnumerable<string> Term(string term, string meaning) => [term, $": {meaning}", ""];

    private static IEnumerable<string> Reason(PathReasonRow row) => Term($"**{row.Text}**",
        (row.Remedy.Length == 0 ? "Nothing to change." : $"To change that: {row.Remedy}.")
        + (row.Verdict == PathVerdict.Fallback ? " An error under `ACCEL_STRICT=1`." : ""));

    private static IEnumerable<string> ProfileText(string name)
    {
        Profile profile = Profile.Read(name, out string? complaint) ?? throw new FormatException(complaint);
        return [$"`{name}`", $": {profile.Purpose}.", "", .. profile.Settings.SelectMany(s => (string[])
            [$"- `{s.Option}={s.Value}`: {s.Reason}", ""])];
    }

    private static string Number(long value) => value.ToString(CultureInfo.InvariantCulture);
}
