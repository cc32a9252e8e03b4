using System.Globalization;
using Accel.Cli.Bench;
using Accel.Cli.Processes;

namespace Accel.Cli.Reports;

/// <summary>One run at a rate: what came back of what was offered, and the server's CPU time for a request.</summary>
public sealed record LoadRun(double Offered, double Achieved, double ServerMicros, Histogram Latency);

/// <summary>A server and the requests that the open-loop generator (tools/bench/openloop.c) sends it.</summary>
internal sealed record OpenLoad(string Name, string Title, string Protocol, int Connections, string[] Programs,
    Func<End, Scratch, (Child Server, int Port)> Serve)
{
    public static readonly OpenLoad[] All =
    [
        new("echo-64", "64-byte echo, 1 connection", "echo", 1, [], (end, _) => Echo(end)),
        new("redis-get", "redis GET, 16 connections", "redis", 16, ["redis-server"], Redis),
        new("memcached-get", "memcached get, 16 connections", "memcached", 16, ["memcached"], Memcached),
        new("nginx-1k", "nginx, 1 KB file, 16 connections", "http", 16, ["nginx"], Nginx),
    ];

    /// <summary>A fresh server and one load; rate 0: as much as it takes.</summary>
    public LoadRun Run(Side side, Surroundings at, double rate)
    {
        using var scratch = new Scratch();
        Stage stage = new(new(side, new(at.ServerCpu), []), new(side, new(at.ClientCpu), []));
        (Child server, int port) = Serve(stage.Server, scratch);
        using (server)
        {
            double before = server.CpuMicros();
            (string output, _) = Child.Run(stage.Client, at.Limit, Installation.LoadProgram("openloop"), Protocol,
                Text(port), Text(rate), Text(Connections), Text(at.Seconds));
            double cost = server.CpuMicros() - before;
            var latency = new Histogram();
            foreach (string line in output.Split('\n'))
            {
                string[] words = line.Split(' ');
                if (words[0] == "bucket") latency.Add(double.Parse(words[1], CultureInfo.InvariantCulture) / 1000,
                    long.Parse(words[2], CultureInfo.InvariantCulture));
            }
            double achieved = Printed.Number(output, "achieved");
            return new(rate, achieved, cost / Math.Max(1, achieved * at.Seconds), latency);
        }
    }

    private static (Child Server, int Port) Echo(End end)
    {
        Child server = Child.Start(end, Installation.LoadProgram("pingpong"), "server", "block", "64");
        string port = server.ReadLine(TimeSpan.FromSeconds(10)).Replace("port ", "", StringComparison.Ordinal);
        return (server, int.Parse(port, CultureInfo.InvariantCulture));
    }

    private static (Child Server, int Port) Redis(End end, Scratch scratch) => Listening(end, port =>
        ["redis-server", "--port", port, "--dir", scratch.Folder, "--save", "", "--appendonly", "no"]);

    private static (Child Server, int Port) Memcached(End end, Scratch scratch) => Listening(end, port =>
        ["memcached", "-p", port, "-l", "127.0.0.1", "-t", "1", "-U", "0",
            .. Environment.IsPrivilegedProcess ? new[] { "-u", "root" } : []]);

    private static (Child Server, int Port) Nginx(End end, Scratch scratch)
    {
        scratch.Write("1k", new string('x', 1024));
        return (NginxLoad.Serve(end, scratch, out int port), port);
    }

    private static (Child Server, int Port) Listening(End end, Func<string, string[]> command)
    {
        int port = Scratch.FreePort(end.Place);
        string[] words = command(Text(port));
        Child server = Child.Start(end, words[0], words[1..]);
        try
        {
            Scratch.AwaitListener(port, end.Place, server);
        }
        catch (MeasurementException)
        {
            server.Dispose();
            throw;
        }
        return (server, port);
    }

    private static string Text(double number) => number.ToString(CultureInfo.InvariantCulture);
}
