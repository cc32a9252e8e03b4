using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Accel.Cli.Bench;
using Accel.Cli.Processes;

namespace Accel.Cli.Nic;

/// <summary>Bulk as programs do it: curl against nginx, iperf3 with the server sending.</summary>
internal static class FileLoads
{
    private const int FileBytes = 64 << 20;

    /// <summary>A file of 64 MiB, in Gb/s; what came is compared with what is there.</summary>
    public static Sample Curl(Stage stage, BenchCase c, Surroundings at)
    {
        using var scratch = new Scratch();
        byte[] wanted = RandomNumberGenerator.GetBytes(FileBytes);
        File.WriteAllBytes(Path.Combine(scratch.Folder, "large"), wanted);
        using Child server = NginxLoad.Serve(stage.Server, scratch, out int port);
        double before = server.CpuMicros();
        string got = Path.Combine(scratch.Folder, "got");
        (string output, double client) = Child.Run(stage.Client, at.Limit, "curl", "-sS", "--fail", "-o", got, "-w",
            "speed %{speed_download}\n", string.Create(CultureInfo.InvariantCulture,
                $"http://{stage.Address}:{port}/large"));
        double cost = server.CpuMicros() - before;
        if (!File.ReadAllBytes(got).AsSpan().SequenceEqual(wanted))
            throw new MeasurementException("curl has got another file than nginx has");
        const double Megabytes = FileBytes / 1e6;
        return Sample.Of(Printed.Number(output, "speed") * 8 / 1e9, Megabytes, cost, client);
    }

    /// <summary>iperf3 -R: the server sends. In Gb/s; the CPU is that of a megabyte.</summary>
    public static Sample IperfReverse(Stage stage, BenchCase c, Surroundings at)
    {
        Place place = stage.Server.Place;
        int port = Scratch.FreePort(place);
        string portText = port.ToString(CultureInfo.InvariantCulture);
        using Child server = Child.Start(stage.Server, "iperf3", "-s", "-B", place.Address, "-p", portText);
        Scratch.AwaitListener(port, place, server);
        server.Ignore();
        double before = server.CpuMicros();
        string seconds = Math.Max(1, (int)at.Seconds).ToString(CultureInfo.InvariantCulture);
        (string output, double client) = Child.Run(stage.Client, at.Limit, "iperf3", "-c", stage.Address, "-p",
            portText, "-t", seconds, "-R", "-J");
        JsonNode? sum = JsonNode.Parse(output)?["end"]?["sum_received"];
        if (sum?["bits_per_second"] is not { } rate || sum["bytes"] is not { } bytes)
            throw new MeasurementException($"iperf3 said: {output[..Math.Min(output.Length, 400)]}");
        return Sample.Of((double)rate / 1e9, (double)bytes / 1e6, server.CpuMicros() - before, client);
    }
}
