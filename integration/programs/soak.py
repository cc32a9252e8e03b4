"""Loads on redis, nginx and memcached, clients and servers killed at random; at the end nothing may be left over."""
import json
import os
import random
import signal
import subprocess
import time

from . import harness, nginx
from .harness import STACKDUMP, Context, Failure, free_port
from .redis import Redis

MUST_STAY_ZERO = ("wakes_missed", "corrupt_neighbour", "no_buffers", "no_sockets", "no_doorbells")
COLUMN = harness.Column("accel", True, True)


class Service:
    """A server that is always there again: how it is started, and what loads it."""

    def __init__(self, name, start, load):
        self.name, self._start, self.load = name, start, load
        self.server, self.port = start()

    def restart(self):
        self.server.kill()
        self.server.end()
        self.server, self.port = self._start()


def services(c):
    def start_redis():
        r = Redis(c)
        return r.child, r.port

    def start_memcached():
        port = free_port()
        user = ["-u", "root"] if os.geteuid() == 0 else []
        return c.server("memcached", *user, "-l", "127.0.0.1", "-p", port, "-U", "0", port=port), port

    def load_redis(port, rng):
        return ["redis-benchmark", "-p", port, "-t", "get,set", "-c", rng.choice([1, 20, 200]),
                "-P", rng.choice([1, 16]), "-n", rng.choice([2000, 50_000, 10_000_000]),
                "-d", rng.choice([3, 1000, 20_000]), "-q", "-k", rng.choice([0, 1, 1, 1])]

    def load_nginx(port, rng):
        return ["wrk", "-t1", f"-c{rng.choice([1, 16, 100])}", f"-d{rng.choice([1, 3])}s",
                f"http://127.0.0.1:{port}/1k", *rng.choice([[], ["-H", "Connection: close"]])]

    def load_memcached(port, rng):
        return [harness.PYTHON, os.path.join(harness.DRIVERS, "memcached_values.py"), port, rng.choice([200, 2000])]

    return [Service("redis", start_redis, load_redis), Service("nginx", lambda: nginx.serve(c), load_nginx),
            Service("memcached", start_memcached, load_memcached)]


def family(pid):
    """The process and its children: nginx works in a forked one."""
    members = [pid]
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as f:
                    parent = int(f.read().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            if parent == pid:
                members.append(int(entry))
    return members


def held(service):
    """What a leak would make grow: descriptors, memory, and what the stack's tables have in use."""
    # Shared memory is judged by what is in use of it: rings stay where they are for the next connection.
    descriptors = memory = 0
    for pid in family(service.server.pid):
        descriptors += len(os.listdir(f"/proc/{pid}/fd"))
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as f:
            memory += next((int(line.split()[1]) for line in f if line.startswith("RssAnon")), 0)
    found = {"descriptors": descriptors, "memory_kb": memory}
    if os.path.exists(STACKDUMP):
        command = [STACKDUMP, "stats", str(service.server.pid), "--json"]
        out = subprocess.run(command, capture_output=True, timeout=20, check=False)
        for stack in json.loads(out.stdout or "[]"):
            found.update({name: stack["counters"][name] for name in MUST_STAY_ZERO})
            for name, table in stack["tables"].items():
                found[name] = table["in_use"] if isinstance(table, dict) else table
    return found


def settled(service, seconds):
    """What the service holds once its clients are gone and the dead have been noticed: the least of several looks."""
    least = held(service)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.2)
        least = {key: min(least.get(key, value), value) for key, value in held(service).items()}
    return least


def compare(service, before, after):
    slack = {"descriptors": 2, "memory_kb": 16_384, "buffer_bytes_ever_used": 1 << 40, "buffer_bytes_in_use": 1 << 17}
    bad = [f"{service.name}: {key} is {after[key]}" for key in MUST_STAY_ZERO if after.get(key, 0) > 0]
    return bad + [f"{service.name}: {key} {before[key]} half-way, {value} at the end"
            for key, value in after.items() if key in before and value > before[key] + slack.get(key, 2)]


def load(c, running, seconds, rng, counts, kill_servers):
    """Four clients at a time, some of them killed; and servers, if asked for."""
    clients = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        clients = [child for child in clients if child.running]
        while len(clients) < 4:
            service = rng.choice(running)
            clients.append(c.start(*service.load(service.port, rng)))
            counts["loads"] += 1
        time.sleep(rng.uniform(0.02, 0.3))
        if rng.random() < 0.25:
            rng.choice(clients).kill()
            counts["clients killed"] += 1
        if kill_servers and rng.random() < 0.05:
            rng.choice(running).restart()
            counts["servers killed"] += 1
        for service in running:
            c.expect(service.server.running, f"{service.name} ended: {service.server.said()}")
        forget(c, running)
    for child in clients:
        child.kill(rng.choice([signal.SIGKILL, signal.SIGTERM]))
        child.wait(10)


def go(c, seconds, rng):
    running = services(c)
    counts = {"loads": 0, "clients killed": 0, "servers killed": 0}
    moved = harness.loopback_bytes()
    load(c, running, seconds / 2, rng, counts, kill_servers=True)
    # From here on the servers stay, so that what they hold can be compared. A first load brings them to working size.
    load(c, running, min(10, seconds / 4), rng, counts, kill_servers=False)
    before = [settled(service, 1) for service in running]
    load(c, running, max(seconds / 2 - 10, seconds / 4), rng, counts, kill_servers=False)
    after = [settled(service, 2) for service in running]
    moved = harness.loopback_bytes() - moved
    done = ", ".join(f"{n} {what}" for what, n in counts.items())
    print(f"# {done}; {moved >> 10} KB over the kernel's loopback", flush=True)
    for service, holds in zip(running, after):
        print(f"# {service.name} holds {holds}", flush=True)
    c.expect(moved < counts["loads"] * 100_000, f"{moved} bytes went over the kernel's loopback: not accelerated")
    return [line for s, b, a in zip(running, before, after) for line in compare(s, b, a)]


def forget(c, running):
    """Ended clients are closed here, or the soak itself would leak descriptors."""
    servers = [s.server for s in running]
    for child in [x for x in c.children if x not in servers and not x.running]:
        child.end()
        c.children.remove(child)


def run(seconds, seed):
    seed = seed if seed is not None else random.randrange(1 << 32)
    print(f"# soak of {seconds} s, --seed {seed}", flush=True)
    harness.own_network()
    c = Context(COLUMN, False)
    try:
        wrong = go(c, seconds, random.Random(seed))
    except Failure as failure:
        wrong = [str(failure)]
    finally:
        c.end(keep=False)
    for line in wrong:
        print(f"not ok soak: {line}")
    if not wrong:
        print("ok soak")
    print(f"{0 if wrong else 1} passed, {len(wrong)} failed")
    return 1 if wrong else 0
