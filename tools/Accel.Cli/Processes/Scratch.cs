using System.Net;
using System.Net.Sockets;

namespace Accel.Cli.Processes;

/// <summary>A folder for one server's files, gone when the server is.</summary>
public sealed class Scratch : IDisposable
{
    public string Folder { get; } = Directory.CreateTempSubdirectory("accel-").FullName;

    public string Write(string name, string content)
    {
        string path = Path.Combine(Folder, name);
        File.WriteAllText(path, content);
        return path;
    }

    public static int FreePort()
    {
        using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        probe.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)probe.LocalEndPoint!).Port;
    }

    /// <summary>Waits until somebody listens on the port.</summary>
    public static void AwaitListener(int port, Child server)
    {
        for (int i = 0; i < 500; i++)
        {
            using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                probe.Connect(IPAddress.Loopback, port);
                return;
            }
            catch (SocketException) when (!server.HasEnded)
            {
                Thread.Sleep(10);
            }
            catch (SocketException)
            {
                break;
            }
        }
        throw new MeasurementException($"no server came up on port {port}: {server.Errors()}");
    }

    public void Dispose()
    {
        try
        {
            Directory.Delete(Folder, recursive: true);
        }
        catch (IOException)
        {
            // A child that is just ending may still write here; the folder is in /tmp and small.
        }
    }
}
