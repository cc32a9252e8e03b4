using System.Net;
using System.Net.Sockets;
using Accel.Control;

namespace Accel.Daemon.Telemetry;

/// <summary>Where the metrics are served: ADDRESS:PORT or unix:PATH.</summary>
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
        if (!IPEndPoint.TryParse(text, out IPEndPoint? address)
            || !text.EndsWith($":{address.Port}", StringComparison.Ordinal))
            throw new ControlException($"--metrics {text}: expected ADDRESS:PORT or unix:PATH");
        return address;
    }
}
