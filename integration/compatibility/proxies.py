"""Programs that are server and client at once."""
import glob
import os
import re
import signal
import socket
import time

import loads
from drive import program


def back(d, port):
    """A plain web server behind the proxy; nginx, since it is the most tested of all here."""
    temporary = "".join(f"{kind}_temp_path {d.path(kind)};"
                        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = d.write("back.conf", f"""daemon off; worker_processes 1; user root; pid {d.path("back.pid")};
events {{ worker_connections 1024; }}
http {{ access_log off; {temporary} keepalive_requests 1000000; log_not_found off;
server {{ listen {port}; root {d.path("www")}; }} }}
""")
    d.server("nginx", "-p", d.world.folder, "-c", config, "-e", d.path("back.log"), port=port)


def haproxy_config(d, http, tcp, tls, behind, threads):
    _, _, pem = d.certificate()
    return d.write("haproxy.cfg", f"""global
  stats socket {d.path("admin.sock")} mode 660 level admin expose-fd listeners
  nbthread {threads}
  maxconn 2000
defaults
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend web
  mode http
  bind :{http}
  bind [::]:{http} v6only
  bind :{tls} ssl crt {pem} alpn h2,http/1.1
  stats uri /stats
  default_backend kept
backend kept
  mode http
  option httpchk GET /1k
  server one 127.0.0.1:{behind} check inter 200ms
frontend raw
  mode tcp
  bind :{tcp}
  default_backend straight
backend straight
  mode tcp
  server one 127.0.0.1:{behind}
""")


@program("haproxy", "haproxy",
         driven="http and tcp mode, TLS, HTTP/2, splice, health checks, the admin socket, 2 threads, "
         "reload with listeners handed over (-sf, -x) under load; ab, wrk, h2load")
def haproxy(d):
    loads.files(d)
    behind, http, tcp, tls = (d.port() for _ in range(4))
    back(d, behind)
    config = haproxy_config(d, http, tcp, tls, behind, 2)
    server = d.server("haproxy", "-db", "-f", config, "-p", d.path("haproxy.pid"), port=http)
    time.sleep(0.5)
    loads.web(d, http, tls)
    raw, secure = f"http://{d.ip4}:{tcp}", f"https://{d.ip4}:{tls}"
    for name in ("1k", "10m"):
        with d.check(f"tcp mode: {name}"):
            loads.get(d, raw, name)
    with d.check("tcp mode: wrk"):
        loads.wrk(d, f"{raw}/1k")
    with d.check("tcp mode: ab, a connection each"):
        loads.ab(d, f"{raw}/1k")
    with d.check("HTTP/2: GET"):
        loads.get(d, secure, "10m", "-k", "--http2")
    with d.check("HTTP/2: h2load"):
        loads.h2load(d, f"{secure}/1k")
    with d.check("the page of statistics"):
        d.expect("Statistics Report" in d.client("curl", "-sSf", f"http://{d.ip4}:{http}/stats"), "another page")

    def ask(command):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(d.path("admin.sock"))
            s.sendall(command.encode() + b"\n")
            parts = []
            while part := s.recv(65536):
                parts.append(part)
            return b"".join(parts).decode()

    with d.check("the admin socket: show info, disable and enable a server"):
        d.expect("Nbthread: 2" in ask("show info"), ask("show info")[:200])
        ask("disable server kept/one")
        d.expect(loads.status(d, f"http://{d.ip4}:{http}/1k") == "503 1.1", "no 503")
        ask("enable server kept/one")
        d.eventually(lambda: loads.status(d, f"http://{d.ip4}:{http}/1k") == "200 1.1", "not enabled again")
    def few_lost(out):
        """None is refused. What waits in a listener's queue when it closes is reset, on the kernel too: at most as
        many as there are clients, for each reload."""
        reset = re.search(r"Receive: (\d+)", out)
        d.expect("Complete requests:      4000" in out and int(reset.group(1) if reset else 0) <= 16, out[-400:])

    for how, more in (("-sf", ()), ("-x", ("-x", d.path("admin.sock")))):
        with d.check(f"reload under load, {how}"):
            load = d.start("ab", "-r", "-q", "-n", 4000, "-c", 8, f"http://{d.ip4}:{http}/1k")
            time.sleep(0.3)
            again = d.at.start(["haproxy", "-db", "-f", config, "-sf", str(server.pid), *more], d.column.server)
            d.eventually(lambda: server.process.poll() is not None, "the old process stays", 20)
            server = again
            out = load.wait(40)
            few_lost(out)
            loads.get(d, f"http://{d.ip4}:{http}", "10m")
    server.kill()
    with d.check("master-worker: reload by USR2 under load"):
        server = d.server("haproxy", "-W", "-db", "-f", config, port=http)
        time.sleep(0.7)
        load = d.start("ab", "-r", "-q", "-n", 4000, "-c", 8, f"http://{d.ip4}:{http}/1k")
        for _ in range(2):
            time.sleep(0.5)
            server.process.send_signal(signal.SIGUSR2)
        out = load.wait(40)
        few_lost(out)
        loads.get(d, f"http://{d.ip4}:{http}", "10m")


@program("varnish", "varnish",
         driven="cache in front of nginx: hits, misses, large objects streamed, ban, gzip; ab, wrk")
def varnish(d):
    loads.files(d)
    behind, port = d.port(), d.port()
    back(d, behind)
    os.makedirs(d.path("varnish"))
    d.server("varnishd", "-F", "-j", "none", "-n", d.path("varnish"), "-a", f":{port}", "-b", f"127.0.0.1:{behind}",
             "-s", "malloc,100m", "-p", "feature=+http2", "-T", "none", port=port, seconds=30)
    time.sleep(1)
    loads.web(d, port)
    base = f"http://{d.ip4}:{port}"
    with d.check("the second time it comes from the cache"):
        d.expect("Age: " in d.client("curl", "-sSI", f"{base}/text.html"), "no Age")
        loads.get(d, base, "text.html")
    with d.check("HTTP/2 without TLS"):
        loads.h2load(d, f"{base}/1k")
    with d.check("passed through: POST"):
        d.expect(loads.status(d, "-d", "x=1", f"{base}/1k") == "405 1.1", "another status")


@program("squid", "squid", driven="forward proxy: GET, CONNECT, large files, ab through it")
def squid(d):
    loads.files(d)
    behind, port = d.port(), d.port()
    back(d, behind)
    os.makedirs(d.path("spool"))
    os.chmod(d.path("spool"), 0o777)
    config = d.write("squid.conf", f"""http_port {port}
http_access allow all
cache_effective_user root
pid_filename {d.path("squid.pid")}
access_log none
cache_log {d.path("cache.log")}
cache_store_log none
netdb_filename none
coredump_dir {d.path("spool")}
cache_mem 64 MB
shutdown_lifetime 1 second
visible_hostname accel
""")
    # Killed, it leaves what it shares in memory behind, by the name of its service.
    service = f"accel{port}"
    try:
        d.server("squid", "-N", "-n", service, "-f", config, port=port, seconds=30)
        time.sleep(0.5)
        through_squid(d, port, behind)
    finally:
        for left in glob.glob(f"/dev/shm/{service}-cf__*"):
            os.unlink(left)


def through_squid(d, port, behind):
    proxy, base = f"http://{d.ip4}:{port}", f"http://127.0.0.1:{behind}"
    for name in ("1k", "10m", "empty"):
        with d.check(f"GET {name}"):
            loads.get(d, base, name, "-x", proxy, "--noproxy", "")
    with d.check("CONNECT"):
        loads.get(d, base, "10m", "-p", "-x", proxy, "--noproxy", "")
    with d.check("40 files over one connection"):
        d.client("curl", "-sSf", "--noproxy", "", "-x", proxy, "-o", d.path("many-#1"), f"{base}/1k?[1-40]")
        d.same("many-40", "www/1k")
    with d.check("ab through it"):
        loads.ab(d, f"{base}/1k", "-X", f"{d.ip4}:{port}", n=1000)


@program("stunnel", "stunnel4", driven="TLS put in front of a web server and taken off again, both by stunnel")
def stunnel(d):
    loads.files(d)
    behind, secure, plain = d.port(), d.port(), d.port()
    _, _, pem = d.certificate()
    back(d, behind)
    server = d.write("server.conf", f"""foreground = yes
pid =
[web]
accept = :::{secure}
connect = 127.0.0.1:{behind}
cert = {pem}
""")
    client = d.write("client.conf", f"""foreground = yes
pid =
[web]
client = yes
accept = 127.0.0.1:{plain}
connect = {d.ip4}:{secure}
""")
    d.server("stunnel4", server, port=secure)
    d.start("stunnel4", client)
    d.eventually(lambda: f":{plain}" in d.from_.sh("ss", "-Hltn"), "the client's end does not listen")
    base = f"http://127.0.0.1:{plain}"
    for name in ("1k", "10m", "empty"):
        with d.check(f"GET {name}"):
            loads.get(d, base, name)
    with d.check("ab, a connection each"):
        loads.ab(d, f"{base}/1k", n=300)
    with d.check("wrk"):
        loads.wrk(d, f"{base}/1k", clients=16)
    with d.check("straight: curl with TLS"):
        loads.get(d, f"https://{d.ip4}:{secure}", "10m", "-k")
