using System.Net;
using System.Numerics;
using System.Runtime.InteropServices;
using Accel.Control;
using Accel.Control.Broker;
using Accel.Control.Links;
using Accel.Control.Mirror;
using Accel.Control.Native;
using Accel.Control.Policy;
using Accel.Daemon.Telemetry;
using Accel.Inspect.Look;
using Accel.Os.Control;

namespace Accel.Daemon;

/// <summary>The daemon itself: from the command line to the signal that ends it.</summary>
static class Serving
{
    public sealed record Wishes(
        string[] Interfaces, ModeWish Mode, int Queues, uint? Frames, string? Socket, FileInfo? Policy, bool Keep,
        string? Metrics);

    public static int Run(Wishes wishes)
    {
        if (wishes.Interfaces.Length == 0)
            throw new ControlException("which interface? (--interface NAME)");
        if (wishes.Frames is { } frames && (!BitOperations.IsPow2(frames) || frames is < 256 or > 1 << 18))
            throw new ControlException("--frames: a power of two from 256 to 262144");
        if (wishes.Queues < 1)
            throw new ControlException("--queues: at least 1");
        if (Environment.UserName != "root" && !Environment.IsPrivilegedProcess)
            throw new ControlException("needs root: it attaches XDP programs and makes sockets for others");
        ReloadablePolicy? policy = wishes.Policy == null ? null : new(wishes.Policy.FullName, Log);
        var options = new BrokerOptions
        {
            Patterns = wishes.Interfaces,
            SocketPath = wishes.Socket ?? Protocol.SocketPath(DaemonKernel.Shared.NetworkNamespace()),
            Mode = wishes.Mode,
            MostQueues = wishes.Queues,
            Sizes = wishes.Frames is { } each ? QueueSizes.For(each) : null,
            Policy = policy ?? (IAccessPolicy)new RootOnlyPolicy(),
            Log = Log,
            KeepWhenStopping = wishes.Keep,
            Looks = new Looks(),
        };
        EndPoint? metrics = wishes.Metrics is { } text ? MetricsAddress.Parse(text) : null;
        var mirror = new NetMirror();
        mirror.Failed += Log;
        using var broker = new Broker(options, mirror);
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        using PosixSignalRegistration hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, Reload);
        broker.Start();
        using var telemetry = new TelemetryService(options.SocketPath, metrics, Log);
        Console.WriteLine($"acceld ready: {string.Join("; ", broker.Summary)}");
        Console.Out.Flush();
        broker.Run();
        Log("stopping");
        return 0;

        void Stop(PosixSignalContext context)
        {
            context.Cancel = true;
            broker.Stop();
        }

        void Reload(PosixSignalContext context)
        {
            context.Cancel = true;
            policy?.Reload();
        }
    }

    /// <summary>What other users see of stacks.</summary>
    private sealed class Looks : ILookSource
    {
        private readonly LookTaker _taker = new(new LookLimits());

        public void Take(uint? only, Stream to) => _taker.Take(only, to);
    }

    private static void Log(string line) => Console.Error.WriteLine($"acceld: {line}");
}
