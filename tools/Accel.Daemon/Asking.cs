using System.Text.Json;
using Accel.Control;
using Accel.Control.Broker;
using Accel.Control.Native;
using Accel.Os.Control;

namespace Accel.Daemon;

/// <summary>`acceld status`: asks the daemon of this network namespace what it does.</summary>
static class Asking
{
    public static int Run(string? socket, bool asJson)
    {
        string path = socket ?? Protocol.SocketPath(DaemonKernel.Shared.NetworkNamespace());
        string text = StatusQuery.Ask(path);
        if (asJson)
        {
            Console.WriteLine(text);
            return 0;
        }
        using JsonDocument document = JsonDocument.Parse(text);
        Console.Write(StatusReport.Text(document.RootElement));
        return 0;
    }
}
