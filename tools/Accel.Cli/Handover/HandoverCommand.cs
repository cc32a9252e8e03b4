using System.CommandLine;
using System.Globalization;
using Accel.Core.Handover;
using Accel.Core.Stack;

namespace Accel.Cli.Handover;

/// <summary>
/// `accel handover PID[:FD]`: a process gives its live connections, or one of them, to the kernel. They go on; what is
/// opened later is accelerated again.
/// </summary>
internal static class HandoverCommand
{
    private const int WaitMilliseconds = 5000, LookMilliseconds = 20;

    public static Command Create()
    {
        var target = new Argument<string>("PID[:FD]") { Description = "A process, or one descriptor of it" };
        var command = new Command("handover", "Gives live connections of a process to the kernel") { target };
        command.SetAction(parsed => Run(parsed.GetValue(target)!));
        return command;
    }

    private static int Run(string target)
    {
        string[] parts = target.Split(':');
        int fd = -1;
        if (parts.Length > 2 || !int.TryParse(parts[0], CultureInfo.InvariantCulture, out int pid)
            || (parts.Length == 2 && (!int.TryParse(parts[1], CultureInfo.InvariantCulture, out fd) || fd < 0)))
            return Fail($"{target} is not PID or PID:FD");
        using LiveStack? stack = LiveStack.Of(pid, out string? why);
        if (stack == null)
            return Fail($"process {pid}: {why}");
        long given = stack.Count(Counter.LiveHandovers), refused = stack.Count(Counter.LiveHandoversRefused);
        stack.Ask(fd);
        // Whoever of the process comes by the library next sees it; one that sleeps looks up once a second.
        for (int waited = 0; !stack.IsDone; waited += LookMilliseconds)
        {
            if (waited >= WaitMilliseconds)
                return Fail($"process {pid} does not answer: it is stopped, or makes no calls on its sockets");
            Thread.Sleep(LookMilliseconds);
        }
        given = stack.Count(Counter.LiveHandovers) - given;
        refused = stack.Count(Counter.LiveHandoversRefused) - refused;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{given} given to the kernel, {refused} refused"));
        if (refused == 0)
            return 0;
        HandoverRefusal last = stack.LastRefusal;
        Console.WriteLine("the last one: "
            + (last < HandoverRefusal.Count ? HandoverRefusalText.Rows[(int)last] : last.ToString()));
        return 1;
    }

    private static int Fail(string why)
    {
        Console.Error.WriteLine($"accel handover: {why}");
        return 2;
    }
}
