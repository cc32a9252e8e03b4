"""What accelstat says of programs, beside what these say of themselves; and of ones that are stopped, dead or spoilt."""
import glob
import json
import os
import random
import signal
import subprocess
import time

from .harness import ROOT, Child, case
from .redis import Redis

ACCELSTAT = os.path.join(ROOT, "artifacts/bin/Accel.Stat/release/accelstat")
REQUEST = len("*2\r\n$3\r\nGET\r\n$16\r\nkey:__rand_int__\r\n")


def accelstat(c, *args, status=0):
    done = subprocess.run([ACCELSTAT, *map(str, args)], capture_output=True, timeout=20, check=False)
    c.expect(done.returncode == status, f"accelstat {args} ended with {done.returncode}: {done.stderr.decode()[-200:]}")
    return done.stdout.decode() if status == 0 else done.stderr.decode()


def stack(c, pid):
    """The one stack of a process, as JSON."""
    found = json.loads(accelstat(c, pid, "--once", "--json"))["stacks"]
    c.expect(len(found) == 1, f"{len(found)} stacks of process {pid}")
    return found[0]


@case("accelstat", moves=500_000, columns=("accel",))
def agrees(c):
    r = Redis(c)
    n = 10_000 if c.quick else 40_000
    before = stack(c, r.child.pid)["totals"]
    c.client("redis-benchmark", "-p", r.port, "-t", "get", "-c", "20", "-n", n, "-q")
    c.eventually(lambda: stack(c, r.child.pid)["totals"]["local"] == 0, "connections of an ended client stay")
    after = stack(c, r.child.pid)["totals"]
    moved = {name: after[name] - before[name] for name in after}
    # The benchmark asks for the server's configuration first, over a connection of its own.
    c.expect(n < moved["calls_in"] <= n + 3 and n < moved["calls_out"] <= n + 3, f"{n} requests are shown as {moved}")
    c.expect(n * REQUEST < moved["bytes_in"] < n * REQUEST + 200, f"{n * REQUEST} bytes are shown as {moved}")
    c.expect(moved["accepts"] == 21 and moved["retransmits"] == moved["drops"] == 0, f"shown: {moved}")
    c.expect(moved["cpu"] > 0 and moved["spin"] + moved["useful"] == moved["cpu"], f"times: {moved}")
    # What the server has counted itself, to the byte: INFO is the last that it has read.
    told = int(r.info("total_net_input_bytes"))
    shown = stack(c, r.child.pid)["totals"]["bytes_in"]
    c.expect(shown == told, f"the server has read {told} bytes, shown are {shown}")


@case("accelstat-rates", moves=None, columns=("accel",))
def rates(c):
    """Once it runs, what lines and CSV show are rates; a kernel client's connection has its reason."""
    r = Redis(c)
    c.start("redis-benchmark", "-p", r.port, "-t", "get", "-c", "10", "-n", "100000000", "-q")
    c.start("redis-benchmark", "-p", r.port, "-t", "get", "-c", "3", "-n", "100000000", "-q", accelerated=False)
    c.eventually(lambda: stack(c, r.child.pid)["totals"]["kernel"] >= 3, "the kernel's connections are not shown")
    c.expect(any("not accelerated" in why for why in stack(c, r.child.pid)["kernel_reasons"]), "no reason is shown")
    lines = accelstat(c, r.child.pid, "--csv", "-i", "0.3", "-n", "2").splitlines()
    rows = [dict(zip(lines[0].split(","), line.split(","))) for line in lines[1:]]
    c.expect(len(rows) == 2, f"{len(rows)} rows of 2")
    for row in rows:
        c.expect(float(row["calls_in"]) > 100 and row["process"] == "redis-server", f"shown: {row}")
        c.expect(0 < float(row["cpu_ns"]) < 8e9 and float(row["spin_ns"]) <= float(row["cpu_ns"]) * 1.2 + 1e7,
                 f"shown: {row}")
    c.expect("redis-server" in accelstat(c, r.child.pid, "-i", "0.2", "-n", "1"), "no line for the server")


