using System.Globalization;
using System.Runtime.InteropServices;
using Accel.Cli.Processes;

namespace Accel.Cli.Nic;

/// <summary>
/// Two hosts on one machine: a network namespace each, joined by a veth pair. Gone when it is disposed of, when we are
/// told to end, and at the latest when the next one is made.
/// </summary>
public sealed class World : IDisposable
{
    private const string Prefix = "accel-cli-";
    private static readonly List<World> Alive = [];
    private static int _made;
    private static bool _ending;
    private static PosixSignalRegistration[]? _signals;
    private readonly List<Host> _hosts = [];

    public World(bool offloads = true, int? mtu = null)
    {
        if (Missing() is { } missing) throw new MeasurementException(missing);
        CleanUpWhenToldToEnd();
        lock (Alive) Alive.Add(this);
        string name = string.Create(CultureInfo.InvariantCulture,
            $"{Prefix}{Environment.ProcessId}-{Interlocked.Increment(ref _made)}");
        try
        {
            Add($"{name}-a", "a0", 1);
            Add($"{name}-b", "b0", 2);
            // With the same index at both ends Linux may wait for a second until it lets frames out
            // (linkwatch_urgent_event).
            Tool.Run("ip", "link", "add", A.Interface, "netns", A.Namespace, "type", "veth", "peer", "name",
                B.Interface, "index", "20", "netns", B.Namespace);
            foreach (Host host in _hosts) host.Configure(offloads, mtu);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Where the servers are.</summary>
    public Host A => _hosts[0];

    /// <summary>Where the clients are.</summary>
    public Host B => _hosts[1];

    /// <summary>Why there can be none here, or null.</summary>
    public static string? Missing() =>
        !Environment.IsPrivilegedProcess ? "network namespaces need root: run this with sudo"
        : ((string[])["ip", "ethtool", "sysctl"]).FirstOrDefault(p => Installation.Find(p) is null) is { } tool
            ? $"{tool} is not installed: run tools/setup" : null;

    public void Dispose()
    {
        lock (Alive)
            if (!Alive.Remove(this)) return;
        for (int i = _hosts.Count - 1; i >= 0; i--) _hosts[i].Dispose();
    }

    private void Add(string name, string @interface, int number)
    {
        // Under the lock: what is made before we are told to end is known then, and nothing is made after.
        lock (Alive)
        {
            if (_ending) throw new MeasurementException("interrupted");
            _hosts.Add(new Host(name, @interface, number));
        }
    }

    private static void CleanUpWhenToldToEnd()
    {
        if (_signals is not null) return;
        Reap();
        _signals = [.. ((PosixSignal[])[PosixSignal.SIGINT, PosixSignal.SIGTERM, PosixSignal.SIGHUP])
            .Select(signal => PosixSignalRegistration.Create(signal, context =>
            {
                context.Cancel = true;
                DisposeAll();
                Environment.Exit(130);
            }))];
        AppDomain.CurrentDomain.ProcessExit += (_, _) => DisposeAll();
    }

    private static void DisposeAll()
    {
        World[] all;
        lock (Alive)
        {
            _ending = true;
            all = [.. Alive];
        }
        foreach (World world in all) world.Dispose();
    }

    /// <summary>Namespaces of one of us that was killed: their names say whose they were.</summary>
    internal static void Reap()
    {
        const string Names = "/run/netns";
        if (!Directory.Exists(Names)) return;
        foreach (string path in Directory.EnumerateFiles(Names, $"{Prefix}*"))
        {
            string name = Path.GetFileName(path);
            string owner = name[Prefix.Length..].Split('-')[0];
            if (!Directory.Exists($"/proc/{owner}")) _ = Tool.Try("ip", "netns", "del", name);
        }
    }
}
