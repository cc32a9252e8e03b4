using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Accel.Core.Stack;
using Accel.Inspect;

namespace Accel.Cli.Settings;

/// <summary>
/// `accel options`: every option with its default, range, meaning, value and origin: for a program that would be
/// started now, or for one that runs.
/// </summary>
internal static class OptionsCommand
{
    /// <summary>An option as somebody has it.</summary>
    private readonly record struct Setting(OptionRow Row, long Value, string Origin);

    public static Command Create()
    {
        var pid = new Argument<int?>("PID")
        {
            Description = "The options of this process, as its stack took them",
            Arity = ArgumentArity.ZeroOrOne,
        };
        var profile = new Option<string?>("--profile")
        {
            Description = "As a program with this profile would have them",
        };
        var json = new Option<bool>("--json") { Description = "JSON instead of text" };
        var command = new Command("options", "Every option: value, origin (default, profile, environment), default, "
            + "range and meaning") { pid, profile, json };
        command.SetAction(parsed => Run(parsed.GetValue(pid), parsed.GetValue(profile), parsed.GetValue(json)));
        return command;
    }

    private static int Run(int? pid, string? profile, bool json)
    {
        if (pid is not null && profile is not null) return Fail("a process that runs has its profile already");
        List<Setting>? settings;
        string? complaint;
        if (pid is { } process) settings = OfProcess(process, out complaint);
        else settings = OfEnvironment(profile, out complaint);
        if (settings is null) return Fail(complaint!);
        if (complaint is not null) Console.Error.WriteLine($"accel options: {complaint}");
        if (json)
        {
            Console.WriteLine(new JsonArray([.. settings.Select(ToJson)]).ToJsonString());
            return 0;
        }
        var table = new TextTable("option", "value", "origin", "default", "range", "unit", "meaning").Right(1, 3);
        foreach (Setting s in settings)
            table.Add(s.Row.Name, Text(s.Value), s.Origin, Text(s.Row.Default), $"{Text(s.Row.Min)}..{Text(s.Row.Max)}",
                s.Row.Unit, s.Row.Meaning);
        foreach (OptionWord word in OptionTable.Words.Where(w => w.IsForUsers))
        {
            string? value = pid is null ? Environment.GetEnvironmentVariable(word.Name) : null;
            if (word.Name == "ACCEL_PROFILE") value = profile ?? value;
            table.Add(word.Name, value ?? "-", value is null ? "default" : "environment", "-", "a word", "",
                word.Meaning);
        }
        foreach (string line in table.Lines()) Console.WriteLine(line);
        return 0;
    }

    private static unsafe List<Setting>? OfProcess(int pid, out string? complaint)
    {
        using Machine machine = Machine.Look();
        StackView? stack = machine.Stacks.FirstOrDefault(s => s.Processes.Any(p => p.Pid == pid));
        complaint = stack is null ? $"process {pid} has no stack (`accel why {pid}` says why)" : null;
        if (stack is null) return null;
        OptionValues values = stack.Region.Tables->Options;
        var settings = new List<Setting>();
        foreach (OptionRow row in OptionTable.Rows)
            settings.Add(new(row, values.Values[(int)row.Option], values.Origin(row.Option)));
        return settings;
    }

    private static List<Setting>? OfEnvironment(string? profile, out string? complaint)
    {
        complaint = null;
        Profile? read = profile is null ? null : Profile.Read(profile, out complaint);
        if (profile is not null && read is null) return null;
        string? sets = Environment.GetEnvironmentVariable(OptionTable.ProfileOptions);
        var complaints = new List<string>();
        var settings = new List<Setting>();
        foreach (OptionRow row in OptionTable.Rows)
        {
            string? text = Environment.GetEnvironmentVariable(row.Name);
            string origin = OptionTable.IsIn(sets, row.Name) ? "profile" : "environment";
            if (text is null
                && read?.Settings.FirstOrDefault(s => s.Option == row.Name) is { Option: not null } setting)
                (text, origin) = (setting.Value, "profile");
            long value = row.Default;
            if (text is not null && OptionTable.Parse(row, text, out value) is { } wrong)
            {
                complaints.Add(wrong);
                (text, value) = (null, row.Default);
            }
            if (text is null) origin = "default";
            settings.Add(new(row, value, origin));
        }
        complaints.AddRange(Unknown());
        complaint = complaints.Count == 0 ? null : string.Join("\naccel options: ", complaints);
        return settings;
    }

    /// <summary>What looks like an option of ours and is none: a misspelt one sets nothing.</summary>
    private static IEnumerable<string> Unknown() =>
        from name in Environment.GetEnvironmentVariables().Keys.Cast<string>().Order(StringComparer.Ordinal)
        where name.StartsWith("ACCEL_", StringComparison.Ordinal) && OptionTable.Rows.All(r => r.Name != name)
            && OptionTable.Words.All(w => w.Name != name)
        select $"{name}: no such option, it sets nothing";

    private static JsonObject ToJson(Setting s) => new()
    {
        ["name"] = s.Row.Name,
        ["value"] = s.Value,
        ["origin"] = s.Origin,
        ["default"] = s.Row.Default,
        ["min"] = s.Row.Min,
        ["max"] = s.Row.Max,
        ["unit"] = s.Row.Unit,
        ["meaning"] = s.Row.Meaning,
    };

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);

    private static int Fail(string why)
    {
        Console.Error.WriteLine($"accel options: {why}");
        return 2;
    }
}
