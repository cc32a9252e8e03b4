"""What a program's checks are written with: its columns, the two hosts, checks that are counted one by one."""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Callable

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "nic"))
from world import PATH, Failure, World  # noqa: E402

DRIVERS = os.path.join(HERE, "drivers")
PYTHON = "/usr/bin/python3"
MB = 1 << 20
CLIENT_SECONDS = 45


@dataclass(frozen=True)
class Column:
    """Who is accelerated, and whether client and server are two hosts or one."""
    name: str
    wire: bool
    server: bool
    client: bool


COLUMNS = (
    Column("loopback", False, False, False),
    Column("local", False, True, True),
    Column("wire", True, False, False),
    Column("nic", True, True, True),
)
# Only one end accelerated: not in the table, for whoever looks for what breaks.
HALVES = (
    Column("local-server", False, True, False),
    Column("local-client", False, False, True),
    Column("nic-server", True, True, False),
    Column("nic-client", True, False, True),
)


@dataclass(frozen=True)
class Subject:
    """A row of the table: a program, its Debian packages (the first one's version is told), what is done with it."""
    name: str
    packages: tuple
    driven: str
    body: Callable
    version: str | None = None  # a command, for what is no Debian package
    wire: bool = True  # False: both its ends are on one host by nature
    seconds: int = 240


SUBJECTS = []


def program(name, *packages, driven, **more):
    def declare(body):
        SUBJECTS.append(Subject(name, packages, driven, body, **more))
        return body
    return declare


class Drive:
    """One program in one column. `check` counts; what fails in one does not keep the next from running."""

    def __init__(self, world, column):
        self.world, self.column = world, column
        self.at, self.from_ = world.a, world.b if column.wire else world.a
        self.ip4 = world.a.ip4 if column.wire else "127.0.0.1"
        self.ip6 = world.a.ip6 if column.wire else "::1"
        self.results = []
        self._port = 20_000

    def path(self, *names):
        return os.path.join(self.world.folder, *names)

    def port(self):
        self._port += 1
        return self._port

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def random_file(self, name, size):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(os.urandom(size))
        return path

    def certificate(self):
        """A key and a certificate of our own; returns the files' names and that of both in one."""
        key, chain, both = self.path("tls.key"), self.path("tls.crt"), self.path("tls.pem")
        if not os.path.exists(both):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                            "-nodes", "-keyout", key, "-out", chain, "-days", "30", "-subj", "/CN=localhost"],
                           check=True, capture_output=True)
            with open(both, "w", encoding="ascii") as out:
                for part in (chain, key):
                    with open(part, encoding="ascii") as f:
                        out.write(f.read())
        return key, chain, both

    def server(self, *argv, port=None, udp=None, seconds=20, **more):
        """Starts a server and waits until it listens."""
        server = self.at.start(list(argv), more.pop("accelerated", self.column.server), **more)
        if port:
            self.await_port(port, "-Hltn", server, seconds)
        if udp:
            self.await_port(udp, "-Hlun", server, seconds)
        return server

    def await_port(self, port, how, server, seconds):
        end = time.monotonic() + seconds
        while not re.search(rf":{port}\s", self.at.sh("ss", how)):
            if server.process.poll() not in (None, 0) or time.monotonic() > end:
                raise Failure(f"{server.argv[0]} does not listen on {port}: {server.errors() or server.text()[-300:]}")
            time.sleep(0.02)
        # The kernel listens a little before the interface does.
        time.sleep(0.3 if self.column.wire and self.column.server else 0)

    def start(self, *argv, **more):
        """A client that runs while the checks go on."""
        return self.from_.start(list(argv), more.pop("accelerated", self.column.client), **more)

    def client(self, *argv, seconds=CLIENT_SECONDS, status=0, **more):
        """Runs a client to its end; returns what it printed."""
        client = self.start(*argv, **more)
        try:
            code = client.process.wait(seconds)
        except subprocess.TimeoutExpired:
            client.kill(signal.SIGKILL)
            raise Failure(f"{os.path.basename(argv[0])} had not ended after {seconds} s: "
                          f"{(client.errors() or client.text())[-300:]}") from None
        if status is not None and code != status:
            raise Failure(f"{' '.join(map(str, argv))[:120]} ended with {code}: {client.errors()} "
                          f"{client.text()[-300:]}")
        client.process.output = client.text()
        return client.process.output + (client.errors() if more.get("both") else "")

    def said(self, *argv, **more):
        """The same, with what it wrote to its standard error."""
        output = self.client(*argv, **more)
        return output + self.world.programs[-1].errors()

    def expect(self, condition, why):
        if not condition:
            raise Failure(why() if callable(why) else why)

    def same(self, one, other):
        done = subprocess.run(["cmp", self.path(one), self.path(other)], capture_output=True, text=True, check=False)
        self.expect(done.returncode == 0, f"{done.stdout}{done.stderr}".strip())

    def eventually(self, condition, why, seconds=10):
        end = time.monotonic() + seconds
        while not condition():
            self.expect(time.monotonic() < end, why)
            time.sleep(0.03)

    @contextlib.contextmanager
    def check(self, what):
        started = time.monotonic()
        why = None
        try:
            yield
        except Failure as failure:
            why = str(failure).replace("\n", " ")
        except (OSError, ValueError, LookupError, AttributeError, subprocess.SubprocessError) as error:
            why = f"{type(error).__name__}: {error}"
        self.results.append((what, why))
        mark = f"not ok {what}: {why}" if why else f"ok {what}"
        print(f"  [{self.column.name}] {mark} ({time.monotonic() - started:.1f} s)", flush=True)


