using System.Globalization;
using Accel.Cli.Processes;

namespace Accel.Cli.Bench;

/// <summary>Debian's redis-server and redis-benchmark, unmodified.</summary>
public static class RedisLoad
{
    public static Sample Get(Stage stage, BenchCase c, Surroundings at, int clients, int pipeline)
        => Run(stage, c.Name, at, "get", clients, pipeline);

    /// <summary>One run against a fresh server; <paramref name="during"/> is called while the load is on.</summary>
    public static Sample Run(Stage stage, string key, Surroundings at, string command, int clients, int pipeline,
        Action<int>? during = null)
    {
        using var scratch = new Scratch();
        Place place = stage.Server.Place;
        int port = Scratch.FreePort(place);
        using Child server = Child.Start(stage.Server, "redis-server", "--bind", place.Address, "--port", Text(port),
            "--dir", scratch.Folder, "--save", "", "--appendonly", "no", "--daemonize", "no",
            "--protected-mode", "no");
        Scratch.AwaitListener(port, place, server);

        (string Output, double CpuMicros) Load(string what, int requests) =>
            Child.Run(stage.Client, at.Limit, "redis-benchmark", "-h", stage.Address, "-p", Text(port), "-t", what,
                "-n", Text(requests), "-c", Text(clients), "-P", Text(pipeline), "-d", "3", "--csv");

        Load("set", 1000); // the key that is asked for exists
        int n = at.Requests($"{key} {stage.Server.Side} {stage.Client.Side}",
            trial => Printed.RedisRate(Load(command, trial).Output));
        double before = server.CpuMicros();
        Task? visit = during is null ? null
            : Task.Delay(100).ContinueWith(_ => during(server.Id), TaskScheduler.Default);
        (string output, double client) = Load(command, n);
        double cost = server.CpuMicros() - before;
        visit?.Wait(at.Limit);
        return Sample.Of(Printed.RedisRate(output), n, cost, client);
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
