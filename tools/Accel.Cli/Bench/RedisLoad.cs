using System.Globalization;
using Accel.Cli.Processes;

namespace Accel.Cli.Bench;

/// <summary>Debian's redis-server and redis-benchmark, unmodified.</summary>
public static class RedisLoad
{
    public static Sample Run(Side side, BenchCase c, Surroundings at, string command, int clients, int pipeline)
        => Run(side, c, at, command, clients, pipeline, null);

    /// <summary>One run against a fresh server; <paramref name="during"/> is called while the load is on.</summary>
    public static Sample Run(
        Side side, BenchCase c, Surroundings at, string command, int clients, int pipeline, Action<int>? during)
    {
        using var scratch = new Scratch();
        string port = Text(Scratch.FreePort());
        using Child server = Child.Start(side, at.ServerCpu, c.Environment, "redis-server", "--bind", "127.0.0.1",
            "--port", port, "--dir", scratch.Folder, "--save", "", "--appendonly", "no", "--daemonize", "no");
        Scratch.AwaitListener(int.Parse(port, CultureInfo.InvariantCulture), server);

        (string Output, double CpuMicros) Load(string what, int requests) =>
            Child.Run(side, at.ClientCpu, c.Environment,
            at.Limit, "redis-benchmark", "-h", "127.0.0.1", "-p", port, "-t", what, "-n", Text(requests),
            "-c", Text(clients), "-P", Text(pipeline), "-d", "3", "--csv");

        Load("set", 1000); // the key that is asked for exists
        int n = at.Requests($"{c.Name} {side}", trial => Printed.RedisRate(Load(command, trial).Output));
        double before = server.CpuMicros();
        Task? visit = during is null ? null
            : Task.Delay(100).ContinueWith(_ => during(server.Id), TaskScheduler.Default);
        (string output, double client) = Load(command, n);
        double cpu = (client + server.CpuMicros() - before) / n;
        visit?.Wait(at.Limit);
        return new(Printed.RedisRate(output), cpu);
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