def kernel_traffic(hosts):
    """TCP segments and UDP datagrams that the kernels of these hosts have taken in."""
    total = 0
    for host in hosts:
        rows = [line.split() for line in host.sh("cat", "/proc/net/snmp", "/proc/net/snmp6").splitlines()]
        for kind, field in (("Tcp:", "InSegs"), ("Udp:", "InDatagrams")):
            names, values = [row for row in rows if row and row[0] == kind]
            total += int(values[names.index(field)])
        total += sum(int(row[1]) for row in rows if row and row[0] == "Udp6InDatagrams")
    return total


def clear(world):
    """Ends what programs left in our namespaces in sessions of its own; returns the names."""
    left = []
    for host in (world.a, world.b):
        pids = subprocess.run(["ip", "netns", "pids", host.namespace], capture_output=True, text=True, check=False)
        daemon = host.daemon.pid if host.daemon else None
        for pid in map(int, pids.stdout.split()):
            if pid == daemon:
                continue
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as f:
                    left.append(f.read().strip())
                os.kill(pid, signal.SIGKILL)
    return left


def end_programs(world):
    """Servers first told to end, as a user would; then whatever is left."""
    daemons = [host.daemon for host in (world.a, world.b)]
    for one in reversed(world.programs):
        if one not in daemons:
            one.kill()
    time.sleep(0.1)
    return clear(world)


def attempt(subject, column):
    """Drives a program in a column; returns its checks and what the kernels carried."""
    def too_long(*_):
        raise Failure(f"not done after {subject.seconds} s")

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(subject.seconds)
    results, carried, drive, world = [], None, None, None
    try:
        world = World()
        os.chmod(world.folder, 0o755)
        if column.wire and column.server:
            world.a.accelerate()
        if column.wire and column.client:
            world.b.accelerate()
        drive = Drive(world, column)
        results = drive.results
        subject.body(drive)
        carried = kernel_traffic((world.a, world.b))
    except (Failure, OSError, ValueError, LookupError, subprocess.SubprocessError) as error:
        results.append(("runs to its end", f"{type(error).__name__}: {error}".replace("\n", " ")))
        print(f"  [{column.name}] not ok: {error}", flush=True)
    finally:
        signal.alarm(0)
        if world is not None:
            end_programs(world)
            if os.environ.get("KEEP") and any(why for _, why in results):
                shutil.copytree(world.folder, f"{os.environ['KEEP']}/{subject.name}-{column.name}",
                                symlinks=True, dirs_exist_ok=True, ignore=lambda d, names: [
                                    n for n in names if not os.path.isfile(os.path.join(d, n))
                                    and not os.path.isdir(os.path.join(d, n))])
            world.close()
    return {"checks": results, "kernel": carried}


def found(command):
    return shutil.which(command, path=PATH)
