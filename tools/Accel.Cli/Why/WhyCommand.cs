using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Accel.Inspect;

namespace Accel.Cli.Why;

/// <summary>
/// `accel why PID[:FD]`: a sentence for each socket that says its path, and for one on the kernel the reason and what
/// would change it.
/// </summary>
internal static class WhyCommand
{
    public static Command Create()
    {
        var target = new Argument<string>("PID[:FD]") { Description = "A process, or one descriptor of it" };
        var json = new Option<bool>("--json") { Description = "One JSON array instead of sentences" };
        var command = new Command("why", "Says for each socket of a process which path it is on, and why")
        {
            target, json,
        };
        command.SetAction(parsed => Run(parsed.GetValue(target)!, parsed.GetValue(json)));
        return command;
    }

    private static int Run(string target, bool json)
    {
        if (!TryParse(target, out int pid, out int? fd)) return Fail($"{target} is not PID or PID:FD");
        if (!Directory.Exists($"/proc/{pid}")) return Fail($"there is no process {pid}");
        List<Verdict> verdicts = Judge(pid, fd);
        if (json)
            Console.WriteLine(new JsonArray([.. verdicts.Select(v => v.ToJson(pid))]).ToJsonString());
        else
            foreach (Verdict verdict in verdicts) Console.WriteLine(verdict.Sentence);
        return 0;
    }

    private static List<Verdict> Judge(int pid, int? fd)
    {
        using Machine machine = Machine.Look();
        StackView? stack = machine.Stacks.FirstOrDefault(s => s.Processes.Any(p => p.Pid == pid));
        if (stack is null) return [ProcessVerdict.Of(pid, machine)];
        var verdicts = new List<Verdict>();
        foreach (SocketView socket in stack.Sockets())
        {
            foreach (Holder holder in socket.Holders)
                if (holder.Process.Pid == pid && (fd is null || holder.Descriptor == fd))
                    verdicts.Add(SocketVerdict.Of(machine, socket, holder));
        }
        if (verdicts.Count > 0) return [.. verdicts.OrderBy(v => v.Descriptor)];
        return [fd is { } one ? DescriptorVerdict.Of(pid, one) : new(null, SocketLine.None, "no_socket",
            $"process {pid} is accelerated, and has no TCP or UDP socket that is bound or connected now.", null)];
    }

    public static bool TryParse(string text, out int pid, out int? fd)
    {
        string[] parts = text.Split(':');
        fd = null;
        bool good = int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out pid) && pid > 0;
        if (parts.Length == 1) return good;
        good &= int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int one);
        fd = one;
        return good && parts.Length == 2;
    }

    private static int Fail(string why)
    {
        Console.Error.WriteLine($"accel why: {why}");
        return 2;
    }
}
