using Accel.Inspect;

namespace Accel.Cli.Why;

/// <summary>A descriptor of an accelerated process that its stack does not know.</summary>
internal static class DescriptorVerdict
{
    /// <summary>Tables of /proc/PID/net in which a socket is found by its inode, and what it is then.</summary>
    private static readonly (string Table, string What, string Why)[] Kinds =
    [
        ("tcp", "a TCP socket", EarlyOrForeign), ("tcp6", "a TCP socket", EarlyOrForeign),
        ("udp", "a UDP socket", Datagram), ("udp6", "a UDP socket", Datagram),
        ("unix", "a unix socket", "only TCP and UDP over IPv4 and IPv6 are accelerated"),
    ];

    private const string EarlyOrForeign =
        "it is neither bound nor connected yet, was made before the library was there or without libc, or came from a "
        + "program that is not accelerated";

    private const string Datagram =
        "UDP is accelerated only where acceld serves an interface, from the first bind() or connect() on";

    public static Verdict Of(int pid, int fd)
    {
        string? target = Target(pid, fd);
        if (target is null)
            return new(fd, SocketLine.None, "no_descriptor", $"process {pid} has no descriptor {fd}.", null);
        (string what, string why) = Kind(pid, target);
        return new(fd, SocketLine.Kernel, "not_ours", $"fd {fd} is {what} of the kernel's: {why}.", null);
    }

    private static (string What, string Why) Kind(int pid, string target)
    {
        const string Socket = "socket:[";
        if (!target.StartsWith(Socket, StringComparison.Ordinal)) return ($"{target},", "it is no socket");
        string inode = target[Socket.Length..^1];
        foreach ((string table, string what, string why) in Kinds)
            if (Lines($"/proc/{pid}/net/{table}").Any(line => line.Split(' ').Contains(inode))) return (what, why);
        return ("a socket", "it is neither bound nor connected, or of a family that is not accelerated");
    }

    private static string? Target(int pid, int fd)
    {
        try
        {
            return new FileInfo($"/proc/{pid}/fd/{fd}").LinkTarget;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static string[] Lines(string path)
    {
        try
        {
            return File.ReadAllLines(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
