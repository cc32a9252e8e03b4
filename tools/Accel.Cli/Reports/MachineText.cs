using System.Globalization;
using Accel.Cli.Bench;
using Accel.Cli.Processes;

namespace Accel.Cli.Reports;

/// <summary>What a reader must know of the machine to believe a figure.</summary>
internal static class MachineText
{
    public static List<(string Name, string Value)> Read(Surroundings at)
    {
        string cpu = File.ReadAllText("/proc/cpuinfo");
        List<(string, string)> lines =
        [
            ("system", $"{Of("/etc/os-release", "PRETTY_NAME=").Trim('"')}, Linux "
                + Text("/proc/sys/kernel/osrelease")),
            ("processor", $"{Field(cpu, "model name")}, {Environment.ProcessorCount} CPUs"
                + (cpu.Contains("hypervisor", StringComparison.Ordinal) ? ", virtual machine" : "")),
            ("memory", string.Create(CultureInfo.InvariantCulture,
                $"{GC.GetGCMemoryInfo().TotalAvailableMemoryBytes >> 20} MiB")),
            ("ends", $"server on CPU {at.ServerCpu}, client on CPU {at.ClientCpu}"),
            ("ring", at.RingRoundTripMicros() is { } ring ? string.Create(CultureInfo.InvariantCulture,
                $"{ring:0.00} us round trip of bare shared memory between the two CPUs") : "not measured: too busy"),
            ("governor", Text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
            ("mitigations", Mitigations()),
            ("huge pages", Text("/sys/kernel/mm/transparent_hugepage/enabled")),
            ("congestion control", Text("/proc/sys/net/ipv4/tcp_congestion_control")),
            ("busy poll", Text("/proc/sys/net/core/busy_poll")),
            ("load before", Text("/proc/loadavg")),
        ];
        foreach ((string program, string option) in ((string, string)[])[("redis-server", "--version"),
            ("nginx", "-v"), ("memcached", "--version")])
        {
            if (Installation.Find(program) is null) continue;
            (_, string output, string errors) = Tool.Try(program, option);
            lines.Add((program, (output + errors).Trim().Split('\n')[0]));
        }
        return lines;
    }

    private static string Mitigations()
    {
        const string Folder = "/sys/devices/system/cpu/vulnerabilities";
        if (!Directory.Exists(Folder)) return "-";
        string[] active = [.. Directory.GetFiles(Folder)
            .Where(f => Text(f).StartsWith("Mitigation", StringComparison.Ordinal))
            .Select(f => Path.GetFileName(f)!).Order(StringComparer.Ordinal)];
        return active.Length == 0 ? "none active" : string.Join(", ", active);
    }

    private static string Text(string file)
    {
        try
        {
            return File.ReadAllText(file).Trim();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "-";
        }
    }

    private static string Of(string file, string name) => Text(file).Split('\n')
        .FirstOrDefault(l => l.StartsWith(name, StringComparison.Ordinal))?[name.Length..] ?? "-";

    private static string Field(string text, string name)
    {
        string? line = text.Split('\n').FirstOrDefault(l => l.StartsWith(name, StringComparison.Ordinal));
        return line is null ? "-" : line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim();
    }
}
