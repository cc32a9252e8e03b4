"""Runs cases: starts their programs on the wanted path, bounds them in time, and checks which way the bytes went."""
import ctypes
import fcntl
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import Callable

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STACKDUMP = os.path.join(ROOT, "artifacts/bin/Accel.StackDump/release/stackdump")
LIBRARY = os.environ.get("ACCEL_LIBRARY", os.path.join(ROOT, "artifacts/lib/libaccel.so"))  # another build may be tried
DRIVERS = os.path.join(ROOT, "integration/programs/drivers")
PYTHON = "/usr/bin/python3"
CASE_SECONDS = 60
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    """What a case found wrong, in one line."""


@dataclass(frozen=True)
class Column:
    name: str
    server: bool
    client: bool


COLUMNS = [
    Column("kernel", False, False),
    Column("accel", True, True),
    Column("accel-server", True, False),
    Column("accel-client", False, True),
]


@dataclass(frozen=True)
class Case:
    name: str
    moves: int | None  # bytes that pass between client and server at the least; None: over either path
    columns: tuple
    body: Callable


def case(name, moves, columns=("kernel", "accel", "accel-server", "accel-client")):
    def declare(body):
        body.case = Case(name, moves, columns, body)
        return body
    return declare


def cases_of(module):
    return [value.case for value in vars(module).values() if hasattr(value, "case")]


def environment(accelerated):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ACCEL_") and k != "LD_PRELOAD"}
    # jemalloc (redis) keeps freed memory for ten seconds: what is resident is to be what is held.
    kept["MALLOC_CONF"] = "dirty_decay_ms:0,muzzy_decay_ms:0"
    if accelerated:
        kept["LD_PRELOAD"] = LIBRARY
    return kept


def find(program):
    """Debian keeps servers in /usr/sbin, which users often have not in PATH."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def free_port():
    """Below the range that clients' ports come from: one of those must not sit on it while its server is restarted."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as s:
            try:
                s.bind(("", port))
                return port
            except OSError:
                continue


def holders(port):
    """Who has the port, for the failure of a server that could not."""
    command = [find("ss") or "ss", "-Htanpo", f"sport = :{port}"]
    rows = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    return f"port {port}: " + (" | ".join(" ".join(row.split()) for row in rows[:5]) or "nobody has it now")


def loopback_bytes():
    with open("/proc/net/dev", encoding="ascii") as f:
        return next(int(line.split(":")[1].split()[0]) for line in f if line.strip().startswith("lo:"))


def own_network():
    """A loopback of our own where we may have one: its byte counter is then nobody else's."""
    clone_newnet, set_flags, up = 0x40000000, 0x8914, 0x1
    if os.geteuid() == 0 and libc.unshare(clone_newnet) == 0:
        with socket.socket() as s:
            fcntl.ioctl(s, set_flags, struct.pack("16sh14x", b"lo", up))