@case("accelstat-stopped", moves=200_000, columns=("accel",))
def stopped(c):
    """A process that is stopped is shown as such, one that is killed as gone, nonsense as it stands."""
    r = Redis(c)
    c.start("redis-benchmark", "-p", r.port, "-t", "get", "-c", "20", "-n", "100000000", "-q")
    c.eventually(lambda: stack(c, r.child.pid)["totals"]["local"] >= 20, "the clients do not get through")
    watching = Child(c.folder, [ACCELSTAT, str(r.child.pid), "-i", "0.1", "--csv"], False)
    c.children.append(watching)
    r.child.kill(signal.SIGSTOP)
    time.sleep(0.3)
    first, second = stack(c, r.child.pid), stack(c, r.child.pid)
    c.expect(first["processes"][0]["state"] == "stopped", f"shown as {first['processes']}")
    c.expect(first["totals"]["calls_out"] == second["totals"]["calls_out"] > 0, "a stopped process sends")
    regions = [os.path.join(f"/proc/{r.child.pid}/fd", fd) for fd in os.listdir(f"/proc/{r.child.pid}/fd")
               if os.readlink(os.path.join(f"/proc/{r.child.pid}/fd", fd)).startswith("/memfd:accel-")]
    c.expect(len(regions) >= 2, f"regions: {regions}")
    noise = random.Random(1)
    for region in regions:
        # All that is not the header, then that too. Nobody but the dead uses it after this.
        with open(region, "r+b") as f:
            for at in range(128, 1 << 20, 4096):
                f.seek(at)
                f.write(noise.randbytes(3968))
    accelstat(c, "--once")
    accelstat(c, "--once", "--json")
    for region in regions:
        with open(region, "r+b") as f:
            f.write(noise.randbytes(128))
    said = accelstat(c, r.child.pid, "--once", status=1)
    c.expect("no stack" in said or "not an Accel region" in said, f"of a spoilt region it says {said}")
    r.child.kill(signal.SIGKILL)
    c.expect(watching.wait(5) == 1, "accelstat of a killed process does not end")
    c.expect("has gone" in watching.errors(), f"accelstat of a killed process says {watching.errors()[-200:]}")
    accelstat(c, "--once")


@case("diagnostics-off", moves=None, columns=("accel",))
def no_port(c):
    """No thread and no port for diagnostics, without the option nor with it: its log lies in the stack's region."""
    threads = {}
    for name, extra in (("kernel", None), ("off", "ACCEL_DIAGNOSTICS=0"), ("on", "ACCEL_DIAGNOSTICS=1")):
        redis = Redis(c) if extra is None else WithOption(c, extra)
        if extra is None:
            redis.child.end()
            redis = Redis(c, accelerated=False)
        redis.cli("PING", accelerated=extra is not None)
        pid = redis.child.pid
        threads[name] = sorted(open(f"/proc/{pid}/task/{t}/comm", encoding="ascii").read().strip()
                               for t in os.listdir(f"/proc/{pid}/task"))
        ports = glob.glob(f"/tmp/dotnet-diagnostic-{pid}-*")
        with open("/proc/net/unix", encoding="ascii") as f:
            ports += [line for line in f if f"dotnet-diagnostic-{pid}-" in line]
        c.expect(not ports, f"a port for diagnostics with {name}: {ports}")
    c.expect(threads["kernel"] == threads["off"] == threads["on"], f"threads: {threads}")


@case("accelstat-events", moves=None, columns=("accel",))
def events(c):
    """Each connection of a program with ACCEL_DIAGNOSTICS=1, with its bytes; of one without, none."""
    r, silent = WithOption(c, "ACCEL_DIAGNOSTICS=1"), Redis(c)
    watching = Child(c.folder, [ACCELSTAT, "events", "--json", "-t", "3"], False)
    c.children.append(watching)
    time.sleep(1)
    c.expect(r.cli("SET", "k", "v" * 100) == "OK" and r.cli("GET", "k") == "v" * 100, "the server does not answer")
    c.expect(silent.cli("PING") == "PONG", "the other server does not answer")
    r.cli("PING", accelerated=False)
    c.expect(watching.wait(15) == 0, f"accelstat events: {watching.said()}")
    told = [json.loads(line) for line in watching.output().splitlines()]
    mine = [e for e in told if e.get("pid") == r.child.pid]
    name = f"127.0.0.1:{r.port}"
    opened = [e for e in mine if e["event"] == "opened" and e["accepted"] and (e["local"], e["path"]) == (name, "local")]
    closed = [e for e in mine if e["event"] == "closed" and e["local"] == name]
    c.expect(len(opened) == 2 and {e["peer"] for e in opened} == {e["peer"] for e in closed}, f"told: {mine}")
    # Values and commands as RESP has them: "$100..." and its answer.
    c.expect(sorted(e["bytes_sent"] for e in closed) == [5, 108], f"told: {closed}")
    kernel = [e for e in mine if e["event"] == "path" and e["path"] == "kernel"]
    c.expect(any("not accelerated" in e["why"] for e in kernel), f"told of the kernel's connection: {kernel}")
    c.expect(not [e for e in told if e.get("pid") == silent.child.pid], "a stack that was not asked to tells")


class WithOption(Redis):
    """The same server with an option in its environment."""

    def __init__(self, c, option):
        self._option = option
        server = c.server
        c.server = lambda *argv, **more: server("env", option, *argv, **more)
        try:
            super().__init__(c)
        finally:
            c.server = server
