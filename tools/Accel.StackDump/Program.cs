using System.CommandLine;
using System.CommandLine.Help;
using Accel.Inspect;
using Accel.Manual;
using Accel.StackDump;
using Accel.StackDump.Verbs;

var json = new Option<bool>("--json") { Description = "JSON instead of text", Recursive = true };
var pid = new Argument<int?>("PID")
{
    Description = "Only the stack, or the sockets, of this process",
    Arity = ArgumentArity.ZeroOrOne,
};
var socket = new Argument<string>("PID:FD") { Description = "A process and one of its descriptors" };

// Every verb takes what it shows out of one look at the machine; nothing is changed, and no process has to answer.
int Show(ParseResult parsed, Func<Machine, Output> verb)
{
    using Machine machine = Machine.Look();
    try
    {
        verb(machine).Write(Console.Out, parsed.GetValue(json));
        foreach (string refusal in machine.Refusals) Console.Error.WriteLine($"stackdump: {refusal}");
        return 0;
    }
    catch (NothingToShowException e)
    {
        Console.Error.WriteLine($"stackdump: {e.Message}");
        foreach (string refusal in machine.Refusals) Console.Error.WriteLine($"stackdump: {refusal}");
        return 1;
    }
}

var root = new Command("stackdump", """
    What Accel's stacks hold, read from outside while their processes run, hang or are stopped.
    Without a verb: the stacks with their processes.
    """) { new HelpOption(), json };
root.SetAction(parsed => Show(parsed, StacksVerb.Show));

var sockets = new Command("sockets", "A line for each socket: state, queues, names, owners, path and why") { pid };
var info = new Option<bool>("--info", "-i") { Description = "TCP's inside in a second line, as `ss -i` shows it" };
sockets.Options.Add(info);
sockets.SetAction(parsed => Show(parsed, m => SocketsVerb.Show(m, parsed.GetValue(pid), parsed.GetValue(info))));
var one = new Command("socket", "All fields of one socket and its connection") { socket };
one.SetAction(parsed => Show(parsed, m => SocketVerb.Show(m, parsed.GetValue(socket)!)));
var stats = new Command("stats", "Counters, and how full each table is") { pid };
stats.SetAction(parsed => Show(parsed, m => StatsVerb.Show(m, parsed.GetValue(pid))));
var options = new Command("options", "The ACCEL_* options as the stack took them") { pid };
options.SetAction(parsed => Show(parsed, m => OptionsVerb.Show(m, parsed.GetValue(pid))));
var links = new Command("links", "Network interfaces of each stack: mode, rings, what they carried and dropped")
    { pid };
links.SetAction(parsed => Show(parsed, m => LinksVerb.Show(m, parsed.GetValue(pid))));
var nic = new Command("nic", "The network path: engine, tables, listeners, settings, counters") { pid };
nic.SetAction(parsed => Show(parsed, m => NicVerb.Show(m, parsed.GetValue(pid))));
foreach (Command verb in (Command[])[sockets, one, links, nic, stats, options]) root.Subcommands.Add(verb);
root.Options.Add(new ModelOption());
return root.Parse(args).Invoke();
