using System.Globalization;
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

    /// <summary>Below the range that clients' ports come from; in a namespace of our own all of them are free.
    /// </summary>
    public static int FreePort(Place at)
    {
        while (true)
        {
            int port = Random.Shared.Next(10_000, 32_000);
            if (at.Namespace is not null) return port;
            using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                probe.Bind(new IPEndPoint(IPAddress.Any, port));
                return port;
            }
            catch (SocketException)
            {
                // somebody's: another one
            }
        }
    }

    /// <summary>Waits until somebody listens on the port.</summary>
    public static void AwaitListener(int port, Place at, Child server)
    {
        if (at.Namespace is not null)
        {
            AwaitTable(port, server);
            return;
        }
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

    /// <summary>Where we cannot connect to: until the kernel's table of the server's namespace has the listener.
    /// </summary>
    private static void AwaitTable(int port, Child server)
    {
        string wanted = string.Create(CultureInfo.InvariantCulture, $":{port:X4}");
        for (int i = 0; i < 500 && !server.HasEnded; i++)
        {
            foreach (string table in (string[])["tcp", "tcp6"])
            {
                foreach (string line in ReadLines($"/proc/{server.Id}/net/{table}"))
                {
                    string[] f = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
                    if (f.Length > 3 && f[1].EndsWith(wanted, StringComparison.Ordinal) && f[3] == "0A") return;
                }
            }
            Thread.Sleep(10);
        }
        throw new MeasurementException($"no server came up on port {port}: {server.Errors()}");
    }

    private static string[] ReadLines(string path)
    {
        try
        {
            return File.ReadAllLines(path);
        }
        catch (IOException)
        {
            return []; // it has ended: seen by the caller
        }
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
