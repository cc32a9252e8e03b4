using System.Globalization;
using Accel.Inspect;

namespace Accel.StackDump;

/// <summary>What a verb is asked to show: of one process or all, and only what a filter lets through.</summary>
public sealed record Selection(int? Pid, SocketFilter Filter)
{
    public static Selection All { get; } = new(null, SocketFilter.Parse([]));

    public static Selection Of(int pid) => new(pid, All.Filter);

    /// <summary>A leading number is a process; the rest is a filter.</summary>
    public static Selection Parse(string[] words)
    {
        bool hasPid = words.Length > 0 && int.TryParse(words[0], CultureInfo.InvariantCulture, out _);
        int? pid = hasPid ? int.Parse(words[0], CultureInfo.InvariantCulture) : null;
        return new(pid, SocketFilter.Parse(hasPid ? words[1..] : words));
    }
}

/// <summary>A socket, or a connection that no socket has, that is to be shown.</summary>
public readonly record struct Listed(StackView Stack, SocketView? Socket, SocketLine Line)
{
    public int[] Pids => [.. Socket?.Holders.Select(h => h.Process.Pid) ?? []];

    /// <summary>All that a selection asks for, in the order of stacks, processes, descriptors.</summary>
    public static IEnumerable<Listed> Of(Machine machine, Selection selection)
    {
        foreach (StackView stack in machine.Chosen(selection.Pid))
        {
            var shown = new HashSet<int>();
            foreach (SocketView socket in stack.Sockets())
            {
                Listed listed = new(stack, socket, SocketLine.Of(machine, socket));
                shown.Add(listed.Line.Block);
                bool asked = selection.Pid is null || socket.Holders.Any(h => h.Process.Pid == selection.Pid);
                if (asked && listed.Matches(selection.Filter)) yield return listed;
            }
            if (machine.Nic(stack) is not { } nic) continue;
            foreach (int block in nic.Blocks().Where(b => !shown.Contains(b)))
            {
                Listed listed = new(stack, null, SocketLine.OfBlock(nic, block));
                if (listed.Matches(selection.Filter)) yield return listed;
            }
        }
    }

    private bool Matches(SocketFilter filter) =>
        filter.Matches(new SocketFacts(Line.State, Line.Local, Line.Remote, Line.Route, Pids));
}
