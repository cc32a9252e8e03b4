using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Accel.Control;

namespace Accel.Daemon.Telemetry;

/// <summary>Where the metrics are served: PORT of the loopback, ADDRESS:PORT or unix:PATH.</summary>
public static class MetricsAddress
{
    private const string Unix = "unix:";

    public static EndPoint Parse(string text)
    {
        if (text.StartsWith(Unix, StringComparison.Ordinal))
        {
            string path = text[Unix.Length..];
            if (!Path.IsPathRooted(path)) throw new ControlException($"--metrics {text}: an absolute path");
            try
            {
                return new UnixDomainSocketEndPoint(path);
            }
            catch (ArgumentOutOfRangeException)
            {
                throw new ControlException($"--metrics {text}: the path is too long for a socket");
            }
        }
        if (ushort.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ushort port))
            return new IPEndPoint(IPAddress.Loopback, port);
        if (!IPEndPoint.TryParse(text, out IPEndPoint? address)
            || !text.EndsWith($":{address.Port}", StringComparison.Ordinal))
            throw new ControlException($"--metrics {text}: expected PORT, ADDRESS:PORT or unix:PATH");
        return address;
    }

    /// <summary>A socket that an acceld before this one left is in the way; any other file is not touched.</summary>
    public static void MakeRoom(string path)
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
}
