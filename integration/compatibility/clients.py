"""Clients, with nginx as their server."""
import time

import loads
from drive import MB, program
from proxies import back


def serve(d):
    loads.files(d)
    d.random_file("www/100m", 100 * MB)
    port = d.port()
    back(d, port)
    return f"http://{d.ip4}:{port}", port


@program("curl", "curl",
         driven="100 MB, resumed, ranges, rate limit, parallel, time-outs, refused, uploads, raw and by telnet://")
def curl(d):
    base, port = serve(d)
    with d.check("100 MB"):
        loads.get(d, base, "100m")
    with d.check("resumed"):
        with open(d.path("www/100m"), "rb") as whole, open(d.path("got"), "wb") as part:
            part.write(whole.read(30 * MB))
        d.client("curl", "-sSf", "-C", "-", "-o", d.path("got"), f"{base}/100m")
        d.same("got", "www/100m")
    with d.check("--limit-rate"):
        # How fast it is at least says nothing: on the kernel, too, curl is sometimes through after a quarter of a second.
        started = time.monotonic()
        loads.get(d, base, "10m", "--limit-rate", "8M")
        d.expect(time.monotonic() - started < 5, "another rate")
    with d.check("50 in parallel"):
        d.client("curl", "-sSf", "-Z", "--parallel-max", "50", "-o", d.path("p-#1"), f"{base}/1k?[1-50]")
        for i in range(1, 51):
            d.same(f"p-{i}", "www/1k")
    with d.check("20 MB in parallel, each its own connection"):
        d.client("curl", "-sSf", "-Z", "--parallel-immediate", "-o", d.path("q-#1"), f"{base}/10m?[1-8]")
        for i in range(1, 9):
            d.same(f"q-{i}", "www/10m")
    with d.check("200 over one connection"):
        d.client("curl", "-sSf", "-o", d.path("n-#1"), f"{base}/1k?[1-200]")
        d.same("n-200", "www/1k")
    with d.check("refused"):
        d.client("curl", "-sS", f"http://{d.ip4}:9/", status=7)
    with d.check("refused, IPv6"):
        d.client("curl", "-sSg", f"http://[{d.ip6}]:9/", status=7)
    with d.check("-m: out of time"):
        d.client("curl", "-sS", "-m", "0.4", "--limit-rate", "10k", "-o", "/dev/null", f"{base}/100m", status=28)
    with d.check("a source port of ours"):
        loads.get(d, base, "1k", "--local-port", "21000-21100")
    with d.check("a source address of ours"):
        loads.get(d, base, "1k", "--interface", d.from_.ip4 if d.column.wire else "127.0.0.1")
    with d.check("TCP keep-alive, no delay, fast open asked for"):
        loads.get(d, base, "10m", "--keepalive-time", "1", "--tcp-nodelay")
        d.client("curl", "-sSf", "--tcp-fastopen", "-o", d.path("got"), f"{base}/10m")
        d.same("got", "www/10m")
    with d.check("telnet://"):
        out = d.client("curl", "-sS", f"telnet://{d.ip4}:{port}", stdin=d.write("request", "GET /1k HTTP/1.0\r\n\r\n"),
                       status=None)
        d.expect("200 OK" in out, out[:200])
    with d.check("chunked upload refused by the server: 405"):
        d.expect(loads.status(d, "-T", "-", f"{base}/1k", stdin=d.path("www/10m")).startswith("405"), "another status")
    with d.check("happy eyeballs: a name with two addresses"):
        d.client("curl", "-sSf", "--resolve", f"both:{port}:[{d.ip6}],{d.ip4}", "-o", d.path("got"),
                 f"http://both:{port}/1k")
        d.same("got", "www/1k")


@program("wget", "wget", driven="100 MB, resumed, recursive, rate limit, time-outs, refused")
def wget(d):
    base, _ = serve(d)
    for i in range(20):
        d.random_file(f"www/tree/{i}", 30_000)
    d.write("www/tree/index.html", "".join(f'<a href="{i}">x</a>' for i in range(20)))
    with d.check("100 MB"):
        d.client("wget", "-q", "-O", d.path("got"), f"{base}/100m")
        d.same("got", "www/100m")
    with d.check("resumed"):
        with open(d.path("www/100m"), "rb") as whole, open(d.path("100m"), "wb") as part:
            part.write(whole.read(30 * MB))
        d.client("wget", "-q", "-c", "-P", d.world.folder, f"{base}/100m")
        d.same("100m", "www/100m")
    with d.check("recursive"):
        d.client("wget", "-q", "-r", "-np", "-nH", "-P", d.path("copy"), f"{base}/tree/")
        for i in range(20):
            d.same(f"copy/tree/{i}", f"www/tree/{i}")
    with d.check("--limit-rate"):
        d.client("wget", "-q", "--limit-rate=8m", "-O", d.path("got"), f"{base}/10m")
        d.same("got", "www/10m")
    with d.check("refused"):
        d.client("wget", "-q", "-t", 1, f"http://{d.ip4}:9/", status=4)
    with d.check("404"):
        d.client("wget", "-q", f"{base}/none", status=8)
    with d.check("IPv4 only, no keep-alive"):
        d.client("wget", "-q", "-4", "--no-http-keep-alive", "-O", d.path("got"), f"{base}/10m")
        d.same("got", "www/10m")


