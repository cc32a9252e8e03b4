using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Accel.Control;

namespace Accel.Daemon.Telemetry;

/// <summary>
/// Serves GET /metrics on a thread of its own, one caller after the other: a scrape is rare and short, and nobody who
/// connects can make acceld use more than this.
/// </summary>
public sealed class MetricsServer : IDisposable
{
    private const int MostRequestBytes = 8192, RequestMilliseconds = 2000, Waiting = 16;

    private readonly Socket _listener;
    private readonly Func<Observation> _source;
    private readonly Thread _thread;
    private readonly string? _path;
    private volatile bool _isOver;

    public MetricsServer(EndPoint address, Func<Observation> source)
    {
        _source = source;
        _path = (address as UnixDomainSocketEndPoint)?.ToString();
        _listener = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            if (_path != null) MakeRoom(_path);
            _listener.Bind(address);
            // Counters of all users: the group may be given to whoever scrapes.
            if (_path != null) File.SetUnixFileMode(_path, (UnixFileMode)0x1B0);
            _listener.Listen(Waiting);
        }
        catch (Exception e) when (e is SocketException or IOException or UnauthorizedAccessException)
        {
            _listener.Dispose();
            throw new ControlException($"--metrics {address}: {e.Message}");
        }
        Address = _listener.LocalEndPoint!;
        _thread = new Thread(Serve) { IsBackground = true, Name = "metrics" };
        _thread.Start();
    }

    /// <summary>Where it listens: with the port that was chosen, if it was to be any.</summary>
    public EndPoint Address { get; }

    public void Dispose()
    {
        _isOver = true;
        _listener.Dispose();
        _thread.Join();
        if (_path != null) File.Delete(_path);
    }

    /// <summary>A socket that an acceld before this one left is in the way; any other file is not touched.</summary>
    private static void MakeRoom(string path)
    {
        if (!File.Exists(path)) return;
        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(path));
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionRefused
            && (File.GetAttributes(path) & FileAttributes.Directory) == 0 && IsSocket(path))
        {
            File.Delete(path);
            return;
        }
        catch (SocketException)
        {
            return; // bind() says what is wrong
        }
        throw new ControlException($"--metrics unix:{path}: somebody serves there already");
    }

    private static bool IsSocket(string path)
    {
        // Of all files only a socket cannot be opened (ENXIO).
        try
        {
            using var _ = File.OpenHandle(path);
            return false;
        }
        catch (IOException)
        {
            return true;
        }
    }

    private void Serve()
    {
        while (!_isOver)
        {
            try
            {
                using Socket caller = _listener.Accept();
                Answer(caller);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // The caller has gone, or the listener.
            }
        }
    }

    private void Answer(Socket caller)
    {
        string? request = Request(caller);
        if (request is null) return;
        string[] words = request.Split('\r', 2)[0].Split(' ');
        if (words.Length != 3 || !words[2].StartsWith("HTTP/1.", StringComparison.Ordinal))
            Send(caller, "400 Bad Request", "text/plain", "not HTTP\n");
        else if (words[0] is not ("GET" or "HEAD"))
            Send(caller, "405 Method Not Allowed", "text/plain", "GET only\n");
        else if (words[1].Split('?')[0] != "/metrics")
            Send(caller, "404 Not Found", "text/plain", "see /metrics\n");
        else
            Send(caller, "200 OK", OpenMetricsText.ContentType, OpenMetricsText.Write(_source()), words[0] == "HEAD");
    }

    /// <summary>The request's head; null if it does not come whole and in time.</summary>
    private static string? Request(Socket caller)
    {
        byte[] bytes = new byte[MostRequestBytes];
        int got = 0;
        long began = Stopwatch.GetTimestamp();
        caller.SendTimeout = RequestMilliseconds;
        while (got < bytes.Length)
        {
            int left = RequestMilliseconds - (int)Stopwatch.GetElapsedTime(began).TotalMilliseconds;
            if (left <= 0) return null;
            caller.ReceiveTimeout = left;
            int more = caller.Receive(bytes, got, bytes.Length - got, SocketFlags.None);
            if (more == 0) return null;
            got += more;
            string text = Encoding.ASCII.GetString(bytes, 0, got);
            if (text.Contains("\r\n\r\n", StringComparison.Ordinal)) return text;
        }
        return null;
    }

    private static void Send(Socket caller, string status, string type, string body, bool isHead = false)
    {
        byte[] content = Encoding.UTF8.GetBytes(body);
        byte[] head = Encoding.ASCII.GetBytes($"HTTP/1.1 {status}\r\nContent-Type: {type}\r\n"
            + $"Content-Length: {content.Length}\r\nConnection: close\r\n\r\n");
        long began = Stopwatch.GetTimestamp();
        foreach (byte[] part in isHead ? (byte[][])[head] : [head, content])
        {
            for (int sent = 0; sent < part.Length;)
            {
                if (Stopwatch.GetElapsedTime(began).TotalMilliseconds > RequestMilliseconds) return;
                sent += caller.Send(part, sent, part.Length - sent, SocketFlags.None);
            }
        }
        caller.Shutdown(SocketShutdown.Send);
    }
}
