using System.CommandLine;
using System.CommandLine.Help;
using System.Globalization;
using Accel.Manual;
using Accel.Stat;
using Accel.Stat.Screen;

var pid = new Argument<int?>("PID")
{
    Description = "Only the stack of this process",
    Arity = ArgumentArity.ZeroOrOne,
};
var once = new Option<bool>("--once", "-1") { Description = "Totals since each stack began, once" };
var json = new Option<bool>("--json") { Description = "A JSON document in each line: totals, and rates" };
var csv = new Option<bool>("--csv") { Description = "Comma-separated rows: totals with --once, else rates" };
var interval = new Option<double>("--interval", "-i")
{
    Description = "Seconds between two readings; figures are per second of this time",
    DefaultValueFactory = _ => 1,
};
var count = new Option<int?>("--count", "-n") { Description = "End after so many readings" };
var sort = new Option<string>("--sort", "-s")
{
    Description = "Figure to sort by, largest first: see `accelstat figures`",
    DefaultValueFactory = _ => "bytes_in",
};
var reverse = new Option<bool>("--reverse", "-r") { Description = "Smallest first" };

interval.Validators.Add(result =>
{
    if (result.GetValueOrDefault<double>() is not (>= 0.05 and <= 86400))
        result.AddError("--interval: from 0.05 to 86400 seconds");
});
count.Validators.Add(result =>
{
    if (result.GetValueOrDefault<int?>() is < 1) result.AddError("--count: at least 1");
});
sort.Validators.Add(result =>
{
    string name = result.GetValueOrDefault<string>() ?? "";
    if (Figures.Find(name) is null) result.AddError($"--sort: no figure is named '{name}' (see accelstat figures)");
});

var root = new Command("accelstat", """
    What Accel's stacks do: connections by path, traffic, losses, and where the CPU time goes.
    On a terminal a screen that is kept up to date; otherwise, or with an option for it, lines for scripts.
    """) { new HelpOption(), pid, once, json, csv, interval, count, sort, reverse };
root.SetAction(parsed =>
{
    var wishes = new Wishes(parsed.GetValue(pid), TimeSpan.FromSeconds(parsed.GetValue(interval)),
        parsed.GetValue(once) ? 1 : parsed.GetValue(count), Figures.Find(parsed.GetValue(sort)!)!,
        parsed.GetValue(reverse), parsed.GetValue(once),
        parsed.GetValue(json) ? Form.Json : parsed.GetValue(csv) ? Form.Csv : Form.Table);
    bool isScreen = !wishes.IsTotal && wishes.Form == Form.Table && wishes.Count is null
        && !Console.IsOutputRedirected && !Console.IsInputRedirected;
    return isScreen ? LiveScreen.Run(wishes) : Lines.Run(wishes, Console.Out, Console.Error);
});

var figures = new Command("figures", "The figures with their units and meanings, and what counts as a drop");
figures.SetAction(_ =>
{
    foreach (string line in FigureHelp.Lines()) Console.WriteLine(line);
    return 0;
});
root.Subcommands.Add(figures);

var duration = new Option<double?>("--time", "-t") { Description = "End after so many seconds" };
var events = new Command("events", """
    A line for each retransmission and drop (by looks at the stacks, ten a second), and for each connection that opens,
    closes, or goes to the kernel, of programs that run with ACCEL_DIAGNOSTICS=1.
    """) { pid, duration, json };
events.SetAction(parsed => EventLines.Run(parsed.GetValue(pid),
    parsed.GetValue(duration) is { } seconds ? TimeSpan.FromSeconds(seconds) : null, parsed.GetValue(json),
    Console.Out));
root.Subcommands.Add(events);
CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
root.Options.Add(new ModelOption());
return root.Parse(args).Invoke();
