"""Servers in several languages' own libraries, and clients beside them."""
import os
import shutil
import subprocess
import time

import loads
from drive import DRIVERS, MB, PYTHON, program

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def both(d, driver, names, *command, port=None, client=None):
    """A driver that is a server and, asked by a name, a client that checks; prints `good`."""
    for what in names:
        with d.check(what):
            out = d.client(*(client or command), "client", d.ip4, port, what)
            d.expect(out.strip().endswith("good"), out[-300:])


@program("Python", "python3",
         driven="http.server, asyncio (streams, TLS, datagrams, start_tls), socketserver (threading and "
         "forking), multiprocessing managers and pools, http.client from 20 threads, selectors, ssl, xmlrpc")
def python(d):
    script = os.path.join(DRIVERS, "python_servers.py")
    key, chain, _ = d.certificate()
    for kind, names in (
            ("asyncio", ("echo", "many", "large", "half-close", "slow reader", "reset", "cancelled")),
            ("asyncio-tls", ("echo-tls", "many-tls", "large-tls")),
            ("asyncio-udp", ("datagrams",)),
            ("socketserver-threads", ("echo", "many", "large", "half-close")),
            ("socketserver-forks", ("echo", "many", "large", "half-close")),
            ("blocking-tls", ("echo-tls", "many-tls", "large-tls", "threads-tls")),
            ("selectors-poll", ("echo", "many", "large")),
            ("selectors-select", ("echo", "many", "large")),
            ("manager", ("manager", "manager-processes")),
            ("xmlrpc", ("xmlrpc",)),
            ("http", ("http", "http-threads", "http-pool"))):
        port = d.port()
        udp = kind.endswith("udp")
        server = d.server(PYTHON, script, "server", kind, port, chain, key, **{"udp" if udp else "port": port})
        for what in names:
            with d.check(f"{kind}: {what}"):
                out = d.client(PYTHON, script, "client", d.ip4, port, what)
                d.expect(out.strip().endswith("good"), out[-300:])
        if kind == "manager":  # Python's takes a pair for an IPv4 address
            server.kill()
            continue
        with d.check(f"{kind}: over IPv6"):
            out = d.client(PYTHON, script, "client", d.ip6, port, names[0])
            d.expect(out.strip().endswith("good"), out[-300:])
        server.kill()
    loads.files(d)
    port = d.port()
    d.server(PYTHON, "-m", "http.server", "--directory", d.path("www"), port, port=port)
    with d.check("http.server: a large file"):
        loads.get(d, f"http://{d.ip4}:{port}", "10m")
    with d.check("http.server: ab"):
        loads.ab(d, f"http://{d.ip4}:{port}/1k", n=500, clients=10)


@program("Node.js", "nodejs",
         driven="http and https servers, keep-alive agents, streams, cluster of 2 workers, net, dgram, "
         "http2, WebSocket upgrade by hand; ab, wrk, curl, its own fetch")
def node(d):
    loads.files(d)
    script = os.path.join(DRIVERS, "servers.js")
    key, chain, _ = d.certificate()
    port, tls, h2, net, udp = (d.port() for _ in range(5))
    d.server("node", script, "server", port, tls, h2, net, udp, chain, key, d.path("www"), port=net)
    base = f"http://{d.ip4}:{port}"
    for name in ("1k", "10m", "empty"):
        with d.check(f"GET {name}"):
            loads.get(d, base, name)
    with d.check("over IPv6"):
        loads.get(d, f"http://[{d.ip6}]:{port}", "10m")
    with d.check("https: GET"):
        loads.get(d, f"https://{d.ip4}:{tls}", "10m", "-k")
    with d.check("http2: GET"):
        loads.get(d, f"https://{d.ip4}:{h2}", "10m", "-k", "--http2")
    with d.check("http2: h2load"):
        loads.h2load(d, f"https://{d.ip4}:{h2}/1k")
    with d.check("ab, keep-alive"):
        loads.ab(d, f"{base}/1k", "-k")
    with d.check("ab, a connection each"):
        loads.ab(d, f"{base}/1k")
    with d.check("wrk"):
        loads.wrk(d, f"{base}/1k")
    with d.check("PUT 10 MB"):
        d.client("curl", "-sSf", "-T", d.path("www/10m"), f"{base}/put")
        d.same("www/put", "www/10m")
    for what in ("fetch", "agent", "net", "half-open", "dgram", "upgrade", "abort", "time-out", "worker"):
        with d.check(what):
            out = d.client("node", script, "client", d.ip4, port, net, udp, what, d.path("www/10m"))
            d.expect(out.strip().endswith("good"), out[-300:])
    cluster = d.port()
    d.server("node", script, "cluster", cluster, port=cluster, seconds=30)
    with d.check("cluster of two: ab"):
        time.sleep(1)
        loads.ab(d, f"http://{d.ip4}:{cluster}/", n=1000)
    with d.check("cluster of two: wrk"):
        loads.wrk(d, f"http://{d.ip4}:{cluster}/")


