"""Many connections and many threads of one process, and programs that run under a unit's system call filter."""
import json
import os
import subprocess

from cases import PYTHON, case
from world import ROOT, Failure

LIMITS = os.path.join(ROOT, "artifacts/limits/limits")
FORKS = os.path.join(ROOT, "artifacts/limits/forks")
SOURCES = os.path.join(ROOT, "integration/limits")


def build(program):
    os.makedirs(os.path.dirname(program), exist_ok=True)
    source = os.path.join(SOURCES, os.path.basename(program) + ".c")
    subprocess.run(["gcc", "-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror", "-o", program, source, "-lpthread"],
                   check=True)


def against_server(w, verb, count, clients):
    build(LIMITS)
    server = w.a.start([LIMITS, "serve", w.a.ip4, 7000, clients])
    w.a.wait_listening(7000)
    out = w.b.run([LIMITS, verb, w.a.ip4, 7000, count])
    said = server.wait(20)
    if f"{clients} accepted, {clients} ended, 0 of them" not in said:
        raise Failure(f"the server says {said!r}")
    return out


@case("limits: 10,000 connections of one process")
def connections(w, column):
    out = against_server(w, "client", 10_000, 10_000)
    if out.count("10000") != 3:
        raise Failure(f"the client says {out!r}")


@case("limits: 1,000 threads")
def threads(w, column):
    out = against_server(w, "threads", 1000, 1001)
    if out.count("1000 threads") != 3:
        raise Failure(f"the client says {out!r}")


def answered(out, count):
    if out != f"{count} connections, answered in each round: {count} {count} {count} {count}\n":
        raise Failure(f"the clients say {out!r}")


@case("limits: 400 workers of one listener")
def preforked(w, column):
    """Half of the clients come over the interface, half are neighbours of the server."""
    build(FORKS)
    server = w.a.start([FORKS, "prefork", w.a.ip4, 7000, 400])
    w.a.wait_listening(7000)
    clients = [host.start([FORKS, "clients", w.a.ip4, 7000, 200]) for host in (w.a, w.b)]
    for client in clients:
        answered(client.wait(40), 200)
    said = server.wait(20)
    if said != "400 workers, 400 ended well\n":
        raise Failure(f"the server says {said!r}")


@case("limits: a process for each of 300 connections")
def fork_for_each(w, column):
    """When they have gone, what comes next is accelerated again."""
    build(FORKS)
    server = w.a.start([FORKS, "each", w.a.ip4, 7000, 300, 40])
    w.a.wait_listening(7000)
    for count in (300, 20, 20):
        answered(w.b.run([FORKS, "clients", w.a.ip4, 7000, count]), count)
        if count == 300:
            server.wait_for("300 forked, 300 ended well")
    server.wait_for("40 forked, 40 ended well")
    if column.a:
        counters = json.loads(w.a.stackdump("stats", str(server.process.pid), "--json"))[0]["counters"]
        if counters["plain_forks"] == 0 or counters["forks"] + counters["plain_forks"] != 340:
            raise Failure(f"forks: {counters['forks']}, without the stack {counters['plain_forks']}")
        if counters["nic_accepts"] < 250 + 20 or counters["handovers_lost"]:
            raise Failure(f"not accelerated again: {counters}")


@case("limits: a server under SystemCallFilter=@system-service", columns=("kernel", "server"))
def filtered(w, column):
    w.a.start([PYTHON, os.path.join(SOURCES, "confined.py"), "--no-exec-memory", "--", "redis-server", "--port", 6379,
               "--save", "", "--protected-mode", "no", "--bind", "*", "--dir", w.folder])
    w.a.wait_listening(6379)
    out = w.b.run(["redis-benchmark", "-h", w.a.ip4, "-t", "set,get", "-n", 5000, "-c", 20, "-q"])
    if out.count("requests per second") < 2:
        raise Failure(f"redis-benchmark: {out[-200:]}")
