namespace Accel.Cli.Bench;

/// <summary>The cases of `accel bench local`, in the order they are run.</summary>
public static class Cases
{
    private static readonly Dictionary<string, string> Defaults = [];
    private static readonly Dictionary<string, string> NoSpin = new() { ["ACCEL_SPIN_US"] = "0" };
    private static readonly string[] Redis = ["redis-server", "redis-benchmark"];

    public static readonly BenchCase[] Local =
    [
        new("pingpong-64-spin", "us", true, Defaults, [], (s, c, a) => OwnLoads.PingPong(s, a, "spin", 64)),
        new("pingpong-64-block", "us", true, NoSpin, [], (s, c, a) => OwnLoads.PingPong(s, a, "block", 64)),
        new("stream-64", "M/s", false, Defaults, [],
            (s, c, a) => OwnLoads.Stream(s, a, 64, "writes_per_second", 1e6)),
        new("stream-65536", "GB/s", false, Defaults, [],
            (s, c, a) => OwnLoads.Stream(s, a, 65536, "bytes_per_second", 1e9)),
        new("connect", "1/s", false, Defaults, [], (s, c, a) => OwnLoads.Connect(s, a)),
        new("redis-get-c50-p1", "1/s", false, Defaults, Redis, (s, c, a) => RedisLoad.Get(s, c, a, 50, 1)),
        new("redis-get-c1-p1", "1/s", false, Defaults, Redis, (s, c, a) => RedisLoad.Get(s, c, a, 1, 1)),
        new("redis-get-c50-p16", "1/s", false, Defaults, Redis, (s, c, a) => RedisLoad.Get(s, c, a, 50, 16)),
        new("nginx-1k-c32", "1/s", false, Defaults, ["nginx", "wrk"], (s, c, a) => NginxLoad.Run(s, a)),
    ];
}
