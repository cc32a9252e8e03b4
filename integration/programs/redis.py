"""Debian's redis-server, redis-benchmark and redis-cli, unmodified."""
import os
import re
import signal
import time

from .harness import DRIVERS, PYTHON, case, free_port

MB = 1 << 20


class Redis:
    """A redis-server in the case's folder, and its command line client."""

    def __init__(self, c, *extra, port=None, accelerated=None):
        self.c = c
        self.port = port or free_port()
        name = f"redis-{self.port}"
        self.child = c.server(
            "redis-server", "--bind", "127.0.0.1", "--port", self.port, "--dir", c.folder, "--save", "",
            "--appendonly", "no",
            "--dbfilename", f"{name}.rdb", "--daemonize", "no", "--enable-debug-command", "yes", *extra, port=self.port,
            accelerated=accelerated)

    def cli(self, *command, accelerated=None):
        return self.c.client("redis-cli", "-p", self.port, *command, accelerated=accelerated).strip()

    def benchmark(self, *args, seconds=30):
        out = self.c.client("redis-benchmark", "-p", self.port, "--csv", *args, seconds=seconds)
        rows = [row for row in out.strip().splitlines() if not row.startswith('"test"')]
        rates = [float(row.split(",")[1].strip('"')) for row in rows]
        self.c.expect(rates and min(rates) > 0, f"redis-benchmark: {out[-200:]}")
        self.c.expect("rror" not in out, f"redis-benchmark: {out[-200:]}")

    def info(self, field):
        found = re.search(rf"^{field}:(\S*)", self.cli("INFO"), re.MULTILINE)
        self.c.expect(found, f"INFO has no {field}")
        return found.group(1)


