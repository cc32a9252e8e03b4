"""Web servers."""
import os
import re
import signal
import time

import loads
from drive import program


def nginx_config(d, servers, workers=2, daemon="off"):
    temporary = "".join(f"{kind}_temp_path {d.path(kind)};"
                        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return d.write("nginx.conf", f"""daemon {daemon}; worker_processes {workers}; user root; pid {d.path("nginx.pid")};
error_log {d.path("error.log")} warn;
events {{ worker_connections 1024; }}
http {{ access_log off; {temporary} keepalive_requests 1000000; log_not_found off;
{servers} }}
""")


def nginx_start(d, config, port):
    return d.server("nginx", "-p", d.world.folder, "-c", config, "-e", d.path("error.log"), port=port)


@program("nginx", "nginx", driven="static files, sendfile on and off, tcp_nopush, TLS, HTTP/2, gzip, limit_rate, "
         "aio threads, uploads, 2 workers; ab, wrk, h2load, curl as clients")
def nginx(d):
    loads.files(d)
    key, chain, _ = d.certificate()
    port, tls = d.port(), d.port()
    tls_lines = f"ssl_certificate {chain}; ssl_certificate_key {key};"
    os.makedirs(d.path("www/put"), exist_ok=True)
    server = nginx_start(d, nginx_config(d, f"""
server {{ listen {port}; listen [::]:{port}; root {d.path("www")}; sendfile on; tcp_nopush on;
  location /plain/ {{ alias {d.path("www")}/; sendfile off; }}
  location /slow/ {{ alias {d.path("www")}/; limit_rate 8m; }}
  location /threads/ {{ alias {d.path("www")}/; aio threads; directio 64k; }}
  location /zip/ {{ alias {d.path("www")}/; gzip on; gzip_types *; }}
  location /put/ {{ dav_methods PUT DELETE; client_max_body_size 100m; }}
  location /say {{ return 200 "said\\n"; }}
  location /status {{ stub_status; }} }}
server {{ listen {tls} ssl http2; listen [::]:{tls} ssl http2; root {d.path("www")}; {tls_lines} }}
"""), port)
    loads.web(d, port, tls)
    base, secure = f"http://{d.ip4}:{port}", f"https://{d.ip4}:{tls}"
    with d.check("sendfile off"):
        loads.get(d, base + "/plain", "10m")
    with d.check("limit_rate"):
        started = time.monotonic()
        loads.get(d, base + "/slow", "10m")
        took = time.monotonic() - started
        d.expect(0.8 < took < 5, f"10 MB at 8 MB/s took {took:.1f} s")
    with d.check("aio threads, directio"):
        loads.get(d, base + "/threads", "10m")
    with d.check("gzip"):
        loads.get(d, base + "/zip", "text.html", "--compressed")
    with d.check("HTTP/2: GET"):
        loads.get(d, secure, "10m", "-k", "--http2")
        d.expect(loads.status(d, "-k", "--http2", f"{secure}/1k") == "200 2", "not HTTP/2")
    with d.check("HTTP/2: h2load"):
        loads.h2load(d, f"{secure}/1k")
    with d.check("HTTP/2: h2load, large"):
        loads.h2load(d, f"{secure}/10m", n=20)
    with d.check("PUT 10 MB, with Expect: 100-continue"):
        d.client("curl", "-sSf", "-T", d.path("www/10m"), f"{base}/put/up", "-H", "Expect: 100-continue")
        d.same("www/put/up", "www/10m")
    with d.check("PUT, chunked"):
        d.client("curl", "-sSf", "-T", "-", f"{base}/put/chunked", stdin=d.path("www/10m"))
        d.same("www/put/chunked", "www/10m")
    with d.check("ab: POST"):
        loads.ab(d, f"{base}/say", "-k", "-p", d.path("www/1k"), "-T", "application/octet-stream")
    with d.check("a request that is not HTTP"):
        d.expect("400" in d.client("nc", "-N", d.ip4, port, stdin=d.path("www/1k")), "no 400")
    with d.check("one active connection is counted at the end"):
        d.eventually(lambda: "Active connections: 1 " in d.client("curl", "-sS", f"{base}/status"),
                     lambda: d.client("curl", "-sS", f"{base}/status"))
    with d.check("QUIT ends it"):
        server.process.send_signal(signal.SIGQUIT)
        d.expect(server.process.wait(10) == 0, "another status")
    with d.check("nothing in the error log"):
        loads.no_errors(d, "error.log")


@program("nginx, reload", "nginx", driven="reload, reopen, a worker killed, binary upgrade by USR2, under load; "
         "reuseport; a port that comes and goes")
def nginx_reload(d):
    loads.files(d)
    port, other = d.port(), d.port()
    servers = f"server {{ listen {port}; root {d.path('www')}; }}\n"
    more = servers + f"server {{ listen {other} reuseport; root {d.path('www')}; }}\n"
    nginx_start(d, nginx_config(d, servers, daemon="on"), port)
    base = f"http://{d.ip4}:{port}"

    def master(name="nginx.pid"):
        with open(d.path(name), encoding="ascii") as f:
            return int(f.read())

    def workers():
        return set(d.at.sh("pgrep", "-P", str(master())).split())

    def under_load(*signals, seconds=2):
        load = d.start("wrk", "-t1", "-c16", f"-d{seconds}s", f"{base}/1k")
        for one in signals:
            time.sleep(0.4)
            os.kill(master(), one)
        out = load.wait(30)
        # Connections that idle are closed by the workers that leave: some reads of wrk's fail, on the kernel too.
        d.expect("Non-2xx" not in out and not re.search(r"connect [1-9]", out), out[-300:])

    with d.check("reload under load"):
        under_load(signal.SIGHUP, signal.SIGHUP)
        loads.wrk(d, f"{base}/1k")
    with d.check("reopen under load"):
        under_load(signal.SIGUSR1, signal.SIGUSR1)
    with d.check("a connection for each request, while it reloads"):
        load = d.start("ab", "-q", "-n", 3000, "-c", 8, f"{base}/1k")
        for _ in range(3):
            time.sleep(0.2)
            os.kill(master(), signal.SIGHUP)
        out = load.wait(30)
        d.expect("Complete requests:      3000" in out and "Failed requests:        0" in out, out[-300:])
        loads.get(d, base, "10m")
    with d.check("a download goes on through a reload"):
        slow = d.start("curl", "-sSf", "--limit-rate", "5m", "-o", d.path("slow"), f"{base}/10m")
        time.sleep(0.5)
        os.kill(master(), signal.SIGHUP)
        slow.wait(20)
        d.same("slow", "www/10m")
    with d.check("a second port, reuseport, by reload"):
        nginx_config(d, more, daemon="on")
        os.kill(master(), signal.SIGHUP)
        d.eventually(lambda: str(other) in d.at.sh("ss", "-Hltn"), "it does not listen")
        time.sleep(0.3)
        for _ in range(20):
            loads.get(d, f"http://{d.ip4}:{other}", "1k")
    with d.check("and it goes again"):
        nginx_config(d, servers, daemon="on")
        os.kill(master(), signal.SIGHUP)
        d.eventually(lambda: d.client("curl", "-sS", f"http://{d.ip4}:{other}/1k", "-o", "/dev/null", status=None) == ""
                     and d.world.programs[-1].process.returncode == 7, "still there")
    with d.check("a worker killed with -9 is replaced"):
        before = workers()
        os.kill(int(min(before)), signal.SIGKILL)
        d.eventually(lambda: workers() - before, "no new worker")
        for _ in range(20):
            loads.get(d, base, "1k")
    with d.check("USR2, WINCH, QUIT: the new binary takes over under load"):
        load = d.start("wrk", "-t1", "-c16", "-d3s", f"{base}/1k")
        time.sleep(0.4)
        old = master()
        os.kill(old, signal.SIGUSR2)
        d.eventually(lambda: os.path.exists(d.path("nginx.pid.oldbin")) and os.path.exists(d.path("nginx.pid"))
                     and master() != old, "no new master")
        time.sleep(0.5)
        os.kill(old, signal.SIGWINCH)
        time.sleep(0.3)
        os.kill(old, signal.SIGQUIT)
        d.eventually(lambda: not os.path.exists(f"/proc/{old}"), "the old master stays")
        out = load.wait(30)
        d.expect("Non-2xx" not in out, out[-300:])
        loads.get(d, base, "10m")
        loads.wrk(d, f"{base}/1k")


@program("nginx, proxy", "nginx", driven="proxy to upstreams with and without keep-alive, buffering off, TLS upstream, "
         "two upstreams one of which dies, WebSocket upgrade, stream (TCP) proxy; h2load, wrk, ab")
def nginx_proxy(d):
    loads.files(d)
    key, chain, _ = d.certificate()
    front, back, second, tls, stream = (d.port() for _ in range(5))
    local = "127.0.0.1"
    tls_lines = f"ssl_certificate {chain}; ssl_certificate_key {key};"
    config = nginx_config(d, f"""
upstream kept {{ server {local}:{back}; keepalive 16; }}
upstream two {{ server {local}:{back}; server {local}:{second} max_fails=1; }}
server {{ listen {back}; root {d.path("www")}; }}
server {{ listen {tls} ssl http2; {tls_lines}
  location / {{ proxy_pass http://kept; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}
server {{ listen {front};
  location / {{ proxy_pass http://kept; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  location /each/ {{ proxy_pass http://{local}:{back}/; }}
  location /raw/ {{ proxy_pass http://{local}:{back}/; proxy_buffering off; proxy_request_buffering off; }}
  location /secure/ {{ proxy_pass https://{local}:{tls}/; proxy_ssl_verify off; }}
  location /two/ {{ proxy_pass http://two/; }} }}
""")
    nginx_start(d, config, front)
    other = d.server("python3", "-m", "http.server", "--directory", d.path("www"), second, port=second)
    base = f"http://{d.ip4}:{front}"
    for where in ("", "/each", "/raw", "/secure", "/two"):
        for name in ("1k", "10m", "empty"):
            with d.check(f"{where or '/'}: {name}"):
                loads.get(d, base + where, name)
        with d.check(f"{where or '/'}: wrk"):
            loads.wrk(d, f"{base}{where}/1k", broken=where == "/two")
        if where in ("", "/each"):
            with d.check(f"{where or '/'}: ab, a connection each"):
                loads.ab(d, f"{base}{where}/1k")
    with d.check("one of two upstreams dies"):
        other.kill(signal.SIGKILL)
        for _ in range(20):
            loads.get(d, base + "/two", "1k")
    with d.check("HTTP/2 in front"):
        loads.h2load(d, f"https://{d.ip4}:{tls}/1k")
    with d.check("large files, HTTP/2 in front"):
        loads.h2load(d, f"https://{d.ip4}:{tls}/10m", n=20)
    with d.check("all upstreams gone: 502"):
        d.expect(loads.status(d, f"{base}/none") == "404 1.1", "no 404")


@program("lighttpd", "lighttpd", "lighttpd-mod-openssl",
         driven="static files, TLS, 2 workers, epoll, poll and select as its event handler")
def lighttpd(d):
    loads.files(d)
    _, _, pem = d.certificate()
    port, tls = d.port(), d.port()
    config = d.write("lighttpd.conf", f"""
server.modules = ("mod_openssl", "mod_accesslog")
server.document-root = "{d.path("www")}"
server.port = {port}
server.bind = "0.0.0.0"
server.errorlog = "{d.path("error.log")}"
server.event-handler = env.HANDLER
server.max-worker = 2
$SERVER["socket"] == "[::]:{port}" {{ server.use-ipv6 = "enable" }}
$SERVER["socket"] == "0.0.0.0:{tls}" {{ ssl.engine = "enable" ssl.pemfile = "{pem}" }}
""")
    server = d.server("lighttpd", "-D", "-f", config, port=port, env={"HANDLER": "linux-sysepoll"})
    loads.web(d, port, tls)
    with d.check("TERM ends it"):
        server.process.send_signal(signal.SIGTERM)
        d.expect(server.process.wait(10) == 0, "another status")
    for handler in ("poll", "select"):
        server = d.server("lighttpd", "-D", "-f", config, port=port, env={"HANDLER": handler})
        base = f"http://{d.ip4}:{port}"
        with d.check(f"{handler}: GET"):
            loads.get(d, base, "10m")
        with d.check(f"{handler}: wrk"):
            loads.wrk(d, f"{base}/1k")
        with d.check(f"{handler}: ab, a connection each"):
            loads.ab(d, f"{base}/1k")
        server.kill()


def apache(d, kind):
    loads.files(d)
    key, chain, _ = d.certificate()
    port, tls = d.port(), d.port()
    modules = "/usr/lib/apache2/modules"
    names = (f"mpm_{kind}", "authz_core", "dir", "ssl", "socache_shmcb", "http2", "mime", "status", "proxy",
             "proxy_http", "deflate", "filter", "unixd")
    loaded = "\n".join(f"LoadModule {n}_module {modules}/mod_{n}.so" for n in names
                       if os.path.exists(f"{modules}/mod_{n}.so") and not (n == "http2" and kind == "prefork"))
    config = d.write("apache.conf", f"""{loaded}
ServerRoot {d.world.folder}
ServerName localhost
DefaultRuntimeDir {d.world.folder}
PidFile {d.path("apache.pid")}
ErrorLog {d.path("error.log")}
LogLevel warn
MaxKeepAliveRequests 0
User www-data
Group www-data
Mutex file:{d.world.folder} default
TypesConfig /etc/mime.types
Listen {port}
Listen {tls}
{"Protocols h2 http/1.1" if kind != "prefork" else ""}
DocumentRoot {d.path("www")}
<Directory {d.path("www")}>
Require all granted
</Directory>
<Location /status>
SetHandler server-status
</Location>
ProxyPass /proxied/ http://127.0.0.1:{port}/
<VirtualHost *:{tls}>
SSLEngine on
SSLCertificateFile {chain}
SSLCertificateKeyFile {key}
</VirtualHost>
""")
    server = d.server("apache2", "-f", config, "-DFOREGROUND", port=port)
    # The event module ends kept connections when its threads are all at work.
    loads.web(d, port, tls, closes=kind == "event")
    base = f"http://{d.ip4}:{port}"
    with d.check("as a proxy"):
        loads.get(d, base + "/proxied", "10m")
    with d.check("as a proxy: ab"):
        loads.ab(d, f"{base}/proxied/1k", "-k", n=500)
    if kind != "prefork":
        with d.check("HTTP/2: h2load"):
            loads.h2load(d, f"https://{d.ip4}:{tls}/1k")
        with d.check("HTTP/2: GET"):
            loads.get(d, f"https://{d.ip4}:{tls}", "10m", "-k", "--http2")
    with d.check("graceful restart under load"):
        load = d.start("ab", "-q", "-n", 3000, "-c", 8, f"{base}/1k")
        for _ in range(2):
            time.sleep(0.3)
            server.process.send_signal(signal.SIGUSR1)
        out = load.wait(40)
        d.expect("Complete requests:      3000" in out, out[-300:])
        loads.get(d, base, "10m")
    with d.check("graceful stop"):
        server.process.send_signal(signal.SIGWINCH)
        d.expect(server.process.wait(15) == 0, "another status")
    with d.check("nothing in the error log"):
        loads.no_errors(d, "error.log", r":(alert|emerg|crit|error)\]")


@program("apache, event", "apache2", driven="static files, TLS, HTTP/2, proxy, status, graceful restart and stop")
def apache_event(d):
    apache(d, "event")


@program("apache, prefork", "apache2", driven="static files, TLS, proxy, graceful restart and stop")
def apache_prefork(d):
    apache(d, "prefork")
