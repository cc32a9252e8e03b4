using System.Net;
using System.Net.Sockets;

namespace Accel.Daemon.Tests;

/// <summary>Asks as Prometheus does, over TCP or a unix socket.</summary>
static class Scraper
{
    public static string Body(EndPoint address, string accept)
    {
        using var handler = new SocketsHttpHandler
        {
            ConnectCallback = async (_, stop) =>
            {
                var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
                await socket.ConnectAsync(address, stop);
                return new NetworkStream(socket, ownsSocket: true);
            },
        };
        using var client = new HttpClient(handler) { Timeout = TimeSpan.FromSeconds(20) };
        client.DefaultRequestHeaders.Add("Accept", accept);
        return client.GetStringAsync("http://acceld/metrics").GetAwaiter().GetResult();
    }
}
