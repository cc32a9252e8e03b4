using System.CommandLine;
using System.CommandLine.Help;
using Accel.Cli.Bench;
using Accel.Cli.Capture;
using Accel.Cli.Demo;
using Accel.Cli.Handover;

// Named as the user calls it: tools/accel.
var root = new Command("accel", """
    Unmodified socket programs, faster.

    accel run [--profile P] [--spin US] [--strict] -- PROGRAM ARGS   runs a program accelerated (accel run --help)
    accel lib                                                        prints the library's path, for LD_PRELOAD
    """) { new HelpOption() };
root.Subcommands.Add(DemoCommand.Create());
root.Subcommands.Add(BenchCommand.Create());
root.Subcommands.Add(HandoverCommand.Create());
root.Subcommands.Add(PcapCommand.Create());
return root.Parse(args).Invoke();
