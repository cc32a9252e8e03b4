// server HTTP HTTPS HTTP2 CERTIFICATE KEY FOLDER | client ADDRESS PORT WHAT
// ASP.NET Core's server, and .NET's clients, which check what comes back and print `good`.
using System.Net;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Server.Kestrel.Core;

if (args[0] == "server")
{
    await Server.Run(args);
    return;
}
await Client.Check(args[1], int.Parse(args[2]), args[3]);
Console.WriteLine("good");

static class Server
{
    public static async Task Run(string[] args)
    {
        var certificate = X509Certificate2.CreateFromPemFile(args[4], args[5]);
        var folder = args[6];
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelHttpsConfiguration();
        builder.WebHost.ConfigureKestrel(o =>
        {
            o.Limits.MaxRequestBodySize = null;
            o.ListenAnyIP(int.Parse(args[1]), l => l.Protocols = HttpProtocols.Http1);
            o.ListenAnyIP(int.Parse(args[2]), l => l.UseHttps(certificate));
            o.ListenAnyIP(int.Parse(args[3]), l => l.Protocols = HttpProtocols.Http2);
        });
        var app = builder.Build();
        app.UseWebSockets();
        app.MapGet("/socket", async context =>
        {
            using var socket = await context.WebSockets.AcceptWebSocketAsync();
            var buffer = new byte[65536];
            while (true)
            {
                var got = await socket.ReceiveAsync(buffer, default);
                if (got.MessageType == WebSocketMessageType.Close)
                    break;
                await socket.SendAsync(buffer.AsMemory(0, got.Count), got.MessageType, got.EndOfMessage, default);
            }
            await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, null, default);
        });
        app.MapGet("/events", async context =>
        {
            context.Response.ContentType = "text/event-stream";
            for (var i = 0; i < 50; i++)
            {
                await context.Response.WriteAsync($"data: {i}\n\n");
                await context.Response.Body.FlushAsync();
                await Task.Delay(5);
            }
        });
        app.MapPost("/echo", async context => await context.Request.Body.CopyToAsync(context.Response.Body));
        app.MapGet("/never", async context => await Task.Delay(-1, context.RequestAborted));
        app.MapGet("/{name}", (string name) => Results.File(Path.Combine(folder, name)));
        app.MapPut("/{name}", async (string name, HttpRequest request) =>
        {
            await using var file = File.Create(Path.Combine(folder, name));
            await request.Body.CopyToAsync(file);
        });
        await app.RunAsync();
    }
}

static class Client
{
    public static async Task Check(string host, int port, string what)
    {
        using var http = new HttpClient { BaseAddress = new Uri($"http://{host}:{port}") };
        http.Timeout = TimeSpan.FromSeconds(20);
        switch (what)
        {
            case "get":
                for (var i = 0; i < 200; i++)
                    Same(1024, (await http.GetByteArrayAsync("/1k")).Length);
                break;
            case "parallel":
                for (var round = 0; round < 5; round++)
                {
                    var all = Enumerable.Range(0, 60).Select(_ => http.GetByteArrayAsync("/1k"));
                    foreach (var one in await Task.WhenAll(all))
                        Same(1024, one.Length);
                }
                break;
            case "post":
                foreach (var size in new[] { 0, 1, 1000, 100_000, 1_000_000 })
                    await Echo(http, RandomNumberGenerator.GetBytes(size));
                break;
            case "events":
                var lines = (await http.GetStringAsync("/events")).Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
                Same(50, lines.Length);
                break;
            case "websocket":
                await WebSocket(host, port);
                break;
            case "cancel":
                for (var i = 0; i < 20; i++)
                    await Cancelled(http, i);
                Same(1024, (await http.GetByteArrayAsync("/1k")).Length);
                break;
            case "sockets":
                await Sockets();
                break;
            case "poll":
                await Poll(host, port);
                break;
            case "udp":
                await Datagrams();
                break;
            default:
                throw new ArgumentException(what);
        }
    }

