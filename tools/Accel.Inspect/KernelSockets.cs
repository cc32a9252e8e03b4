using System.Globalization;
using System.Net;

namespace Accel.Inspect;

/// <summary>A TCP socket as the kernel's own table shows it.</summary>
public sealed record KernelSocket(string State, string Local, string Remote, long ReceiveQueue, long SendQueue);

/// <summary>The kernel's view of sockets on its path.</summary>
public static class KernelSockets
{
    private static readonly string[] States =
    [
        "?", "ESTAB", "SYN-SENT", "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSE", "CLOSE-WAIT",
            "LAST-ACK", "LISTEN",
        "CLOSING", "NEW-SYN-RECV",
    ];

    /// <summary>All TCP sockets of a process's network namespace, by inode.</summary>
    public static Dictionary<string, KernelSocket> Table(string pid)
    {
        var sockets = new Dictionary<string, KernelSocket>();
        foreach (string table in (string[])["tcp", "tcp6"])
        {
            string path = $"/proc/{pid}/net/{table}";
            if (!File.Exists(path)) continue; // a kernel without IPv6
            foreach (string line in File.ReadLines(path).Skip(1))
            {
                string[] f = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
                if (f.Length > 9 && f[9] != "0") sockets[f[9]] = Parse(f);
            }
        }
        return sockets;
    }

    private static KernelSocket Parse(string[] f)
    {
        int state = Hex(f[3]);
        string[] queues = f[4].Split(':');
        return new(state < States.Length ? States[state] : "?", Name(f[1]), Name(f[2]),
            long.Parse(queues[1], NumberStyles.HexNumber, CultureInfo.InvariantCulture),
            long.Parse(queues[0], NumberStyles.HexNumber, CultureInfo.InvariantCulture));
    }

    /// <summary>Addresses are printed as words in host byte order.</summary>
    private static string Name(string text)
    {
        string[] parts = text.Split(':');
        byte[] address = Convert.FromHexString(parts[0]);
        for (int i = 0; i < address.Length; i += 4) Array.Reverse(address, i, 4);
        return EndpointText.Of(new IPAddress(address), Hex(parts[1]));
    }

    private static int Hex(string text) => int.Parse(text, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
}
