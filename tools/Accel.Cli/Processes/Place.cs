namespace Accel.Cli.Processes;

/// <summary>Where a program runs: its CPU, its network namespace (null: ours), and the address that servers have there.
/// </summary>
public sealed record Place(int Cpu, string? Namespace = null, string Address = "127.0.0.1")
{
    /// <summary>What stands before a command so that it runs there.</summary>
    public string[] Prefix => Namespace is null ? [] : ["ip", "netns", "exec", Namespace];
}
