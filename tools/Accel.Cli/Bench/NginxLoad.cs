using System.Globalization;
using Accel.Cli.Processes;

namespace Accel.Cli.Bench;

/// <summary>Debian's nginx with one worker, and wrk with 32 keep-alive connections asking for a 1 KB file.</summary>
internal static class NginxLoad
{
    public static Sample Run(Stage stage, Surroundings at)
    {
        using var scratch = new Scratch();
        using Child server = Serve(stage.Server, scratch, out int port);
        scratch.Write("1k", new string('x', 1024));
        double before = server.CpuMicros();
        int seconds = Math.Max(1, (int)at.Seconds); // wrk counts in whole seconds
        (string output, double client) = Child.Run(stage.Client, at.Limit, "wrk", "-t1", "-c32",
            string.Create(CultureInfo.InvariantCulture, $"-d{seconds}s"),
            string.Create(CultureInfo.InvariantCulture, $"http://{stage.Address}:{port}/1k"));
        return Sample.Of(Printed.Number(output, "Requests/sec:"), Printed.WrkRequests(output),
            server.CpuMicros() - before, client);
    }

    /// <summary>A server for the files in a folder.</summary>
    public static Child Serve(End end, Scratch scratch, out int port)
    {
        port = Scratch.FreePort(end.Place);
        string configuration = scratch.Write("nginx.conf", Configuration(scratch.Folder, end.Place.Address, port));
        Child server = Child.Start(end, "nginx", "-p", scratch.Folder, "-c", configuration, "-e",
            Path.Combine(scratch.Folder, "error.log"));
        try
        {
            Scratch.AwaitListener(port, end.Place, server);
        }
        catch (MeasurementException)
        {
            server.Dispose();
            throw;
        }
        return server;
    }

    /// <summary>As Debian configures it (sendfile, tcp_nopush), without logs. The worker stays who we are.</summary>
    private static string Configuration(string folder, string address, int port) => string.Create(
        CultureInfo.InvariantCulture, $$"""
        daemon off;
        worker_processes 1;
        {{(Environment.IsPrivilegedProcess ? "user root;" : "")}}
        pid {{folder}}/pid;
        error_log {{folder}}/error.log;
        events { worker_connections 1024; }
        http {
            access_log off;
            sendfile on;
            tcp_nopush on;
            keepalive_requests 1000000000;
            client_body_temp_path {{folder}}/body;
            proxy_temp_path {{folder}}/proxy;
            fastcgi_temp_path {{folder}}/fastcgi;
            uwsgi_temp_path {{folder}}/uwsgi;
            scgi_temp_path {{folder}}/scgi;
            server {
                listen {{address}}:{{port}};
                root {{folder}};
            }
        }
        """);
}
