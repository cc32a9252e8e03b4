using System.Globalization;
using Accel.Cli.Processes;

namespace Accel.Cli.Nic;

/// <summary>One side of a <see cref="World"/>: a network namespace with one interface, and acceld if it has one.
/// </summary>
public sealed class Host : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private Child? _daemon;

    public Host(string @namespace, string @interface, int number)
    {
        Namespace = @namespace;
        Interface = @interface;
        Address = string.Create(CultureInfo.InvariantCulture, $"10.77.0.{number}");
        Address6 = string.Create(CultureInfo.InvariantCulture, $"fd77::{number}");
        Tool.Run("ip", "netns", "add", Namespace);
    }

    public string Namespace { get; }

    public string Interface { get; }

    public string Address { get; }

    public string Address6 { get; }

    /// <summary>Programs under the preload find acceld here.</summary>
    public bool IsServed => _daemon is { HasEnded: false };

    public Place At(int cpu) => new(cpu, Namespace, Address);

    /// <summary>Runs a command in the namespace.</summary>
    public string Run(params string[] command) => Tool.Run(["ip", "netns", "exec", Namespace, .. command]);

    /// <summary>Once the interface is there.</summary>
    public void Configure(bool offloads, int? mtu)
    {
        Tool.Run("ip", "-n", Namespace, "link", "set", "lo", "up");
        if (mtu is { } bytes)
            Tool.Run("ip", "-n", Namespace, "link", "set", "dev", Interface, "mtu",
                bytes.ToString(CultureInfo.InvariantCulture));
        Tool.Run("ip", "-n", Namespace, "addr", "add", $"{Address}/24", "dev", Interface);
        Tool.Run("ip", "-n", Namespace, "addr", "add", $"{Address6}/64", "dev", Interface, "nodad");
        Tool.Run("ip", "-n", Namespace, "link", "set", "dev", Interface, "up");
        // A host's default may be bbr, which halves the kernel's own bulk over veth: both columns get what is common.
        if (Tool.Try(["ip", "netns", "exec", Namespace, "sysctl", "-qw", "net.ipv4.tcp_congestion_control=cubic"])
            .Status != 0)
            Run("sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno");
        if (!offloads) Run("ethtool", "-K", Interface, "tso", "off", "gso", "off", "gro", "off", "tx", "off");
    }

    /// <summary>Starts acceld on the interface and waits until it serves. Returns what it says of itself.</summary>
    public string Serve(int cpu, string? mode = null)
    {
        if (!File.Exists(Installation.Daemon))
            throw new MeasurementException($"{Installation.Daemon} is not built: run tools/build");
        var end = new End(Side.Kernel, At(cpu), []);
        string[] how = mode is null ? [] : ["--mode", mode];
        _daemon = Child.Start(end, Installation.Daemon, ["--interface", Interface, .. how]);
        var said = new List<string>();
        while (said.Count == 0 || !said[^1].StartsWith("acceld ready", StringComparison.Ordinal))
            said.Add(_daemon.ReadLine(Patience));
        _daemon.Ignore();
        return string.Join('\n', said);
    }

    /// <summary>TCP segments and datagrams that the namespace's kernel has taken in: accelerated traffic is none.
    /// </summary>
    public long KernelPackets()
    {
        long sum = 0;
        string[] lines = Run("cat", "/proc/net/snmp").Split('\n');
        for (int i = 0; i + 1 < lines.Length; i += 2)
        {
            string[] names = lines[i].Split(' '), values = lines[i + 1].Split(' ');
            string? wanted = names[0] switch { "Tcp:" => "InSegs", "Udp:" => "InDatagrams", _ => null };
            int column = wanted is null ? -1 : Array.IndexOf(names, wanted);
            if (column > 0) sum += long.Parse(values[column], CultureInfo.InvariantCulture);
        }
        return sum;
    }

    public void Dispose()
    {
        _daemon?.Dispose();
        // What still runs in a namespace that we made was started by us.
        foreach (string pid in Tool.Try("ip", "netns", "pids", Namespace).Output.Split('\n'))
            if (int.TryParse(pid, CultureInfo.InvariantCulture, out int left)) _ = LibC.Kill(left, LibC.SigKill);
        _ = Tool.Try("ip", "netns", "del", Namespace);
    }
}
