using System.CommandLine;
using System.CommandLine.Help;
using Accel.Cli.Bench;
using Accel.Cli.Capture;
using Accel.Cli.Demo;
using Accel.Cli.Handover;
using Accel.Cli.Manual;
using Accel.Cli.Run;
using Accel.Cli.Settings;
using Accel.Cli.Why;
using Accel.Manual;

// Named as the user calls it: tools/accel.
var root = new Command("accel", "Unmodified socket programs, faster.") { new HelpOption(), new ModelOption() };
root.Subcommands.Add(RunCommand.Create());
root.Subcommands.Add(LibCommand.Create());
root.Subcommands.Add(WhyCommand.Create());
root.Subcommands.Add(OptionsCommand.Create());
root.Subcommands.Add(ManCommand.Create());
root.Subcommands.Add(DemoCommand.Create());
root.Subcommands.Add(BenchCommand.Create());
root.Subcommands.Add(HandoverCommand.Create());
root.Subcommands.Add(PcapCommand.Create());
return root.Parse(args).Invoke();
