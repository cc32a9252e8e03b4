using Accel.Manual;

namespace Accel.Cli.Manual;

/// <summary>A tool's commands, arguments and options, as text of a page.</summary>
internal static class CommandText
{
    public static IEnumerable<string> Of(CommandModel tool)
    {
        List<string> lines = ["## Synopsis"];
        lines.AddRange(["```", .. Synopses(tool.Name, tool, isRoot: true), "```", "## Description"]);
        lines.AddRange(tool.Meaning.ReplaceLineEndings("\n").Split('\n'));
        lines.Add("");
        foreach (ArgumentModel argument in tool.Arguments) lines.AddRange(Term(argument));
        foreach (OptionModel option in tool.Options) lines.AddRange(Term(option));
        if (tool.Commands.Length == 0) return lines;
        lines.Add("## Commands");
        foreach (CommandModel command in tool.Commands) Add(lines, tool.Name, command);
        return lines;
    }

    private static void Add(List<string> lines, string before, CommandModel command)
    {
        lines.Add($"### {before} {command.Name}");
        lines.AddRange(["```", .. Synopses($"{before} {command.Name}", command, isRoot: false), "```"]);
        lines.AddRange(["", Sentence(command.Meaning.ReplaceLineEndings(" ")), ""]);
        foreach (ArgumentModel argument in command.Arguments) lines.AddRange(Term(argument));
        foreach (OptionModel option in command.Options) lines.AddRange(Term(option));
        foreach (CommandModel inner in command.Commands) Add(lines, $"{before} {command.Name}", inner);
    }

    private static IEnumerable<string> Synopses(string name, CommandModel command, bool isRoot)
    {
        string own = name + string.Concat(command.Options.Select(o => $" [{Usage(o)}]"))
            + string.Concat(command.Arguments.Select(a => a.IsOptional ? $" [{a.Name}]"
                : $" {a.Name}{(a.IsRepeated ? "..." : "")}"));
        if (command.Commands.Length == 0) return [own];
        IEnumerable<string> inner = command.Commands.Select(c => $"{name} {c.Name} ...");
        return isRoot && command.Options.Length > 0 ? [own, .. inner] : inner;
    }

    private static string Usage(OptionModel option) => option.Value is null ? option.Names[0]
        : $"{option.Names[0]} {option.Value}";

    private static IEnumerable<string> Term(ArgumentModel argument) =>
        [$"*{argument.Name}*", $": {Sentence(argument.Meaning)}", ""];

    private static IEnumerable<string> Term(OptionModel option)
    {
        string value = option.Value is null ? "" : $" *{option.Value}*";
        string meaning = option.Default is { Length: > 0 } d ? $"{option.Meaning}. Default: {d}" : option.Meaning;
        return [string.Join(", ", option.Names.Select(n => $"`{n}`{value}")), $": {Sentence(meaning)}", ""];
    }

    private static string Sentence(string text) => text.Length == 0 || text.EndsWith('.') ? text : $"{text}.";
}
