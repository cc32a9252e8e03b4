using System.Globalization;
using Accel.Cli.Processes;

namespace Accel.Cli.Bench;

/// <summary>Debian's nginx with one worker, and wrk with 32 keep-alive connections asking for a 1 KB file.</summary>
internal static class NginxLoad
{
    public static Sample Run(Side side, BenchCase c, Surroundings at)
    {
        using var scratch = new Scratch();
        int port = Scratch.FreePort();
        scratch.Write("1k", new string('x', 1024));
        string configuration = scratch.Write("nginx.conf", Configuration(scratch.Folder, port));
        using Child server = Child.Start(side, at.ServerCpu, c.Environment, "nginx", "-p", scratch.Folder, "-c",
            configuration,
            "-e", Path.Combine(scratch.Folder, "error.log"));
        Scratch.AwaitListener(port, server);
        double before = server.CpuMicros();
        int seconds = Math.Max(1, (int)at.Seconds); // wrk counts in whole seconds
        (string output, double client) = Child.Run(side, at.ClientCpu, c.Environment, at.Limit, "wrk", "-t1", "-c32",
            string.Create(CultureInfo.InvariantCulture, $"-d{seconds}s"),
            string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{port}/1k"));
        double requests = Printed.WrkRequests(output);
        return new(Printed.Number(output, "Requests/sec:"), (client + server.CpuMicros() - before) / requests);
    }

    /// <summary>As Debian configures it (sendfile, tcp_nopush), without logs. The worker stays who we are.</summary>
    private static string Configuration(string folder, int port) => string.Create(CultureInfo.InvariantCulture, $$"""
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
                listen 127.0.0.1:{{port}};
                root {{folder}};
            }
        }
        """);
}