def end_with_us():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """A program that runs beside the case; its output goes into a file of the case's folder."""

    def __init__(self, folder, argv, accelerated, stdin=None, stdout=None):
        self.name = f"{os.path.basename(argv[0])}{' (accelerated)' if accelerated else ''}"
        self.log = os.path.join(folder, f"{os.path.basename(argv[0])}.{time.monotonic_ns()}")
        self._files = [open(self.log + ".err", "wb"), open(stdout or self.log + ".out", "wb"),
                       open(stdin or os.devnull, "rb")]
        path = find(argv[0])
        if path is None:
            raise Failure(f"{argv[0]} is not installed: run tools/setup")
        self.process = subprocess.Popen([path, *map(str, argv[1:])], env=environment(accelerated), cwd=folder,
                                        stdin=self._files[2], stdout=self._files[1], stderr=self._files[0],
                                        start_new_session=True, preexec_fn=end_with_us)
        self.pid = self.process.pid

    @property
    def running(self):
        return self.process.poll() is None

    def output(self):
        with open(self._files[1].name, "rb") as f:
            return f.read().decode(errors="replace")

    def errors(self):
        with open(self.log + ".err", "rb") as f:
            return f.read().decode(errors="replace").strip()

    def said(self):
        """The last line it left, for a failure's one line."""
        lines = (self.errors() or self.output()).strip().splitlines()
        return lines[-1][-200:] if lines else "nothing said"

    def wait(self, seconds):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} had not ended after {seconds} s: {self.said()}") from None

    def kill(self, how=signal.SIGKILL):
        if self.running:
            os.kill(self.pid, how)

    def end(self):
        """Ends it and whatever it forked; the session is its own."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.pid, how)
            except ProcessLookupError:
                break
            try:
                self.process.wait(1.5)
            except subprocess.TimeoutExpired:
                pass
        for f in self._files:
            f.close()

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def resident_kb(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii", errors="replace") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


class Context:
    """What a case works with: its column, a folder, and the programs it has started."""

    def __init__(self, column, quick):
        self.column = column
        self.quick = quick
        self.folder = tempfile.mkdtemp(prefix="accel-it-")
        self.children = []

    def path(self, name):
        return os.path.join(self.folder, name)

    def server(self, *argv, port=None, accelerated=None, **files):
        child = Child(self.folder, argv, self.column.server if accelerated is None else accelerated, **files)
        self.children.append(child)
        if port is not None:
            self.await_listener(port, child)
        return child

    def start(self, *argv, accelerated=None, **files):
        """A client that runs while the case goes on."""
        child = Child(self.folder, argv, self.column.client if accelerated is None else accelerated, **files)
        self.children.append(child)
        return child

    def client(self, *argv, seconds=30, status=0, **files):
        """Runs a client to its end; returns what it printed."""
        child = self.start(*argv, **files)
        got = child.wait(seconds)
        self.expect(status is None or got == status, f"{child.name} ended with {got}: {child.said()}")
        return child.output()

    def driver(self, name, *args, seconds=30, accelerated=None):
        """A client of our own: prints `ok` as its last line."""
        out = self.client(PYTHON, os.path.join(DRIVERS, name), *args, seconds=seconds, accelerated=accelerated)
        self.expect(out.strip().endswith("ok"), f"{name}: {out.strip()[-200:]}")
        return out

    def expect(self, condition, why):
        if not condition:
            raise Failure(why)

    def eventually(self, condition, why, seconds=5):
        """Waits for something that another process is about to do."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise Failure(f"{why() if callable(why) else why} (after {seconds} s)")
            time.sleep(0.02)

    def await_listener(self, port, child):
        def listening():
            if not child.running:
                raise Failure(f"{child.name} ended with {child.process.poll()}: {child.said()}; {holders(port)}")
            # In LISTEN (0A); asking the table instead of connecting leaves the server's first connection to the case.
            for table in ("/proc/net/tcp", "/proc/net/tcp6"):
                with open(table, encoding="ascii") as f:
                    if any(row.split()[1].endswith(f":{port:04X}") and row.split()[3] == "0A" for row in list(f)[1:]):
                        return True
            return False
        self.eventually(listening, f"{child.name} does not listen on port {port}")

    def end(self, keep):
        for child in self.children:
            child.end()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def attempt(one, column, quick):
    """Runs one case in one column; returns None or what is wrong with it."""
    def too_long(*_):
        raise Failure(f"not done after {CASE_SECONDS} s")

    context = Context(column, quick)
    why = None
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(CASE_SECONDS)
    try:
        before = loopback_bytes()
        one.body(context)
        moved = loopback_bytes() - before
        if one.moves is None:
            pass
        elif column.server and column.client:
            # Nothing but the bytes' way tells for sure: a preload that does nothing passes every other check.
            context.expect(moved < one.moves / 4, f"{moved} bytes went over the kernel's loopback: not accelerated")
        else:
            context.expect(moved >= one.moves, f"only {moved} of {one.moves} bytes went over the kernel's loopback")
    except Failure as failure:
        why = str(failure).replace("\n", " ")
    except (OSError, ValueError, LookupError, StopIteration, AssertionError) as error:
        why = f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
        context.end(keep=why is not None)
    return why and f"{why} (files in {context.folder})"


def run(cases, columns, quick):
    if not os.path.exists(LIBRARY):
        print(f"{LIBRARY} is not built: run tools/build")
        return 2
    own_network()
    passed = failed = 0
    for one in cases:
        for column in columns:
            if column.name not in one.columns:
                continue
            start = time.monotonic()
            first, second = attempt(one, column, quick), None
            if first:
                second = attempt(one, column, quick)
            took = time.monotonic() - start
            name = f"{one.name} [{column.name}]"
            if second:
                print(f"not ok {name}: {first}; and again: {second}", flush=True)
            else:
                print(f"ok {name} {took:.1f} s" + (f" at the second try; at first: {first}" if first else ""), flush=True)
            passed += not second
            failed += bool(second)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0
