using System.Globalization;
using Accel.Cli.Processes;

namespace Accel.Cli.Bench;

/// <summary>The cases whose two ends are programs of tools/bench.</summary>
internal static class OwnLoads
{
    public static Sample PingPong(Stage stage, Surroundings at, string mode, int size, params string[] more)
    {
        string bytes = Text(size);
        return Measure(stage, at, "pingpong", ["server", mode, bytes, .. more],
            port => ["client", mode, bytes, port, Text(at.Seconds), .. more],
            output => Printed.Number(output, "p50_us"));
    }

    /// <summary>Datagrams to a server that only sends frames back, to a client of the kernel.</summary>
    public static Sample BarePingPong(Stage stage, Surroundings at, string serverMode, string clientMode, int size)
        => Measure(stage, at, "bare", [serverMode], "pingpong",
            port => ["client", clientMode, Text(size), port, Text(at.Seconds), "udp"],
            output => Printed.Number(output, "p50_us"));

    public static Sample Stream(
        Stage stage, Surroundings at, int size, string figure, double scale, params string[] more)
        => Measure(stage, at, "stream", ["server", .. more],
            port => ["client", Text(size), port, Text(at.Seconds), .. more],
            output => Printed.Number(output, figure) / scale);

    public static Sample Connect(Stage stage, Surroundings at)
        => Measure(stage, at, "connect", ["server"], port => ["client", port, Text(at.Seconds)],
            output => Printed.Number(output, "per_second"));

    private static Sample Measure(Stage stage, Surroundings at, string program, string[] serverArgs,
        Func<string, string[]> clientArgs, Func<string, double> figure)
        => Measure(stage, at, program, serverArgs, program, clientArgs, figure);

    private static Sample Measure(Stage stage, Surroundings at, string serverProgram, string[] serverArgs,
        string clientProgram, Func<string, string[]> clientArgs, Func<string, double> figure)
    {
        // Clients call the server by its address, wherever they are.
        End client = stage.Client with { Place = stage.Client.Place with { Address = stage.Address } };
        using Child server = Child.Start(stage.Server, Installation.LoadProgram(serverProgram), serverArgs);
        string port = server.ReadLine(at.Limit).Replace("port ", "", StringComparison.Ordinal);
        double before = server.CpuMicros();
        (string output, double cost) = Child.Run(client, at.Limit, Installation.LoadProgram(clientProgram),
            clientArgs(port));
        return Sample.Of(figure(output), Printed.Number(output, "operations"), server.CpuMicros() - before, cost);
    }

    private static string Text(double number) => number.ToString(CultureInfo.InvariantCulture);
}
