"""What happens at the limits of a process and of its machine: as on the kernel, or a connection of the kernel's."""
import contextlib
import os
import subprocess

from .harness import PYTHON, ROOT, case, free_port
from .http import MB
from .stackdump import dump

LIMITS = os.path.join(ROOT, "artifacts/limits/limits")
FORKS = os.path.join(ROOT, "artifacts/limits/forks")
SOURCES = os.path.join(ROOT, "integration/limits")
CONFINED = os.path.join(SOURCES, "confined.py")
GROUPS = "/sys/fs/cgroup"
BOTH = ("kernel", "accel")


def build():
    os.makedirs(os.path.dirname(LIMITS), exist_ok=True)
    for program in (LIMITS, FORKS):
        source = os.path.join(SOURCES, os.path.basename(program) + ".c")
        subprocess.run(["gcc", "-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror", "-o", program, source, "-lpthread"],
                       check=True)


def said(c, accelerated, *argv, limits=(), status=0, program=LIMITS):
    """What it says under resource limits (set by prlimit(1), which comes before it)."""
    prefix = ["prlimit", *limits] if limits else []
    return c.client(*prefix, program, *argv, accelerated=accelerated, status=status, seconds=50)


def same(c, *argv, limits=(), program=LIMITS):
    """In the accelerated column what the program says must be what it says on the kernel."""
    build()
    on_kernel = said(c, False, *argv, limits=limits, program=program)
    if c.column.client:
        here = said(c, True, *argv, limits=limits, program=program)
        c.expect(here == on_kernel, f"{argv} {limits}: {here!r}, on the kernel {on_kernel!r}")
    return on_kernel


def against_server(c, verb, count, clients):
    build()
    port = free_port()
    server = c.server(LIMITS, "serve", "127.0.0.1", port, clients, port=port)
    out = c.client(LIMITS, verb, "127.0.0.1", port, count, seconds=50)
    server.wait(20)
    c.expect(f"{clients} accepted, {clients} ended, 0 of them" in server.output(), f"the server: {server.said()}")
    return out


@case("limits-10,000-connections", moves=None)
def many_connections(c):
    """In one process at each end, asked one by one and all at once."""
    count = 3000 if c.quick else 10_000
    out = against_server(c, "client", count, count)
    c.expect(out == f"{count} connected\n{count} answered one by one\n{count} answered at once\n", f"it says {out!r}")


@case("limits-1,000-threads", moves=None)
def many_threads(c):
    """Each on a connection of its own, then all of them in recv() and in epoll_wait() for one."""
    out = against_server(c, "threads", 1000, 1001)
    c.expect(out.count("1000 threads") == 3, f"it says {out!r}")


@case("limits-descriptors", moves=None, columns=BOTH)
def descriptors(c):
    """A soft limit that is used up, from the first socket on: the program has as many as on the kernel."""
    for limit in (4, 5, 6, 7, 8, 9, 10, 12, 16, 24, 32, 64):
        same(c, "full", limit)


@case("limits-address-space", moves=None, columns=BOTH)
def address_space(c):
    """ulimit -v: accelerated at 2 GB, on the kernel where there is too little for the library, never an abort."""
    for megabytes in (2048, 1000, 500, 250, 150, 100, 80, 60, 40):
        same(c, "hold", 20, 100_000, limits=[f"--as={megabytes * MB}"])
    same(c, "hold", 1000, 300_000, limits=[f"--as={2048 * MB}"])


@contextlib.contextmanager
def control_group(megabytes):
    """A control group with that limit, of version 1 or 2; None where we may not make one."""
    name = f"accel-limits-{os.getpid()}"
    for folder, file in ((f"{GROUPS}/memory/{name}", "memory.limit_in_bytes"), (f"{GROUPS}/{name}", "memory.max")):
        with contextlib.suppress(OSError):
            os.mkdir(folder)
            try:
                with open(os.path.join(folder, file), "w", encoding="ascii") as f:
                    f.write(str(megabytes * MB))
                yield folder
            finally:
                os.rmdir(folder)
            return
    yield None


@case("limits-control-group", moves=None, columns=BOTH)
def memory_of_a_group(c):
    """As many bytes in flight as would take ten times what the group may have: nobody is killed for it."""
    build()
    with control_group(32) as folder:
        if folder is None:
            return
        joins = f"echo $$ > {folder}/cgroup.procs; exec {LIMITS} hold 400 1000000"
        out = c.client("/bin/sh", "-c", joins, seconds=50)
        c.expect("400 of 400 came out whole" in out and "each took something" in out, f"it says {out!r}")


