"""Connections over shared memory that go to the kernel in the middle of what they do."""
import os
import random
import re
import subprocess
import time

from .harness import PYTHON, ROOT, case, environment, free_port

CLI = os.path.join(ROOT, "artifacts/bin/Accel.Cli/release/accel-cli")
TRANSFER = os.path.join(ROOT, "integration/nic/handover.py")
BOTH = ("kernel", "accel")


def hand_over(c, child, descriptor=None):
    """Returns how many connections the kernel took."""
    if not (c.column.server and c.column.client):
        return 0
    target = str(child.pid) if descriptor is None else f"{child.pid}:{descriptor}"
    done = subprocess.run([CLI, "handover", target], env=environment(False), capture_output=True, text=True,
                          timeout=60, check=False)
    found = re.match(r"(\d+) given to the kernel, 0 refused", done.stdout)
    if not found and not child.running:
        return 0
    c.expect(found, f"handover {target}: {done.stdout.strip()!r} {done.stderr.strip()!r}")
    return int(found[1])


def descriptor_of(c, client):
    c.eventually(lambda: "fd " in client.output(), lambda: f"the client says {client.said()}")
    return re.search(r"fd (\d+)", client.output())[1]


def serve(c):
    port = free_port()
    return port, c.server(PYTHON, TRANSFER, "serve", port, port=port)


def finish(c, client, server, served):
    c.expect(client.wait(30) == 0 and "good" in client.output(), f"the client: {client.said()}")
    c.eventually(lambda: server.output().count("served") >= served, lambda: f"the server: {server.said()}", 15)


@case("handover-local", moves=None, columns=BOTH)
def transfers(c):
    """Either end leaves, at a moment that the seed says; every byte is in its place, and the end is seen."""
    port, server = serve(c)
    for seed in range(12 if c.quick else 50):
        chance = random.Random(seed)
        mode = ("send", "receive", "both", "halfclosed")[seed % 4]
        enough = c.path(f"enough{seed}")
        client = c.start(PYTHON, TRANSFER, mode, "127.0.0.1" if seed % 3 else "::1", port, enough)
        descriptor = descriptor_of(c, client)
        c.eventually(lambda: server.output().count("begun") > seed, lambda: f"the server: {server.said()}", 15)
        time.sleep(chance.random() * 0.1)
        leaver = (client, descriptor) if chance.random() < 0.5 else (server, None)
        given = hand_over(c, *leaver)
        time.sleep(chance.random() * 0.05)
        open(enough, "wb").close()
        c.expect(given == 1 or c.column.name == "kernel", f"seed {seed}: {given} were given to the kernel")
        finish(c, client, server, seed + 1)


def wait_then_go_on(c, port, server):
    """A client that waits for its input, and comes by the library only when it goes on."""
    pipe = c.path("stdin")
    os.mkfifo(pipe)
    keeper = os.open(pipe, os.O_RDWR)
    client = c.start(PYTHON, TRANSFER, "idle", "127.0.0.1", port, stdin=pipe)
    c.eventually(lambda: "ready" in client.output(), "the client is not ready")
    given = hand_over(c, server)
    c.expect(given == 1 or c.column.name == "kernel", "it was not given to the kernel")
    os.write(keeper, b"\n")
    finish(c, client, server, 1)
    os.close(keeper)


@case("handover-local-idle", moves=None, columns=BOTH)
def idle(c):
    wait_then_go_on(c, *serve(c))


@case("handover-local-shared", moves=None, columns=BOTH)
def shared(c):
    """Two processes have it; the one that does not use it gives it away, and the other follows."""
    port = free_port()
    wait_then_go_on(c, port, c.server(PYTHON, TRANSFER, "shared", port, port=port))


@case("handover-local-redis", moves=None, columns=BOTH)
def redis_under_load(c):
    port = free_port()
    server = c.server("redis-server", "--port", port, "--save", "", "--bind", "127.0.0.1", port=port)
    load = c.start("redis-benchmark", "-p", port, "-c", "20", "-n", "300000", "-t", "get", "-q")
    time.sleep(0.2)
    given = hand_over(c, server)
    c.expect(load.wait(40) == 0 and "per second" in load.output() and "rror" not in load.output() + load.errors(),
             f"redis-benchmark: {load.said()}")
    c.expect(given >= 20 or c.column.name == "kernel", f"{given} of 20 were given to the kernel")


@case("handover-local-exec", moves=None, columns=BOTH)
def plain_handlers(c):
    """inetd under the preload whose handlers are not: one is static, one has lost LD_PRELOAD."""
    for argv in (["/bin/cat"], ["/bin/busybox", "cat"]):
        port = free_port()
        c.server(PYTHON, TRANSFER, "inetd", port, *argv, port=port)
        for when in (0, 0.2):
            enough = c.path(f"enough-{port}-{when}")
            client = c.start(PYTHON, TRANSFER, "echo", "127.0.0.1", port, enough)
            time.sleep(when)
            open(enough, "wb").close()
            c.expect(client.wait(30) == 0 and "good" in client.output(), f"{argv}: {client.said()}")
