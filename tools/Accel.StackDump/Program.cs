using System.CommandLine;
using System.CommandLine.Help;
using Accel.Inspect;
using Accel.Inspect.Look;
using Accel.Manual;
using Accel.StackDump;
using Accel.StackDump.Verbs;

var json = new Option<bool>("--json") { Description = "JSON instead of text", Recursive = true };
var from = new Option<string?>("--from")
{
    Description = "Shows what `stackdump save` has put into a file",
    HelpName = "FILE",
    Recursive = true,
};
var selection = new Argument<string[]>("PID or FILTER")
{
    Description = "Only of this process, only what matches, as ss has it: state established and dport 6379 "
        + "(state, sport, dport, src, dst, path, pid; and, or, not, parentheses)",
    Arity = ArgumentArity.ZeroOrMore,
};

// Every verb takes what it shows out of one look at the machine; nothing is changed, and no process has to answer.
int Show(ParseResult parsed, Func<Machine, Output> verb)
{
    Machine? machine = null;
    try
    {
        machine = Look(parsed.GetValue(from));
        verb(machine).Write(Console.Out, parsed.GetValue(json));
    }
    catch (Exception e) when (e is NothingToShowException or FormatException or InvalidDataException
        or UnauthorizedAccessException or IOException)
    {
        Console.Error.WriteLine($"stackdump: {e.Message}");
        return 1;
    }
    catch (Exception e) when (e is ArgumentException or ArithmeticException or IndexOutOfRangeException)
    {
        Console.Error.WriteLine($"stackdump: what a region holds makes no sense here: {e.Message}");
        return 1;
    }
    finally
    {
        foreach (string refusal in machine?.Refusals ?? []) Console.Error.WriteLine($"stackdump: {refusal}");
        if (machine?.Unseen is { } unseen) Console.Error.WriteLine($"stackdump: {unseen}");
        machine?.Dispose();
    }
    return 0;
}

static Machine Look(string? file)
{
    if (file is null)
    {
        using var others = new OtherStacks();
        return Machine.Look(null, others);
    }
    using FileStream stream = File.OpenRead(file);
    return SavedLook.Load(stream);
}

var root = new Command("stackdump", """
    What Accel's stacks hold, read from outside while their processes run, hang, are stopped or have died.
    Without a verb: the stacks with their processes. Other users' stacks are shown as acceld lets this user see them:
    sockets and counters, but no sequence numbers and no segments.
    """) { new HelpOption(), json, from };
root.SetAction(parsed => Show(parsed, m => StacksVerb.Show(m, Selection.All)));

foreach (Verb row in VerbTable.Rows)
{
    var verb = new Command(row.Name, row.Meaning) { selection };
    if (row.Name == "sockets")
    {
        var info = new Option<bool>("--info", "-i")
        {
            Description = "TCP's inside in a second line, as `ss -i` shows it",
        };
        verb.Options.Add(info);
        verb.SetAction(parsed => Show(parsed, m => SocketsVerb.Show(m,
            Selection.Parse(parsed.GetValue(selection) ?? []), parsed.GetValue(info))));
    }
    else
        verb.SetAction(parsed => Show(parsed, m => row.Show(m, Selection.Parse(parsed.GetValue(selection) ?? []))));
    root.Subcommands.Add(verb);
}

var socket = new Argument<string>("PID:FD") { Description = "A process and one of its descriptors" };
var one = new Command("socket", "All fields of one socket and its connection") { socket };
one.SetAction(parsed => Show(parsed, m => SocketVerb.Show(m, parsed.GetValue(socket)!)));
root.Subcommands.Add(one);

var lots = new Command("lots", "All of these, for a report") { selection };
lots.SetAction(parsed => Show(parsed, m => VerbTable.Lots(m, Selection.Parse(parsed.GetValue(selection) ?? []))));
root.Subcommands.Add(lots);

var file = new Argument<string>("FILE") { Description = "The file to write; payload and keys are left out" };
var of = new Argument<int?>("PID")
{
    Description = "Only the stack of this process",
    Arity = ArgumentArity.ZeroOrOne,
};
var save = new Command("save", "Saves the tables, for every verb with --from FILE, here or elsewhere") { file, of };
save.SetAction(parsed => Show(parsed, m => SaveVerb.Save(m, parsed.GetValue(file)!, parsed.GetValue(of))));
root.Subcommands.Add(save);

var seconds = new Option<double>("-n")
{
    Description = "Seconds between two looks",
    HelpName = "SECONDS",
    DefaultValueFactory = _ => 2,
};
var times = new Option<int>("-c")
{
    Description = "End after so many looks",
    HelpName = "COUNT",
    DefaultValueFactory = _ => int.MaxValue,
};
var words = new Argument<string[]>("VERB")
{
    Description = "A verb and what it takes",
    Arity = ArgumentArity.OneOrMore,
};
var watch = new Command("watch", "Shows a verb again and again") { seconds, times, words };
watch.SetAction(parsed =>
{
    string[] verb = [.. parsed.GetValue(words)!, .. parsed.GetValue(json) ? (string[])["--json"] : []];
    if (verb[0] is "watch" or "save" || parsed.GetValue(seconds) is not (>= 0.05 and <= 86400))
    {
        Console.Error.WriteLine("stackdump: watch wants a verb that shows something, and at least 0.05 seconds");
        return 1;
    }
    int result = 0;
    for (int i = 0; i < parsed.GetValue(times); i++)
    {
        if (i > 0) Thread.Sleep(TimeSpan.FromSeconds(parsed.GetValue(seconds)));
        if (!Console.IsOutputRedirected) Console.Write("\x1b[H\x1b[2J");
        result = root.Parse(verb).Invoke();
    }
    return result;
});
root.Subcommands.Add(watch);
root.Options.Add(new ModelOption());
return root.Parse(args).Invoke();
