using System.Globalization;

namespace Accel.Inspect;

/// <summary>What regions do not say: how the processes are, and the sockets that the kernel has.</summary>
public abstract class Surroundings
{
    /// <summary>The process's name and state; null if there is none.</summary>
    public abstract (string? Name, char State) Status(int pid);

    /// <summary>The kernel's view of a descriptor's socket, or null.</summary>
    public abstract KernelSocket? Kernel(int pid, int descriptor);

    /// <summary>CPU time that a process has used.</summary>
    public virtual long CpuNs(int pid) => ProcessCpu.Nanoseconds(pid);
}

/// <summary>Asked of /proc, each table once.</summary>
public sealed class LiveSurroundings : Surroundings
{
    private readonly Dictionary<string, Dictionary<string, KernelSocket>> _tables = [];
    private readonly Dictionary<int, string> _namespaces = [];

    public override (string? Name, char State) Status(int pid) => Read(pid);

    internal static (string? Name, char State) Read(int pid)
    {
        try
        {
            string stat = File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/stat"));
            int open = stat.IndexOf('(', StringComparison.Ordinal), close = stat.LastIndexOf(')');
            return (RegionText.Clean(stat[(open + 1)..close]), stat[close + 2]);
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
                network = ProcLink.Network($"{pid}") ?? $"of {pid}";
                _namespaces[pid] = network;
            }
            if (!_tables.TryGetValue(network, out Dictionary<string, KernelSocket>? table))
                _tables[network] = table = KernelSockets.Table($"{pid}");
            return ProcLink.Socket(pid, descriptor) is { } inode ? table.GetValueOrDefault(inode) : null;
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
