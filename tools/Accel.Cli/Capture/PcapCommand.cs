using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Accel.Core.Capture;
using Accel.Wire;

namespace Accel.Cli.Capture;

/// <summary>`accel pcap`: the packets of accelerated processes, for tcpdump, tshark or people.</summary>
internal static class PcapCommand
{
    private const int IdleMillis = 5, FindEveryMillis = 200, KeepAliveMillis = 200;
    private const string Local = "local";

    public static Command Create()
    {
        var link = new Option<string?>("-i")
        {
            Description = "Only this path: 'local', or the name of a network interface",
            HelpName = "LINK",
        };
        var pid = new Option<int?>("-p")
        {
            Description = "Only what this process sends and receives",
            HelpName = "PID",
        };
        var file = new Option<string?>("-w")
        {
            Description = "Write pcapng to a file, '-' for standard output, instead of a line for each packet",
            HelpName = "FILE",
        };
        var count = new Option<long>("-c")
        {
            Description = "End after so many packets",
            HelpName = "COUNT",
            DefaultValueFactory = _ => long.MaxValue,
        };
        var snap = new Option<int>("-s")
        {
            Description = "Bytes kept of each packet",
            HelpName = "BYTES",
            DefaultValueFactory = _ => CaptureRing.MaxCaptured,
        };
        var filter = new Argument<string[]>("FILTER")
        {
            Description = "tcpdump's filter language, as in: tcp port 6379 and host 127.0.0.1",
            Arity = ArgumentArity.ZeroOrMore,
        };
        var command = new Command("pcap", "Captures packets of accelerated processes, with process and socket")
            { link, pid, file, count, snap, filter };
        command.SetAction(parsed => Run(new Request(parsed.GetValue(link), parsed.GetValue(pid), parsed.GetValue(file),
            parsed.GetValue(count), parsed.GetValue(snap), string.Join(' ', parsed.GetValue(filter) ?? []))));
        return command;
    }

    private sealed record Request(string? Link, int? Pid, string? File, long Count, int Snap, string Filter);

    private static int Run(Request request)
    {
        if (request.Count <= 0 || request.Snap <= 0) return Fail("-c and -s want a positive number");
        string? error = null;
        using PacketFilter? filter = request.Filter.Length == 0 ? null
            : PacketFilter.Compile(request.Filter, out error);
        if (error != null) return Fail($"filter '{request.Filter}': {error}");
        CapturePaths paths = request.Link switch
        {
            null => CapturePaths.Local | CapturePaths.Nic,
            Local => CapturePaths.Local,
            _ => CapturePaths.Nic,
        };
        using Pump pump = new(request.Pid, request.Link, paths, request.Snap);
        pump.FindStacks();
        if (request.Pid is { } pid && !pump.HasSource)
            return Fail($"process {pid}: "
                + (pump.Refusals.LastOrDefault() ?? "no stack (not accelerated, no socket yet, or not yours)"));
        foreach (string refusal in pump.Refusals) Console.Error.WriteLine($"accel pcap: {refusal}");
        try
        {
            using Sink sink = Sink.To(request.File, request.Snap);
            return Capture(request, pump, filter, sink);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Fail(e.Message);
        }
    }

    private static int Capture(Request request, Pump pump, PacketFilter? filter, Sink sink)
    {
        bool ended = false;
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, End);
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, End);
        void End(PosixSignalContext context)
        {
            context.Cancel = true;
            Volatile.Write(ref ended, true);
        }

        using Timer heart = new(_ => pump.KeepAlive(), null, 0, KeepAliveMillis);
        Console.Error.WriteLine($"accel pcap: listening{(request.Pid is { } p ? $" to process {p}" : "")}");
        var packets = new List<Packet>();
        long written = 0, foundNs = Stopwatch.GetTimestamp();
        try
        {
            while (!Volatile.Read(ref ended) && written < request.Count
                && (request.Pid is null || pump.HasSource))
            {
                if (Stopwatch.GetElapsedTime(foundNs).TotalMilliseconds >= FindEveryMillis)
                {
                    pump.FindStacks();
                    pump.Forget(WallNs());
                    foundNs = Stopwatch.GetTimestamp();
                }
                if (!pump.Read(packets)) Thread.Sleep(IdleMillis);
                written += Write(packets, filter, sink, request.Count - written, pump.Lost);
            }
            // What was on its way when the signal came.
            pump.Read(packets);
            written += Write(packets, filter, sink, request.Count - written, pump.Lost);
            sink.Finish(WallNs(), pump.Lost);
        }
        catch (IOException)
        {
            // Whoever read what was written has gone.
        }
        pump.Dispose();
        Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"accel pcap: {written} packets captured, {pump.Lost} lost because the reader was too slow"
            + $"{(pump.Damaged > 0 ? $", {pump.Damaged} times the ring made no sense" : "")}"));
        return 0;
    }

    private static long Write(List<Packet> packets, PacketFilter? filter, Sink sink, long room, ulong lost)
    {
        long written = 0;
        foreach (Packet packet in packets)
        {
            if (written >= room) break;
            if (filter != null && !filter.Matches(in packet)) continue;
            sink.Write(in packet, lost);
            written++;
        }
        if (packets.Count > 0) sink.Flush();
        packets.Clear();
        return written;
    }

    private static long WallNs() => (DateTime.UtcNow - DateTime.UnixEpoch).Ticks * 100;

    private static int Fail(string why)
    {
        Console.Error.WriteLine($"accel pcap: {why}");
        return 2;
    }

    /// <summary>Where packets go: a pcapng file, or lines for people.</summary>
    private sealed class Sink(PcapngWriter? file, TextWriter? lines) : IDisposable
    {
        private ulong _told;

        public static Sink To(string? file, int snap) => file switch
        {
            null => new(null, new StreamWriter(Console.OpenStandardOutput())),
            "-" => new(new PcapngWriter(new BufferedStream(Console.OpenStandardOutput(), 1 << 16), snap), null),
            _ => new(new PcapngWriter(new BufferedStream(File.Create(file), 1 << 16), snap), null),
        };

        public void Write(in Packet packet, ulong lost)
        {
            if (file != null)
            {
                file.PendingLoss += lost - _told;
                file.Write(in packet);
            }
            else
            {
                if (lost > _told) lines!.WriteLine($"  [{lost - _told} packets lost]");
                DateTime time = DateTime.UnixEpoch.AddTicks(packet.WallNs / 100).ToLocalTime();
                lines!.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{time:HH:mm:ss.ffffff} "
                    + $"{packet.Interface} {PacketText.Frame(packet.Bytes.Span)}  [{packet.Comment}]"));
            }
            _told = lost;
        }

        public void Flush()
        {
            file?.Flush();
            lines?.Flush();
        }

        public void Finish(long wallNs, ulong lost)
        {
            if (file == null) return;
            file.Lost = lost;
            file.Finish(wallNs);
        }

        public void Dispose()
        {
            try
            {
                file?.Dispose();
                lines?.Dispose();
            }
            catch (IOException)
            {
                // Whoever read it has gone.
            }
        }
    }
}