@case("redis-get-set", moves=10 * MB)
def get_set(c):
    r = Redis(c)
    for clients in (1, 50, 500):
        for pipeline in (1, 16):
            n = 6000 if clients == 1 and pipeline == 1 else 40000
            r.benchmark("-t", "get,set", "-c", clients, "-P", pipeline, "-n", n if not c.quick else n // 3, "-d", "100")


@case("redis-data", moves=5_000_000)
def data(c):
    r = Redis(c)
    c.driver("redis_data.py", r.port, 100 if c.quick else 400)


@case("redis-bgsave", moves=8 * MB)
def bgsave(c):
    r = Redis(c)
    load = c.start("redis-benchmark", "-p", r.port, "-t", "set", "-c", "50", "-r", "20000", "-n", "10000000",
                   "-d", "400", "-q")
    for _ in range(2 if c.quick else 4):
        time.sleep(0.2)
        # The benchmark goes on while the forked child writes; the child inherits every accelerated socket.
        c.expect("started" in r.cli("BGSAVE"), "BGSAVE did not start")
        c.eventually(lambda: r.info("rdb_bgsave_in_progress") == "0", "BGSAVE did not end", 10)
        c.expect(r.info("rdb_last_bgsave_status") == "ok", "BGSAVE failed")
    c.expect(load.running, f"redis-benchmark ended during BGSAVE: {load.said()}")
    load.kill(signal.SIGTERM)
    c.eventually(lambda: r.info("connected_clients") == "1",
                 lambda: f"{r.info('connected_clients')} clients left of an ended load")
    c.expect("OK" in r.cli("SAVE"), "SAVE failed")
    size = r.cli("DBSIZE")
    r.child.kill()
    again = Redis(c, "--dbfilename", f"redis-{r.port}.rdb", port=r.port)
    c.eventually(lambda: again.info("loading") == "0", "the saved file is still being loaded")
    c.expect(again.cli("DBSIZE") == size, f"{again.cli('DBSIZE')} keys after the restart, {size} before")


@case("redis-replica", moves=8 * MB)
def replica(c):
    main = Redis(c, "--repl-diskless-sync-delay", "0")
    main.benchmark("-t", "set", "-r", "5000", "-n", "10000", "-d", "500", "-P", "16")
    copy = Redis(c, "--replicaof", f"127.0.0.1 {main.port}")
    c.eventually(lambda: copy.info("master_link_status") == "up", "the replica did not get its first copy", 15)
    main.benchmark("-t", "set", "-r", "5000", "-n", "20000", "-d", "300")
    c.eventually(lambda: copy.cli("DEBUG", "DIGEST") == main.cli("DEBUG", "DIGEST"), "the replica differs", 10)
    c.expect(main.info("connected_slaves") == "1", "the main server has lost its replica")


# The plain client's half goes over the loopback in every column, so `accel` would not be told from `accel-server`.
@case("redis-two-clients", moves=300_000, columns=("kernel", "accel-server"))
def two_clients(c):
    """An accelerated and a plain client at once, on one listener."""
    r = Redis(c)
    with open(c.path("commands"), "w", encoding="ascii") as f:
        f.write(("ECHO " + "x" * 400 + "\nINCR counter\n") * 1500)
    both = [c.start("redis-cli", "-p", r.port, stdin=c.path("commands"), accelerated=fast)
            for fast in (c.column.server, False)]
    for child in both:
        c.expect(child.wait(30) == 0, f"{child.name}: {child.said()}")
    c.expect(r.cli("GET", "counter") == "3000", f"counter is {r.cli('GET', 'counter')}, not 3000")


@case("redis-connects", moves=2 * MB)
def connects(c):
    r = Redis(c)
    r.benchmark("-t", "ping_mbulk", "-k", "0", "-c", "1", "-n", "2000")
    before, memory = r.child.descriptors(), r.child.resident_kb()
    n = 5000 if c.quick else 100_000 if c.column.name == "accel" else 10_000
    r.benchmark("-t", "ping_mbulk", "-k", "0", "-c", "1", "-n", n, seconds=45)
    c.eventually(lambda: r.child.descriptors() <= before,
                 lambda: f"{r.child.descriptors()} descriptors, {before} before")
    grown = r.child.resident_kb() - memory
    c.expect(grown < 4096, f"{grown} KB more memory after {n} connections")
    c.expect(int(r.info("total_connections_received")) >= n, "connections were lost")


@case("redis-latency", moves=50_000)
def latency(c):
    r = Redis(c)
    out = c.client("redis-cli", "-p", r.port, "--latency", "--raw", "-i", "1").split()
    c.expect(len(out) == 4 and float(out[2]) < 5 and int(out[3]) > 50, f"redis-cli --latency said: {out}")
    for _ in range(2 if c.quick else 5):
        r.cli("PING")
    r.benchmark("-t", "ping_mbulk", "-n", "1000", "-c", "1")


@case("redis-shutdown", moves=50_000)
def shutdown(c):
    r = Redis(c)
    for _ in range(3):
        r.benchmark("-t", "get", "-n", "1000")
        r.cli("SHUTDOWN", "NOSAVE")
        c.expect(r.child.wait(5) == 0, f"redis-server ended with {r.child.process.poll()}")
        refused = c.client("redis-cli", "-p", r.port, "PING", status=None) + c.children[-1].errors()
        c.expect("refused" in refused, f"after SHUTDOWN a client was told: {refused.strip()}")
        r = Redis(c, port=r.port)


@case("redis-kill-restart", moves=MB)
def kill_restart(c):
    r = Redis(c)
    for _ in range(2 if c.quick else 4):
        load = c.start("redis-benchmark", "-p", r.port, "-t", "get", "-c", "20", "-n", "100000000", "-q")
        watcher = c.start(PYTHON, os.path.join(DRIVERS, "until_closed.py"), r.port)
        c.eventually(lambda: int(r.info("connected_clients")) >= 22, "the clients do not get through")
        time.sleep(0.1)
        killed = time.monotonic()
        r.child.kill()
        c.expect(watcher.wait(5) == 0, f"a waiting client was told: {watcher.said()}")
        seen = float(watcher.output().split()[-1]) - killed
        c.expect(seen < 0.3, f"a waiting client saw the server's death after {seen:.2f} s")
        load.wait(5)
        r = Redis(c, port=r.port)
        c.expect(r.cli("PING") == "PONG", "no PONG from the server that was started again")


@case("redis-no-growth", moves=10 * MB)
def no_growth(c):
    """The same load again and again leaves neither memory nor descriptors behind, killed clients included."""
    r = Redis(c)

    def load():
        r.benchmark("-t", "get,set", "-c", "100", "-n", "20000", "-d", "200", "-P", "4")
        killed = c.start("redis-benchmark", "-p", r.port, "-t", "set", "-c", "100", "-n", "100000000", "-q")
        c.eventually(lambda: int(r.info("connected_clients")) > 90, "the clients do not get through")
        killed.kill()
        killed.wait(5)
        c.eventually(lambda: r.info("connected_clients") == "1", "clients that were killed are still counted")

    load()
    descriptors, memory = r.child.descriptors(), []
    for _ in range(4 if c.quick else 8):
        load()
        memory.append(r.child.resident_kb())
    c.eventually(lambda: r.child.descriptors() <= descriptors,
                 lambda: f"{r.child.descriptors()} descriptors, {descriptors} before")
    # Allocators keep some of what one round needed; a leak is what the least loaded moment does not give back either.
    half = len(memory) // 2
    grown = min(memory[half:]) - min(memory[:half])
    c.expect(grown < 4096, f"{grown} KB more memory after the same load again: {memory}")