@program("Java", "default-jdk-headless", version="java --version",
         driven="a small NIO server with a selector, a server with a thread each, HttpServer, "
         "HttpClient, SocketChannel, transferTo, DatagramChannel, asynchronous channels")
def java(d):
    source = os.path.join(DRIVERS, "Servers.java")
    subprocess.run(["javac", "-d", d.path("classes"), source], check=True, capture_output=True)
    nio, threads, http, udp, asynchronous = (d.port() for _ in range(5))
    loads.files(d)
    command = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", d.path("classes"), "Servers"]
    d.server(*command, "server", nio, threads, http, udp, asynchronous, d.path("www"), port=http, seconds=40)
    for name, port in (("NIO", nio), ("threads", threads), ("asynchronous", asynchronous)):
        for what in ("echo", "large", "many", "channel"):
            with d.check(f"{name}: {what}"):
                out = d.client(*command, "client", d.ip4, port, what, d.path("www/10m"))
                d.expect(out.strip().endswith("good"), out[-300:])
    with d.check("over IPv6"):
        d.expect(d.client(*command, "client", d.ip6, nio, "echo", "-").strip().endswith("good"), "not good")
    with d.check("datagrams"):
        d.expect(d.client(*command, "client", d.ip4, udp, "datagrams", "-").strip().endswith("good"), "not good")
    with d.check("time-outs, refused, reset"):
        out = d.client(*command, "client", d.ip4, nio, "errors", "-")
        d.expect(out.strip().endswith("good"), out[-300:])
    base = f"http://{d.ip4}:{http}"
    with d.check("HttpServer: a large file by transferTo"):
        loads.get(d, base, "10m")
    with d.check("HttpServer: ab"):
        loads.ab(d, f"{base}/1k", "-k")
    with d.check("HttpServer: ab, a connection each"):
        loads.ab(d, f"{base}/1k", n=1000)
    with d.check("HttpClient: 200 requests at once"):
        out = d.client(*command, "client", d.ip4, http, "http", d.path("www/1k"))
        d.expect(out.strip().endswith("good"), out[-300:])


@program(".NET Kestrel",
         driven="ASP.NET Core: HTTP/1.1, HTTP/2, TLS, large answers, uploads, server-sent events, WebSocket; "
         "HttpClient, ab, wrk, h2load", version="dotnet --version")
def kestrel(d):
    loads.files(d)
    built = os.path.join(ROOT, "artifacts/compatibility/kestrel")
    project = os.path.join(DRIVERS, "kestrel")
    if not os.path.exists(f"{built}/kestrel.dll") or os.path.getmtime(f"{built}/kestrel.dll") < max(
            os.path.getmtime(os.path.join(project, n)) for n in os.listdir(project)):
        subprocess.run(["dotnet", "build", project, "-c", "Release", "-o", built, "-nologo", "-v", "q",
                        "-p:UseSharedCompilation=false", "-nodeReuse:false"], check=True, capture_output=True)
    port, tls, clear = d.port(), d.port(), d.port()
    _, _, pem = d.certificate()
    env = {"DOTNET_gcServer": "0", "DOTNET_NOLOGO": "1"}
    d.server("dotnet", f"{built}/kestrel.dll", "server", port, tls, clear, d.path("tls.crt"), d.path("tls.key"),
             d.path("www"), port=clear, seconds=40, env=env)
    time.sleep(0.5)
    base, secure = f"http://{d.ip4}:{port}", f"https://{d.ip4}:{tls}"
    for name in ("1k", "10m", "empty"):
        with d.check(f"GET {name}"):
            loads.get(d, base, name)
    with d.check("over IPv6"):
        loads.get(d, f"http://[{d.ip6}]:{port}", "10m")
    with d.check("TLS: GET"):
        loads.get(d, secure, "10m", "-k", "--http1.1")
    with d.check("HTTP/2: GET"):
        loads.get(d, secure, "10m", "-k", "--http2")
    with d.check("HTTP/2: h2load"):
        loads.h2load(d, f"{secure}/1k")
    with d.check("HTTP/2 in the clear: h2load"):
        loads.h2load(d, f"http://{d.ip4}:{clear}/1k")
    with d.check("ab, keep-alive"):
        loads.ab(d, f"{base}/1k", "-k")
    with d.check("ab, a connection each"):
        loads.ab(d, f"{base}/1k")
    with d.check("wrk"):
        loads.wrk(d, f"{base}/1k")
    with d.check("wrk, large"):
        loads.wrk(d, f"{base}/10m", clients=4, least=5)
    with d.check("PUT 10 MB"):
        d.client("curl", "-sSf", "-T", d.path("www/10m"), f"{base}/up")
        d.same("www/up", "www/10m")
    for what in ("get", "parallel", "post", "events", "websocket", "cancel", "sockets", "poll", "udp"):
        with d.check(f"HttpClient and sockets: {what}"):
            out = d.client("dotnet", f"{built}/kestrel.dll", "client", d.ip4, port, what, env=env)
            d.expect(out.strip().endswith("good"), out[-300:])