    static void Same<T>(T wanted, T got)
    {
        if (!Equals(wanted, got))
            throw new InvalidOperationException($"{got}, not {wanted}");
    }

    static async Task Echo(HttpClient http, byte[] body)
    {
        using var answer = await http.PostAsync("/echo", new ByteArrayContent(body));
        var got = await answer.Content.ReadAsByteArrayAsync();
        Same(true, body.AsSpan().SequenceEqual(got));
    }

    static async Task WebSocket(string host, int port)
    {
        using var socket = new ClientWebSocket();
        await socket.ConnectAsync(new Uri($"ws://{host}:{port}/socket"), default);
        var buffer = new byte[65536];
        for (var i = 1; i < 100; i++)
        {
            var sent = RandomNumberGenerator.GetBytes(i * 600);
            await socket.SendAsync(sent, WebSocketMessageType.Binary, true, default);
            var got = 0;
            while (got < sent.Length)
                got += (await socket.ReceiveAsync(buffer.AsMemory(got), default)).Count;
            Same(true, sent.AsSpan().SequenceEqual(buffer.AsSpan(0, got)));
        }
        await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, null, default);
    }

    static async Task Cancelled(HttpClient http, int milliseconds)
    {
        using var source = new CancellationTokenSource(milliseconds);
        try
        {
            await http.GetByteArrayAsync("/never", source.Token);
            throw new InvalidOperationException("an answer that was never sent");
        }
        catch (OperationCanceledException)
        {
        }
    }

    /// <summary>Both ends in this process: accept, half-close, and a reset.</summary>
    static async Task Sockets()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        for (var i = 0; i < 50; i++)
        {
            using var near = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            var accepting = listener.AcceptAsync();
            await near.ConnectAsync(listener.LocalEndPoint!);
            using var far = await accepting;
            var sent = RandomNumberGenerator.GetBytes(200_000);
            var sending = Task.Run(async () =>
            {
                for (var at = 0; at < sent.Length;)
                    at += await near.SendAsync(sent.AsMemory(at));
                near.Shutdown(SocketShutdown.Send);
            });
            var got = new MemoryStream();
            await new NetworkStream(far).CopyToAsync(got);
            await sending;
            Same(true, sent.AsSpan().SequenceEqual(got.ToArray()));
            far.LingerState = new LingerOption(true, 0);
            far.Close();
            try
            {
                await near.ReceiveAsync(new byte[1]);
                throw new InvalidOperationException("no reset");
            }
            catch (SocketException error)
            {
                Same(SocketError.ConnectionReset, error.SocketErrorCode);
            }
        }
    }

    /// <summary>The calls that block: Poll, Select, ReceiveTimeout.</summary>
    static async Task Poll(string host, int port)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Connect(host, port);
        Same(false, socket.Poll(100_000, SelectMode.SelectRead));
        Same(true, socket.Poll(100_000, SelectMode.SelectWrite));
        socket.ReceiveTimeout = 100;
        try
        {
            socket.Receive(new byte[1]);
            throw new InvalidOperationException("data that nobody sent");
        }
        catch (SocketException error)
        {
            Same(SocketError.TimedOut, error.SocketErrorCode);
        }
        socket.Send("GET /1k HTTP/1.0\r\n\r\n"u8);
        var read = new List<Socket> { socket };
        Socket.Select(read, null, null, 2_000_000);
        Same(1, read.Count);
        Same(true, socket.Receive(new byte[65536]) > 0);
        await Task.CompletedTask;
    }

    static async Task Datagrams()
    {
        using var one = new UdpClient(new IPEndPoint(IPAddress.Loopback, 0));
        using var other = new UdpClient(new IPEndPoint(IPAddress.Loopback, 0));
        one.Connect((IPEndPoint)other.Client.LocalEndPoint!);
        for (var i = 1; i < 300; i++)
        {
            var sent = RandomNumberGenerator.GetBytes(i * 5);
            await one.SendAsync(sent);
            var got = (await other.ReceiveAsync()).Buffer;
            Same(true, sent.AsSpan().SequenceEqual(got));
        }
    }
}