@program("ab", "apache2-utils", driven="1 to 200 clients, keep-alive and not, large answers, POST, time limit")
def ab(d):
    base, _ = serve(d)
    for clients in (1, 50, 200):
        with d.check(f"{clients} clients, keep-alive"):
            loads.ab(d, f"{base}/1k", "-k", clients=clients)
        with d.check(f"{clients} clients, a connection each"):
            loads.ab(d, f"{base}/1k", clients=clients)
    with d.check("large answers"):
        loads.ab(d, f"{base}/10m", n=30, clients=5)
    with d.check("for one second"):
        out = d.client("ab", "-q", "-t", 1, "-c", 10, "-k", f"{base}/1k")
        d.expect("Failed requests:        0" in out, out[-300:])
    with d.check("refused"):
        d.client("ab", "-q", "-n", 1, f"http://{d.ip4}:9/", status=111)


@program("wrk", "wrk", driven="1 to 400 connections, threads, Lua pipelining, large answers, refused")
def wrk(d):
    base, _ = serve(d)
    pipeline = d.write("pipeline.lua", """init = function()
  local r = {}
  for i = 1, 16 do r[i] = wrk.format(nil, "/1k") end
  req = table.concat(r)
end
request = function() return req end
""")
    for clients in (1, 100, 400):
        with d.check(f"{clients} connections"):
            loads.wrk(d, f"{base}/1k", clients=clients)
    with d.check("2 threads"):
        loads.wrk(d, f"{base}/1k", "-t2")
    with d.check("16 requests in a pipeline"):
        loads.wrk(d, f"{base}/1k", "-s", pipeline)
    with d.check("large answers"):
        loads.wrk(d, f"{base}/10m", clients=4, least=5)
    with d.check("Connection: close"):
        loads.wrk(d, f"{base}/1k", "-H", "Connection: close")
    with d.check("latency histogram"):
        d.expect("99%" in loads.wrk(d, f"{base}/1k", "--latency"), "no histogram")
    with d.check("refused"):
        out = d.said("wrk", "-t1", "-c1", "-d1s", f"http://{d.ip4}:9/", status=1)
        d.expect("unable to connect" in out, out[-200:])


@program("h2load", "nghttp2-client", "nghttp2-server", driven="HTTP/1.1, HTTP/2 in the clear and over TLS, many streams, threads, rate; "
         "nghttpd as the server, nghttp as a client with priorities")
def h2load(d):
    base, _ = serve(d)
    key, chain, _ = d.certificate()
    clear, tls = d.port(), d.port()
    d.server("nghttpd", "--no-tls", "-d", d.path("www"), "-n", 2, clear, port=clear)
    d.server("nghttpd", "-d", d.path("www"), "-n", 2, tls, key, chain, port=tls)
    with d.check("HTTP/1.1"):
        loads.h2load(d, f"{base}/1k", "--h1")
    for name, url in (("clear", f"http://{d.ip4}:{clear}"), ("TLS", f"https://{d.ip4}:{tls}")):
        with d.check(f"{name}"):
            loads.h2load(d, f"{url}/1k")
        with d.check(f"{name}: 100 clients, 50 streams"):
            loads.h2load(d, f"{url}/1k", "-c", 100, "-m", 50, n=5000)
        with d.check(f"{name}: 2 threads"):
            loads.h2load(d, f"{url}/1k", "-t", 2)
        with d.check(f"{name}: large"):
            loads.h2load(d, f"{url}/10m", n=20)
        with d.check(f"{name}: small windows"):
            loads.h2load(d, f"{url}/10m", "-c", 2, "-w", 14, "-W", 14, n=4)
        with d.check(f"{name}: nghttp"):
            d.client("sh", "-c", f"nghttp -y {url}/10m 2>/dev/null >{d.path('got')}")
            d.same("got", "www/10m")
    with d.check("10 connections a second for a second"):
        out = d.client("h2load", "-n", 20, "-c", 20, "-r", 10, f"http://{d.ip4}:{clear}/1k")
        d.expect("20 succeeded" in out, out[-300:])
