using System.CommandLine;
using System.CommandLine.Help;
using Accel.Control;
using Accel.Control.Links;
using Accel.Daemon;
using Accel.Manual;
using Accel.Os.Control;

var interfaces = new Option<string[]>("--interface")
{
    Description = "Interface to accelerate, by name or pattern ('veth*'); may be given several times",
    AllowMultipleArgumentsPerToken = true,
};
var mode = new Option<ModeWish>("--mode")
{
    Description = "How frames come to the stacks: auto (ring on veth, else native if sockets bind), native and "
        + "generic (XDP), ring (tc: copied into a ring)",
    DefaultValueFactory = _ => ModeWish.Auto,
};
var queues = new Option<int>("--queues")
{
    Description = "Use this many queues of each interface at most",
    DefaultValueFactory = _ => int.MaxValue,
};
var frames = new Option<uint?>("--frames")
{
    Description = "Buffers of 4 KiB for each queue, shared by the stacks on it (a power of two; default: 8192, less if "
        + "there are many queues)",
};
var socket = new Option<string?>("--socket")
{
    Description = $"Where stacks find the daemon (default: {Protocol.SocketPath(0).Replace("0.sock", "NETNS.sock")})",
};
var policy = new Option<FileInfo?>("--policy")
{
    Description = "File that says who may have what, and look at whose stacks (read again on SIGHUP); without it, root "
        + "only may have something, and all may look",
};
var keep = new Option<bool>("--keep")
{
    Description = "Leave programs and steering in place when stopped, for the acceld that follows",
};
var foreground = new Option<bool>("--foreground") { Description = "Stay in the foreground (it always does)" };
var metrics = new Option<string?>("--metrics")
{
    Description = "Serve metrics to Prometheus at /metrics of PORT (on the loopback), ADDRESS:PORT or unix:PATH "
        + "(default: nowhere)",
};
var json = new Option<bool>("--json") { Description = "JSON instead of text" };

var root = new Command("acceld", """
    Accel's control plane for one network namespace: steers frames of accelerated ports to the stacks that hold them,
    and leaves everything else to the kernel. Prints a line that begins with "acceld ready" once it serves.
    """) { new HelpOption(), interfaces, mode, queues, frames, socket, policy, keep, foreground, metrics };
root.SetAction(parsed => Serving.Run(new Serving.Wishes(
    parsed.GetValue(interfaces) ?? [], parsed.GetValue(mode), parsed.GetValue(queues), parsed.GetValue(frames),
    parsed.GetValue(socket), parsed.GetValue(policy), parsed.GetValue(keep),
    parsed.GetValue(metrics))));
var status = new Command("status", "What the running daemon serves, and whom") { socket, json };
status.SetAction(parsed => Asking.Run(parsed.GetValue(socket), parsed.GetValue(json)));
root.Subcommands.Add(status);
root.Options.Add(new ModelOption());
try
{
    return root.Parse(args).Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
}
catch (ControlException e)
{
    Console.Error.WriteLine($"acceld: {e.Message}");
    return 1;
}
