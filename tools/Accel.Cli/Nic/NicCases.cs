using Accel.Cli.Bench;
using Accel.Cli.Processes;

namespace Accel.Cli.Nic;

/// <summary>The cases of `accel bench nic`: each with the server, the client, and both accelerated.</summary>
public static class NicCases
{
    private const string Gigabits = "Gb/s";
    private const double BytesPerGigabit = 1e9 / 8;

    private static readonly Dictionary<string, string> Defaults = [];
    private static readonly Dictionary<string, string> NoSpin = new() { ["ACCEL_SPIN_US"] = "0" };

    /// <summary>The library spins in the program's blocking calls: the kernel's side blocks, as it would.</summary>
    private static readonly Dictionary<string, string> LongSpin = new() { ["ACCEL_SPIN_US"] = "1000000" };
    private static readonly string[] Redis = ["redis-server", "redis-benchmark"];

    public static readonly BenchCase[] All =
    [
        .. PingPong("tcp"),
        .. PingPong("udp", "udp"),
        Bare("spin", "spin", "spin"),
        Bare("wait", "spin", "block"),
        Bare("block", "block", "block"),
        .. Each(new("redis-get-c50-p1", "1/s", false, Defaults, Redis, (s, c, a) => RedisLoad.Get(s, c, a, 50, 1)),
            1.15, 1, 2.5),
        .. Each(new("redis-get-c1-p1", "1/s", false, Defaults, Redis, (s, c, a) => RedisLoad.Get(s, c, a, 1, 1)),
            2, 1, 6),
        .. Each(new("redis-get-c50-p16", "1/s", false, Defaults, Redis, (s, c, a) => RedisLoad.Get(s, c, a, 50, 16)),
            1, 1, 1.25),
        .. Each(new("nginx-1k-c32", "1/s", false, Defaults, ["nginx", "wrk"], (s, c, a) => NginxLoad.Run(s, a)),
            1.6, 1, 1.7),
        .. Each(new("connect", "1/s", false, Defaults, [], (s, c, a) => OwnLoads.Connect(s, a)), 1, 1, 1),
        .. Bulk("bulk-up"),
        .. Bulk("bulk-down", "down"),
    ];

    private static IEnumerable<BenchCase> PingPong(string transport, params string[] more)
    {
        BenchCase Of(string name, Dictionary<string, string> settings, string mode) =>
            new($"{transport}-pingpong-64-{name}", "us", true, settings, [],
                (s, c, a) => OwnLoads.PingPong(s, a, mode, 64, more));
        return [.. Each(Of("spin", Defaults, "spin"), 1.2, 1.2, 2), .. Each(Of("wait", LongSpin, "block"), 3, 3, 3),
            .. Each(Of("block", NoSpin, "block"), 1, 1, 1)];
    }

    /// <summary>The kernel's server beside one without any protocol; the kernel's client as it would wait.</summary>
    private static BenchCase Bare(string name, string server, string client) =>
        new($"udp-pingpong-64-{name}-bare", "us", true, Defaults, [],
            (s, c, a) => OwnLoads.PingPong(s, a, client, 64, "udp"))
        {
            Accelerated = Ends.Server,
            Bare = (s, a) => OwnLoads.BarePingPong(s, a, server, client, 64),
        };

    /// <summary>A long stream to the server (up) or to the client (down), with the devices' help and without.</summary>
    private static IEnumerable<BenchCase> Bulk(string name, params string[] more)
    {
        BenchCase Of(string called, bool offloads) =>
            new(called, Gigabits, false, Defaults, [],
                (s, c, a) => OwnLoads.Stream(s, a, 65536, "bytes_per_second", BytesPerGigabit, more))
            {
                Offloads = offloads,
            };
        return [.. Each(Of(name, true), 0.6, 0.6, 0.6), .. Each(Of($"{name}-plain", false), 1, 1, 1)];
    }

    private static IEnumerable<BenchCase> Each(BenchCase of, double server, double client, double both) =>
    [
        of with { Name = $"{of.Name}-server", Accelerated = Ends.Server, Target = server },
        of with { Name = $"{of.Name}-client", Accelerated = Ends.Client, Target = client },
        of with { Name = $"{of.Name}-both", Accelerated = Ends.Both, Target = both },
    ];
}
