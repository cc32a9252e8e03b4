using System.Net;
using System.Net.Sockets;
using Accel.Control;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Accel.Daemon.Telemetry;

/// <summary>
/// GET /metrics by OpenTelemetry's exporter, on Kestrel without a host around it: nothing of it reads a configuration,
/// catches a signal or writes a log.
/// </summary>
public sealed class MetricsServer : IHttpApplication<HttpContext>, IDisposable
{
    private const int MostConnections = 64, MostHeadBytes = 8192;

    private static readonly TimeSpan HeadTime = TimeSpan.FromSeconds(2), IdleTime = TimeSpan.FromSeconds(30);

    private readonly ServiceProvider _services = new ServiceCollection().BuildServiceProvider();
    private readonly KestrelServer _kestrel;
    private readonly Func<Observation> _source;
    private readonly Lock _gate = new();
    private Exposition? _exposition;

    public MetricsServer(EndPoint address, Func<Observation> source)
    {
        _source = source;
        Address = address;
        _kestrel = Kestrel(address, CreateSocket);
        try
        {
            if (address is UnixDomainSocketEndPoint unix) MetricsAddress.MakeRoom(unix.ToString());
            _kestrel.StartAsync(this, CancellationToken.None).GetAwaiter().GetResult();
        }
        catch (Exception e) when (e is SocketException or IOException or UnauthorizedAccessException)
        {
            _kestrel.Dispose();
            throw new ControlException($"--metrics {address}: {e.Message}");
        }
    }

    public static IDisposable Start(EndPoint metrics, Func<Observation> source, Action<string> log)
    {
        var server = new MetricsServer(metrics, source);
        log($"metrics at {server.Address}");
        if (server.Address is IPEndPoint address && !IPAddress.IsLoopback(address.Address))
            log($"warning: the metrics, with processes of all users, can be read by whoever reaches {address}");
        return server;
    }

    /// <summary>Where it listens: with the port that was chosen, if it was to be any.</summary>
    public EndPoint Address { get; private set; }

    public HttpContext CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

    public void DisposeContext(HttpContext context, Exception? exception)
    {
        // It holds nothing.
    }

    public async Task ProcessRequestAsync(HttpContext context)
    {
        if (context.Request.Path != "/metrics")
        {
            context.Response.StatusCode = StatusCodes.Status404NotFound;
            await context.Response.WriteAsync("see /metrics\n");
            return;
        }
        if (!HttpMethods.IsGet(context.Request.Method) && !HttpMethods.IsHead(context.Request.Method))
        {
            context.Response.StatusCode = StatusCodes.Status405MethodNotAllowed;
            return;
        }
        using Exposition exposition = Enter();
        await exposition.Answer(context);
    }

    public void Dispose()
    {
        _kestrel.StopAsync(new CancellationToken(canceled: true)).GetAwaiter().GetResult();
        _kestrel.Dispose();
        _exposition?.Dispose();
        _services.Dispose();
        if (Address is UnixDomainSocketEndPoint unix) File.Delete(unix.ToString());
    }

    private Exposition Enter()
    {
        lock (_gate)
        {
            Observation now = _source();
            if (_exposition is null || !_exposition.Fits(now))
            {
                _exposition?.Dispose();
                _exposition = new Exposition(_services, now);
                _exposition.Fits(now);
            }
            _exposition.Enter();
            return _exposition;
        }
    }

    private Socket CreateSocket(EndPoint address)
    {
        Socket socket = SocketTransportOptions.CreateDefaultBoundListenSocket(address);
        // Counters of all users: the group may be given to whoever scrapes. Nobody can connect yet.
        if (address is UnixDomainSocketEndPoint unix) File.SetUnixFileMode(unix.ToString(), (UnixFileMode)0x1B0);
        else Address = socket.LocalEndPoint!;
        return socket;
    }

    private static KestrelServer Kestrel(EndPoint address, Func<EndPoint, Socket> createSocket)
    {
        var options = new KestrelServerOptions { AddServerHeader = false };
        options.Limits.MaxConcurrentConnections = MostConnections;
        options.Limits.MaxRequestHeadersTotalSize = options.Limits.MaxRequestLineSize = MostHeadBytes;
        options.Limits.MaxRequestBodySize = 0;
        options.Limits.RequestHeadersTimeout = HeadTime;
        options.Limits.KeepAliveTimeout = IdleTime;
        options.Listen(address, listen => listen.Protocols = HttpProtocols.Http1);
        var transport = new SocketTransportOptions { CreateBoundListenSocket = createSocket };
        return new KestrelServer(Options.Create(options),
            new SocketTransportFactory(Options.Create(transport), NullLoggerFactory.Instance),
            NullLoggerFactory.Instance);
    }
}
