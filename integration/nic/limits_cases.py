"""Many connections and many threads of one process, and programs that run under a unit's system call filter."""
import os
import subprocess

from cases import PYTHON, case
from world import ROOT, Failure

LIMITS = os.path.join(ROOT, "artifacts/limits/limits")
SOURCES = os.path.join(ROOT, "integration/limits")


def against_server(w, verb, count, clients):
    os.makedirs(os.path.dirname(LIMITS), exist_ok=True)
    subprocess.run(["gcc", "-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror", "-o", LIMITS,
                    os.path.join(SOURCES, "limits.c"), "-lpthread"], check=True)
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


@case("limits: a server under SystemCallFilter=@system-service", columns=("kernel", "server"))
def filtered(w, column):
    w.a.start([PYTHON, os.path.join(SOURCES, "confined.py"), "--no-exec-memory", "--", "redis-server", "--port", 6379,
               "--save", "", "--protected-mode", "no", "--bind", "*", "--dir", w.folder])
    w.a.wait_listening(6379)
    out = w.b.run(["redis-benchmark", "-h", w.a.ip4, "-t", "set,get", "-n", 5000, "-c", 20, "-q"])
    if out.count("requests per second") < 2:
        raise Failure(f"redis-benchmark: {out[-200:]}")
