using System.Globalization;
using Accel.Cli.Processes;

namespace Accel.Cli.Bench;

/// <summary>The cases whose two ends are programs of tools/bench.</summary>
internal static class OwnLoads
{
    public static Sample PingPong(Side side, BenchCase c, Surroundings at, string mode, int size)
    {
        string bytes = Text(size);
        return Measure(side, c, at, "pingpong", ["server", mode, bytes],
            port => ["client", mode, bytes, port, Text(at.Seconds)], output => Printed.Number(output, "p50_us"));
    }

    public static Sample Stream(Side side, BenchCase c, Surroundings at, int size, string figure, double scale)
        => Measure(side, c, at, "stream", ["server"], port => ["client", Text(size), port, Text(at.Seconds)],
            output => Printed.Number(output, figure) / scale);

    public static Sample Connect(Side side, BenchCase c, Surroundings at)
        => Measure(side, c, at, "connect", ["server"], port => ["client", port, Text(at.Seconds)],
            output => Printed.Number(output, "per_second"));

    private static Sample Measure(Side side, BenchCase c, Surroundings at, string program, string[] serverArgs,
        Func<string, string[]> clientArgs, Func<string, double> figure)
    {
        program = Installation.LoadProgram(program);
        using Child server = Child.Start(side, at.ServerCpu, c.Environment, program, serverArgs);
        string port = server.ReadLine(at.Limit).Replace("port ", "", StringComparison.Ordinal);
        double before = server.CpuMicros();
        (string output, double client) = Child.Run(side, at.ClientCpu, c.Environment, at.Limit, program,
            clientArgs(port));
        double operations = Printed.Number(output, "operations");
        return new(figure(output), (client + server.CpuMicros() - before) / operations);
    }

    private static string Text(double number) => number.ToString(CultureInfo.InvariantCulture);
}
