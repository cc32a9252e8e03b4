"""Debian's nginx (a master that forks workers) with wrk and curl."""
import os
import re
import signal
import time

from .harness import DRIVERS, PYTHON, case, free_port
from .http import MB, digest, random_file


def configure(c, workers=1, user="root", daemon="off"):
    port = free_port()
    os.makedirs(c.path("www"), exist_ok=True)
    os.chmod(c.folder, 0o755)
    with open(c.path("www/1k"), "wb") as f:
        f.write(b"x" * 1024)
    user = f"user {user};" if os.geteuid() == 0 else ""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {c.folder}/{kind};" for kind in kinds)
    with open(c.path("nginx.conf"), "w", encoding="ascii") as f:
        f.write(f"""daemon {daemon}; worker_processes {workers}; {user} pid {c.folder}/pid;
events {{ worker_connections 1024; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; {temporary}
server {{ listen 127.0.0.1:{port}; root {c.folder}/www; }} }}
""")
    return port, ["nginx", "-p", c.folder, "-c", c.path("nginx.conf"), "-e", c.path("error.log")]


def serve(c, workers=1, user="root"):
    port, command = configure(c, workers, user)
    return c.server(*command, port=port), port


def wrk(c, port, *extra, seconds=1):
    return c.client("wrk", "-t1", "-c32", f"-d{seconds}s", *extra, f"http://127.0.0.1:{port}/1k")


def check(c, out):
    c.expect("Socket errors" not in out and "Non-2xx" not in out, f"wrk: {out[-300:]}")
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    c.expect(requests > 1000, f"only {requests} requests")


def no_alerts(c):
    with open(c.path("error.log"), encoding="utf-8", errors="replace") as f:
        bad = [line for line in f if re.search(r"\[(alert|emerg|crit|error)\]", line)]
    c.expect(not bad, f"nginx: {bad[:1]}")


@case("nginx-keep-alive", moves=3_000_000)
def keep_alive(c):
    _, port = serve(c)
    check(c, wrk(c, port))
    no_alerts(c)


@case("nginx-2-workers", moves=3_000_000, columns=("kernel", "accel"))
def two_workers(c):
    _, port = serve(c, workers=2)
    check(c, wrk(c, port))
    no_alerts(c)


@case("nginx-close", moves=1_000_000)
def short_connections(c):
    _, port = serve(c)
    out = wrk(c, port, "-H", "Connection: close")
    c.expect("Non-2xx" not in out, f"wrk: {out[-300:]}")
    c.expect(int(re.search(r"(\d+) requests in", out).group(1)) > 1000, f"wrk: {out[-300:]}")
    failed = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    c.expect(not failed or failed.groups() == ("0", "0", "0", "0"), f"wrk: {failed and failed.group(0)}")
    no_alerts(c)


@case("nginx-sendfile", moves=20 * MB)
def large_file(c):
    _, port = serve(c)
    wanted = random_file(c.path("www/large"), 20 * MB)
    c.client("curl", "-sSf", "-o", c.path("got"), f"http://127.0.0.1:{port}/large")
    c.expect(digest(c.path("got")) == wanted, "the file that came is another one")
    no_alerts(c)


@case("nginx-reload", moves=3_000_000)
def reload(c):
    """New workers take over the listener while requests go on; no request fails."""
    master, port = serve(c)
    load = c.start("wrk", "-t1", "-c16", "-d2s", f"http://127.0.0.1:{port}/1k")
    for _ in range(2):
        time.sleep(0.5)
        master.kill(signal.SIGHUP)
    c.expect(load.wait(15) == 0, f"wrk: {load.said()}")
    c.expect("Non-2xx" not in load.output(), f"wrk: {load.output()[-300:]}")
    check(c, wrk(c, port))
    no_alerts(c)


def pid_in(path):
    try:
        with open(path, encoding="ascii") as f:
            return int(f.read())
    except (OSError, ValueError):
        return None


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@case("nginx-binary-upgrade", moves=3_000_000)
def binary_upgrade(c):
    """USR2, WINCH, QUIT under load: a new binary takes the listeners over, no request fails."""
    port, command = configure(c, workers=2, daemon="on")
    masters = set()
    try:
        launched = c.server(*command)
        c.eventually(lambda: pid_in(c.path("pid")), launched.said)
        c.expect(launched.wait(5) == 0, f"nginx: {launched.said()}")
        for _ in range(2):
            old = pid_in(c.path("pid"))
            masters.add(old)
            short = c.start(PYTHON, os.path.join(DRIVERS, "one_by_one.py"), "127.0.0.1", port, 2.5)
            load = c.start("wrk", "-t1", "-c16", "-d2s", f"http://127.0.0.1:{port}/1k")
            time.sleep(0.4)
            os.kill(old, signal.SIGUSR2)
            c.eventually(lambda: pid_in(c.path("pid.oldbin")) == old and pid_in(c.path("pid")) not in (None, old),
                         "no new master")
            masters.add(pid_in(c.path("pid")))
            time.sleep(0.4)
            os.kill(old, signal.SIGWINCH)
            time.sleep(0.4)
            os.kill(old, signal.SIGQUIT)
            c.eventually(lambda: gone(old), "the old master does not go")
            c.expect(load.wait(15) == 0, f"wrk: {load.said()}")
            # Idle connections of the old workers end, which wrk counts as reads.
            failed = re.search(r"Socket errors: connect (\d+), read \d+, write (\d+), timeout (\d+)", load.output())
            c.expect("Non-2xx" not in load.output() and (not failed or failed.groups() == ("0", "0", "0")),
                     f"wrk: {load.output()[-300:]}")
            c.expect(short.wait(15) == 0, f"one by one: {short.said()}")
        check(c, wrk(c, port))
        no_alerts(c)
    finally:
        masters.update(pid for pid in (pid_in(c.path("pid")), pid_in(c.path("pid.oldbin"))) if pid)
        for how in (signal.SIGTERM, signal.SIGKILL):
            for pid in masters:
                if not gone(pid):
                    os.kill(pid, how)
            time.sleep(0.3)


@case("nginx-other-user", moves=None, columns=("kernel", "accel"))
def other_user(c):
    """As packaged, the worker gives up root. Its clients must get answers, on whichever path."""
    _, port = serve(c, user="www-data")
    check(c, wrk(c, port))
    no_alerts(c)
