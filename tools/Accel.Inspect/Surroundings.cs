using System.Globalization;

namespace Accel.Inspect;

/// <summary>What regions do not say: how the processes are, and the sockets that the kernel has.</summary>
public abstract class Surroundings
{
    /// <summary>The process's name and state; null if there is none.</summary>
    public abstract (string? Name, char State) Status(int pid);

    /// <summary>The kernel's view of a descriptor's socket, or null.</summary>
    public abstract KernelSocket? Kernel(int pid, int descriptor);
}

/// <summary>Asked of /proc, each table once.</summary>
public sealed class LiveSurroundings : Surroundings
{
    private readonly Dictionary<string, Dictionary<string, KernelSocket>> _tables = [];
    private readonly Dictionary<int, string> _namespaces = [];

    public override (string? Name, char State) Status(int pid)
    {
        try
        {
            string stat = File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/stat"));
            int open = stat.IndexOf('(', StringComparison.Ordinal), close = stat.LastIndexOf(')');
            return (stat[(open + 1)..close], stat[close + 2]);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return (null, ' ');
        }
    }

    public override KernelSocket? Kernel(int pid, int descriptor)
    {
        try
        {
            if (!_namespaces.TryGetValue(pid, out string? network))
            {
                network = new FileInfo($"/proc/{pid}/ns/net").LinkTarget ?? $"of {pid}";
                _namespaces[pid] = network;
            }
            if (!_tables.TryGetValue(network, out Dictionary<string, KernelSocket>? table))
                _tables[network] = table = KernelSockets.Table(pid);
            string? target = new FileInfo($"/proc/{pid}/fd/{descriptor}").LinkTarget;
            return target is not null && target.StartsWith("socket:[", StringComparison.Ordinal)
                ? table.GetValueOrDefault(target[8..^1]) : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}

/// <summary>As they were when a look was saved.</summary>
public sealed class SavedSurroundings : Surroundings
{
    public Dictionary<int, (string Name, char State)> Processes { get; } = [];

    public Dictionary<(int Pid, int Descriptor), KernelSocket> Sockets { get; } = [];

    public override (string? Name, char State) Status(int pid) =>
        Processes.TryGetValue(pid, out (string Name, char State) found) ? found : (null, ' ');

    public override KernelSocket? Kernel(int pid, int descriptor) => Sockets.GetValueOrDefault((pid, descriptor));
}
