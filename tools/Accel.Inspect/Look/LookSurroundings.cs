namespace Accel.Inspect.Look;

/// <summary>
/// What acceld knows of processes that hold a stack. The kernel's own table of sockets is everybody's to read: acceld
/// only says which of them a descriptor is.
/// </summary>
internal sealed class LookSurroundings
{
    public sealed record Process(string Name, char State, long CpuNs);

    private readonly Lazy<Dictionary<string, KernelSocket>> _table = new(() => KernelSockets.Table("self"));

    public Dictionary<int, Process> Processes { get; } = [];

    public Dictionary<(int Pid, int Descriptor), string> Inodes { get; } = [];

    /// <summary>As a stack may have it: a slot of it that names somebody else's process finds nothing.</summary>
    public Surroundings Of(IEnumerable<int> holders) => new Seen(this, [.. holders]);

    private sealed class Seen(LookSurroundings all, HashSet<int> holders) : Surroundings
    {
        public override (string? Name, char State) Status(int pid) =>
            holders.Contains(pid) && all.Processes.TryGetValue(pid, out Process? found) ? (found.Name, found.State)
                : (null, ' ');

        public override KernelSocket? Kernel(int pid, int descriptor)
        {
            if (!holders.Contains(pid) || !all.Inodes.TryGetValue((pid, descriptor), out string? inode)) return null;
            try
            {
                return all._table.Value.GetValueOrDefault(inode);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                return null;
            }
        }

        public override long CpuNs(int pid) => all.Processes.TryGetValue(pid, out Process? found) ? found.CpuNs : 0;
    }
}