@case("limits-shared-memory-full", moves=None, columns=BOTH)
def shared_memory_full(c):
    """A /dev/shm of 64 KB, full: the library keeps nothing there."""
    if os.geteuid() != 0:
        return
    build()
    fills = ("mount -t tmpfs -o size=64k none /dev/shm; head -c 1M /dev/zero >/dev/shm/full 2>/dev/null; "
             f"exec {LIMITS} hold 20 100000")
    out = c.client("unshare", "-m", "/bin/sh", "-c", fills)
    c.expect("20 of 20 came out whole" in out, f"it says {out!r}")


@case("limits-processes", moves=None, columns=BOTH)
def many_processes(c):
    """More children than a stack has room for, one after the other and all at once: each answers a client."""
    build()
    for held in (0, 1):
        out = c.client(LIMITS, "processes", 300, held)
        c.expect(out == "300 forked, 300 answered, 300 ended well\n", f"it says {out!r}")


def answered(c, out, count):
    c.expect(out == f"{count} connections, answered in each round: {count} {count} {count} {count}\n", f"says {out!r}")


@case("limits-forks-inherited", moves=None, columns=BOTH)
def inherited(c):
    """A child that the stack has no room for: its listener, connection, epoll set, eventfd, datagrams, new sockets."""
    out = same(c, "inherit", program=FORKS)
    c.expect(out == "256 sleepers, 256 ended well\n", f"it says {out!r}")


@case("limits-forks-prefork", moves=None)
def preforked(c):
    """400 workers accept from one listener and serve a client each at the same time, half of them plain programs."""
    build()
    port = free_port()
    server = c.server(FORKS, "prefork", "127.0.0.1", port, 400, port=port)
    mine, plain = (c.start(FORKS, "clients", "127.0.0.1", port, 200, accelerated=a) for a in (c.column.client, False))
    for child in (mine, plain):
        child.wait(40)
        answered(c, child.output(), 200)
    server.wait(20)
    c.expect(server.output() == "400 workers, 400 ended well\n", f"the server: {server.said()}")


@case("limits-forks-each", moves=None)
def fork_for_each(c):
    """A server that accepts and forks, 300 at once. When they have gone, what comes next is accelerated again."""
    build()
    port = free_port()
    server = c.server(FORKS, "each", "127.0.0.1", port, 300, 40, port=port)
    answered(c, c.client(FORKS, "clients", "127.0.0.1", port, 300, seconds=40), 300)
    c.eventually(lambda: "300 forked, 300 ended well" in server.output(), f"the server: {server.said()}")
    if c.column.server:
        before = dump(c, "stats", server.pid)[0]["counters"]
        c.expect(before["forks"] + before["plain_forks"] >= 300 > before["forks"], f"counters: {before}")
    answered(c, c.client(FORKS, "clients", "127.0.0.1", port, 20), 20)
    answered(c, c.client(FORKS, "clients", "127.0.0.1", port, 20), 20)
    c.eventually(lambda: "40 forked, 40 ended well" in server.output(), f"the server: {server.said()}")
    if c.column.server:
        after = dump(c, "stats", server.pid)[0]["counters"]
        c.expect(after["forks"] == before["forks"] + 40, f"not accelerated again: {before} {after}")
        if c.column.client:
            c.expect(after["local_accepts"] >= before["local_accepts"] + 20, f"not local again: {before} {after}")


@case("limits-system-call-filter", moves=None)
def system_calls(c):
    """Begun under SystemCallFilter=@system-service, RestrictAddressFamilies, MemoryDenyWriteExecute as units are."""
    build()
    for more in ([], ["--no-exec-memory"]):
        run = [PYTHON, CONFINED, *more, "--"]
        out = c.client(*run, LIMITS, "hold", 50, 200_000)
        c.expect("50 of 50 came out whole" in out, f"{more}: it says {out!r}")
        port = free_port()
        c.server(*run, "redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", c.folder,
                 port=port)
        out = c.client("redis-benchmark", "-p", port, "-t", "set,get", "-n", 5000, "-c", 20, "-q")
        c.expect(out.count("requests per second") >= 2 and "rror" not in out, f"{more}: redis-benchmark: {out[-200:]}")
        if c.column.server and c.column.client:
            mine = [s for s in dump(c, "stats", c.children[-2].pid)]
            c.expect(mine and mine[0]["counters"]["local_accepts"] >= 20, f"{more}: not accelerated: {mine}")
