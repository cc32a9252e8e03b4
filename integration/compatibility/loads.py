"""Loads that several servers get, and what must come out of them."""
import re

from drive import MB


def files(d):
    """What a web server has to serve."""
    d.random_file("www/1k", 1024)
    d.random_file("www/10m", 10 * MB)
    d.random_file("www/empty", 0)
    d.write("www/text.html", "some words that are said again\n" * 4000)


def get(d, url, name, *more):
    """A file over HTTP, compared with what it is on the disk."""
    d.client("curl", "-sSf", "-g", "-o", d.path("got"), *more, url + "/" + name)
    d.same("got", "www/" + name)


def status(d, *arguments, **more):
    return d.client("curl", "-sSg", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", *arguments, **more).strip()


def ab(d, url, *more, n=2000, clients=20):
    out = d.client("ab", "-q", "-n", n, "-c", clients, *more, url)
    counts = {key: int(value) for key, value in re.findall(r"(Complete|Failed|Non-2xx) \w+: +(\d+)", out)}
    d.expect(counts.get("Complete") == n and not counts.get("Failed") and not counts.get("Non-2xx"),
             f"ab {more}: {counts or out[-300:]}")
    return out


def wrk(d, url, *more, seconds=1, clients=32, least=100, broken=False):
    out = d.client("wrk", "-t1", f"-c{clients}", f"-d{seconds}s", *more, url)
    d.expect(int(re.search(r"(\d+) requests in", out).group(1)) >= least, out[-300:])
    d.expect("Non-2xx" not in out and (broken or "Socket errors" not in out), out[-300:])
    return out


def h2load(d, url, *more, n=2000):
    out = d.client("h2load", "-n", n, "-c", 10, "-m", 20, *more, url)
    found = re.search(r"requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed", out)
    d.expect(found and int(found.group(2)) == n and found.group(3) == "0", out[-400:])
    return out


def no_errors(d, name, pattern=r"\[(alert|emerg|crit|error)\]"):
    """Nothing bad in a server's log."""
    with open(d.path(name), encoding="utf-8", errors="replace") as f:
        bad = [line for line in f if re.search(pattern, line)]
    d.expect(not bad, f"{len(bad)} lines in {name}: {bad[:1]}")


def web(d, port, tls=None, closes=False):
    """What every web server is asked. `closes`: it ends kept connections whenever it likes, on the kernel too."""
    base, base6 = f"http://{d.ip4}:{port}", f"http://[{d.ip6}]:{port}"
    for name in ("1k", "10m", "empty", "text.html"):
        with d.check(f"GET {name}"):
            get(d, base, name)
    with d.check("GET over IPv6"):
        get(d, base6, "10m")
    with d.check("404"):
        d.expect(status(d, f"{base}/none") == "404 1.1", "another status")
    with d.check("HEAD"):
        d.expect("10485760" in d.client("curl", "-sSI", f"{base}/10m"), "no length")
    with d.check("a range"):
        d.client("curl", "-sSf", "-r", "1000000-1999999", "-o", d.path("got"), f"{base}/10m")
        with open(d.path("got"), "rb") as got, open(d.path("www/10m"), "rb") as whole:
            whole.seek(1_000_000)
            d.expect(got.read() == whole.read(1_000_000), "another range")
    with d.check("20 files over one connection"):
        d.client("curl", "-sSf", "-o", d.path("many-#1"), f"{base}/1k?[1-20]")
        d.same("many-20", "www/1k")
    with d.check("10 files in parallel"):
        d.client("curl", "-sSf", "-Z", "-o", d.path("parallel-#1"), f"{base}/10m?[1-10]")
        for i in range(1, 11):
            d.same(f"parallel-{i}", "www/10m")
    with d.check("HTTP/1.0"):
        get(d, base, "1k", "-0")
    with d.check("ab, keep-alive"):
        ab(d, f"{base}/1k", "-k")
    with d.check("ab, a connection each"):
        ab(d, f"{base}/1k")
    with d.check("wrk, 32 connections"):
        wrk(d, f"{base}/1k", broken=closes)
    with d.check("wrk, large files"):
        wrk(d, f"{base}/10m", clients=4, least=5)
    with d.check("a client that leaves in the middle"):
        d.client("curl", "-sS", "-m", "0.3", "--limit-rate", "100k", "-o", "/dev/null", f"{base}/10m", status=28)
        get(d, base, "1k")
    if tls:
        secure = f"https://{d.ip4}:{tls}"
        with d.check("TLS: GET"):
            get(d, secure, "10m", "-k")
        with d.check("TLS 1.2: GET"):
            get(d, secure, "10m", "-k", "--tls-max", "1.2")
        with d.check("TLS: ab, a connection each"):
            ab(d, f"{secure}/1k", n=200)
        with d.check("TLS: wrk"):
            wrk(d, f"{secure}/1k", broken=closes)
