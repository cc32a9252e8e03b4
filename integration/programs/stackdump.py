"""What stackdump says of programs that run, are stopped, or have gone to the kernel."""
import json
import os
import signal
import subprocess

from .harness import STACKDUMP, case
from .redis import Redis

VERBS = ("stacks", "sockets", "netstat", "queues", "timers", "packets", "filters", "links", "nic", "stats", "options",
         "lots")


def dump(c, *args, status=0):
    done = subprocess.run([STACKDUMP, *map(str, args), "--json"], capture_output=True, timeout=20, check=False)
    c.expect(done.returncode == status, f"stackdump {args} ended with {done.returncode}: {done.stderr.decode()[-200:]}")
    return json.loads(done.stdout) if status == 0 else None


def is_stopped(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(") ")[2].startswith("T")


@case("stackdump", moves=200_000, columns=("accel",))
def live_and_stopped(c):
    r = Redis(c)
    load = c.start("redis-benchmark", "-p", r.port, "-t", "get", "-c", "20", "-n", "100000000", "-q")
    c.eventually(lambda: int(r.info("connected_clients")) > 20, "the clients do not get through")
    server = r.child.pid
    c.expect(any(p["pid"] == server for s in dump(c) for p in s["processes"]), "the server's stack is not shown")
    sockets = dump(c, "sockets", server)
    connected = [s for s in sockets if s["state"] == "ESTAB"]
    c.expect(len(connected) >= 20, f"{len(connected)} of 20 connections are shown")
    c.expect(all(s["path"] == "local" for s in connected), f"not all shown as local: {connected[0]}")
    c.expect(all(s["local"] == f"127.0.0.1:{r.port}" for s in connected), "a connection is shown under another name")
    c.expect(any(s["state"] == "LISTEN" for s in sockets), "the listener is not shown")
    theirs = {s["local"] for s in dump(c, "sockets", load.pid) if s["state"] == "ESTAB"}
    c.expect(theirs <= {s["peer"] for s in dump(c, "sockets", server)}, "client's and server's names do not match")
    counters = dump(c, "stats", server)[0]["counters"]
    c.expect(counters["local_accepts"] >= 20 and counters["kernel_accepts"] == 0, f"counters: {counters}")
    fd = connected[0]["holders"][0]["fd"]
    one = dump(c, "socket", f"{server}:{fd}")
    c.expect(one["summary"]["local"] == connected[0]["local"], f"socket {fd} is shown as {one['summary']}")
    c.expect(any(o["name"] == "ACCEL_SPIN_US" for o in dump(c, "options", server)[0]["options"]), "no ACCEL_SPIN_US")

    r.child.kill(signal.SIGSTOP)
    c.eventually(lambda: is_stopped(server), "the server does not stop")
    # Not before: it opens files of its own in passing.
    before = os.listdir(f"/proc/{server}/fd")
    states = {p["pid"]: p["state"] for s in dump(c) for p in s["processes"]}
    stopped = dump(c, "sockets", server)
    after = os.listdir(f"/proc/{server}/fd")
    r.child.kill(signal.SIGCONT)
    c.expect(states.get(server) == "stopped", f"a stopped server is shown as {states.get(server)}")
    c.expect(len(stopped) == len(sockets), f"{len(stopped)} sockets while stopped, {len(sockets)} before")
    c.expect(after == before, f"stackdump has changed the process: {before} before, {after} after")
    c.expect(r.cli("PING") == "PONG", "the server does not go on")
    dump(c, "sockets", os.getpid(), status=1)

    some = dump(c, "sockets", server, "state", "established", "and", "sport", r.port)
    c.expect(len(some) == len(connected), f"{len(some)} sockets match, {len(connected)} are established")
    c.expect(not dump(c, "sockets", "path kernel and pid", server), "a socket on the kernel is shown")
    dump(c, "sockets", "state", "nix", status=1)
    saved = c.path("saved")
    dump(c, "save", saved, server)
    load.kill()
    r.child.kill(signal.SIGKILL)
    r.child.wait(5)
    dump(c, "sockets", server, status=1)
    offline = dump(c, "--from", saved, "sockets", server, "state established")
    c.expect(len(offline) == len(connected), f"{len(offline)} sockets are in the file, not {len(connected)}")
    for verb in VERBS:
        c.expect(dump(c, "--from", saved, verb) is not None, f"{verb} shows nothing of the file")


@case("stackdump-kernel", moves=20_000, columns=("accel-server",))
def on_the_kernel(c):
    """A plain client's connection is shown with its names, and with the reason why it is not accelerated."""
    r = Redis(c)
    load = c.start("redis-benchmark", "-p", r.port, "-t", "get", "-c", "5", "-n", "100000000", "-q")
    c.eventually(lambda: int(r.info("connected_clients")) > 5, "the clients do not get through")
    plain = [s for s in dump(c, "sockets", r.child.pid) if s["state"] == "ESTAB"]
    load.kill()
    c.expect(len(plain) >= 5, f"{len(plain)} of 5 connections are shown")
    c.expect(all(s["path"] == "kernel" and "not accelerated" in s["why"] for s in plain), f"shown as {plain[0]}")
    c.expect(all(s["local"] == f"127.0.0.1:{r.port}" for s in plain), f"shown as {plain[0]}")
