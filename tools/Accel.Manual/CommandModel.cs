using System.CommandLine;
using System.CommandLine.Help;
using System.Globalization;
using System.Text.Json;

namespace Accel.Manual;

/// <summary>An argument: its name in capitals, whether it can be left out or given again, and what it means.</summary>
public sealed record ArgumentModel(string Name, string Meaning, bool IsOptional, bool IsRepeated);

/// <summary>An option with its names; no value: a switch.</summary>
public sealed record OptionModel(string[] Names, string? Value, string Meaning, string? Default, bool IsForAll);

/// <summary>A command as System.CommandLine has it.</summary>
public sealed record CommandModel(
    string Name, string Meaning, ArgumentModel[] Arguments, OptionModel[] Options, CommandModel[] Commands)
{
    public static CommandModel Of(Command command) => new(
        command.Name, command.Description ?? "", [.. command.Arguments.Where(a => !a.Hidden).Select(Of)],
        [.. command.Options.Where(o => !o.Hidden && o is not HelpOption).Select(Of)],
        [.. command.Subcommands.Where(c => !c.Hidden).Select(Of)]);

    public string ToJson() => JsonSerializer.Serialize(this);

    public static CommandModel FromJson(string json) => JsonSerializer.Deserialize<CommandModel>(json)
        ?? throw new JsonException("no command");

    private static ArgumentModel Of(Argument a) =>
        new(a.Name, a.Description ?? "", a.Arity.MinimumNumberOfValues == 0, a.Arity.MaximumNumberOfValues > 1);

    private static OptionModel Of(Option o) => new(
        [o.Name, .. o.Aliases.Order(StringComparer.Ordinal)],
        o.Arity.MaximumNumberOfValues == 0 || o.ValueType == typeof(bool) ? null
            : o.HelpName ?? o.Name.TrimStart('-').ToUpperInvariant(),
        o.Description ?? "", DefaultOf(o), o.Recursive);

    private static string? DefaultOf(Option o)
    {
        if (!o.HasDefaultValue || o.ValueType == typeof(bool)) return null;
        object? value = o.GetDefaultValue();
        // The largest number means that there is no limit, and what depends on the machine is no text for a page.
        return value is null or int.MaxValue or Array { Length: 0 } || o.Name == "--cpus" ? null
            : Convert.ToString(value, CultureInfo.InvariantCulture)?.ToLowerInvariant();
    }
}
