"""Live connections that go to the kernel in the middle of what they do."""
import os
import random
import re
import shutil
import time

from cases import HERE, PYTHON, case, redis
from world import ROOT, Failure, sh

CLI = os.path.join(ROOT, "artifacts/bin/Accel.Cli/release/accel-cli")
HANDOVER = os.path.join(HERE, "handover.py")
PORT = "7200"
TIMES = int(os.environ.get("ACCEL_HANDOVERS", "10"))


def hand_over(program, descriptor=None):
    """Returns how many connections the kernel took."""
    target = str(program.pid) if descriptor is None else f"{program.pid}:{descriptor}"
    said = sh(CLI, "handover", target, check=False)
    found = re.match(r"(\d+) given to the kernel, 0 refused", said)
    if not found and program.process.poll() is not None:
        return 0
    if not found:
        raise Failure(f"handover {target}: {said.strip()!r}")
    return int(found[1])


def serve(w):
    server = w.a.start([PYTHON, HANDOVER, "serve", PORT])
    w.a.wait_listening(int(PORT))
    return server


def finish(w, client, server, served):
    client.wait()
    if "good" not in client.text():
        raise Failure(client.text()[-200:] + client.errors())
    end = time.monotonic() + 10
    while server.text().count("served") < served and time.monotonic() < end:
        time.sleep(0.02)
    if server.text().count("served") != served or "trailing" in server.text():
        raise Failure(f"the server says {server.text()!r} {server.errors()}")


def wait_begun(server, times):
    end = time.monotonic() + 15
    while server.text().count("begun") < times and time.monotonic() < end:
        time.sleep(0.01)


def descriptor_of(client):
    client.wait_for("fd ")
    return re.search(r"fd (\d+)", client.text())[1]


def transfers(w, column, modes, times):
    """Each side that is accelerated gives its end away at a moment that the seed says."""
    server = serve(w)
    for seed in range(times):
        chance = random.Random(seed)
        enough = os.path.join(w.folder, f"enough{seed}")
        client = w.b.start([PYTHON, HANDOVER, modes[seed % len(modes)], w.a.ip6 if seed % 5 == 4 else w.a.ip4, PORT,
                            enough])
        descriptor = descriptor_of(client)
        wait_begun(server, seed + 1)
        time.sleep(chance.random() * 0.2)
        given = hand_over(client, descriptor) if column.b else 0
        given += hand_over(server) if column.a else 0
        time.sleep(chance.random() * 0.1)
        open(enough, "wb").close()
        if given != column.a + column.b:
            raise Failure(f"seed {seed}: {given} connections were given to the kernel")
        finish(w, client, server, seed + 1)


@case("handover: transfers each way and both ways, every byte in its place")
def handover_transfers(w, column):
    transfers(w, column, ("send", "receive", "both"), TIMES)


@case("handover: the same with 1 % loss and reordering", columns=("server", "client"),
      relay=["--loss", "0.01", "--reorder", "0.005", "--seed", "11"])
def handover_loss(w, column):
    transfers(w, column, ("send", "receive", "both"), max(TIMES // 2, 3))


@case("handover: one that is half closed goes on the other way")
def handover_half_closed(w, column):
    transfers(w, column, ("halfclosed",), max(TIMES // 2, 3))


def wait_then_go_on(w, column, server):
    """A client that is silent while both ends are given away."""
    pipe = os.path.join(w.folder, "stdin")
    os.mkfifo(pipe)
    keeper = os.open(pipe, os.O_RDWR)
    try:
        client = w.b.start([PYTHON, HANDOVER, "idle", w.a.ip4, PORT], stdin=pipe)
        client.wait_for("ready")
        given = (hand_over(client, descriptor_of(client)) if column.b else 0) + (hand_over(server) if column.a else 0)
        if given != column.a + column.b:
            raise Failure(f"{given} connections were given to the kernel")
        for host, accelerated in ((w.a, column.a), (w.b, column.b)):
            there = f":{PORT}" in host.sh("ss", "-Htn", "state", "established")
            if accelerated and not there:
                raise Failure(f"the kernel of {host.name} does not show the connection")
        os.write(keeper, b"\n")
        finish(w, client, server, 1)
    finally:
        os.close(keeper)


@case("handover: an idle connection")
def handover_idle(w, column):
    wait_then_go_on(w, column, serve(w))


@case("handover: a connection that two processes have, by the one that does not use it", columns=("kernel", "server"))
def handover_shared(w, column):
    server = w.a.start([PYTHON, HANDOVER, "shared", PORT])
    w.a.wait_listening(int(PORT))
    wait_then_go_on(w, column, server)


@case("handover: redis under load, no error, and again and again", columns=("kernel", "server", "both"))
def handover_redis(w, column):
    server = redis(w)
    load = w.b.start(["redis-benchmark", "-h", w.a.ip4, "-c", "20", "-n", "300000", "-t", "get", "-q"])
    given, end = 0, time.monotonic() + 30
    while load.process.poll() is None and time.monotonic() < end:
        time.sleep(0.3)
        if column.a:
            given += hand_over(server)
    load.wait()
    if "requests per second" not in load.text() or "rror" in load.text() + load.errors():
        raise Failure(load.text()[-200:] + load.errors())
    if column.a and given < 20:
        raise Failure(f"{given} of 20 connections were given to the kernel")
    w.b.run([PYTHON, os.path.join(HERE, "redis_values.py"), w.a.ip4])


@case("handover: inetd whose handlers are not accelerated, one of them static, one setuid")
def handover_exec(w, column):
    other = os.path.join(w.folder, "setuid-cat")
    shutil.copy("/bin/cat", other)
    shutil.chown(other, "nobody")
    os.chmod(w.folder, 0o755)
    os.chmod(other, 0o4755)
    for n, argv in enumerate((["/bin/cat"], ["/bin/busybox", "cat"], [other])):
        port = str(7210 + n)
        w.a.start([PYTHON, HANDOVER, "inetd", port, *argv])
        w.a.wait_listening(int(port))
        for when in (0, 0.2):
            enough = os.path.join(w.folder, f"enough-{port}-{when}")
            client = w.b.start([PYTHON, HANDOVER, "echo", w.a.ip4, port, enough])
            time.sleep(when)
            open(enough, "wb").close()
            client.wait()
            if "good" not in client.text():
                raise Failure(f"{argv}: {client.text()} {client.errors()}")
