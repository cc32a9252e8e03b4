using System.CommandLine;
using System.Diagnostics;
using Accel.Cli.Processes;

namespace Accel.Cli.Manual;

/// <summary>`accel man [PAGE]`: the manual, from where it lies in the tree.</summary>
internal static class ManCommand
{
    public static Command Create()
    {
        var page = new Argument<string>("PAGE")
        {
            Description = "A page, as in libaccel; without one, the pages that there are",
            DefaultValueFactory = _ => "",
        };
        var update = new Option<bool>("--update")
        {
            Description = "Writes the pages anew from the tables",
            Hidden = true,
        };
        var command = new Command("man", "Shows the manual") { page, update };
        command.SetAction(parsed => parsed.GetValue(update) ? Update() : Show(parsed.GetValue(page)!));
        return command;
    }

    private static int Show(string page)
    {
        if (page.Length == 0)
        {
            foreach (string name in Pages.Names()) Console.WriteLine(name);
            return 0;
        }
        if (Pages.Find(page) is not { } file)
            return Fail($"no page {page}; there are: {string.Join(' ', Pages.Names())}");
        if (Installation.Find("man") is not { } man) return Fail($"man is not installed; the page is {file}");
        using Process process = Process.Start(man, ["-l", file]);
        process.WaitForExit();
        return process.ExitCode;
    }

    private static int Update()
    {
        foreach ((string file, string text) in Pages.Render().ToArray())
            File.WriteAllText(Path.Combine(Pages.Folder, file), text);
        return 0;
    }

    private static int Fail(string why)
    {
        Console.Error.WriteLine($"accel man: {why}");
        return 2;
    }
}
