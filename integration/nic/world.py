"""Two hosts on one machine: a network namespace each, joined by a veth pair, on which a program may lose and reorder
frames, or by a relay that also delays, doubles and spoils them.

What runs in them is a plain program or one under the preload; acceld serves a host when its side is accelerated.
Everything is gone when the world is: programs, namespaces with their interfaces, pins.
"""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIBRARY = os.environ.get("ACCEL_LIBRARY", os.path.join(ROOT, "artifacts/lib/libaccel.so"))
# Another mode than acceld's own choice: ACCELD_MODE=generic integration/nic/run
MODE = os.environ.get("ACCELD_MODE")
ACCELD = os.path.join(ROOT, "artifacts/bin/Accel.Daemon/release/acceld")
STACKDUMP = os.path.join(ROOT, "artifacts/bin/Accel.StackDump/release/stackdump")
RELAY = os.path.join(ROOT, "artifacts/nic/relay")
FAULTS = os.path.join(ROOT, "artifacts/nic/faults")
FLOOD = os.path.join(ROOT, "artifacts/nic/flood")
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin"
SECONDS = 60


class Failure(Exception):
    """What a case found wrong, in one line."""


class Skipped(Exception):
    """What a case needs and this machine does not have, in one line."""


def sh(*argv, check=True):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=False)
    if check and done.returncode != 0:
        raise Failure(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


class Program:
    """A program that runs in a host until it ends or the world does."""

    def __init__(self, host, argv, accelerated, env=None, stdin=None):
        self.host, self.argv, self.accelerated = host, argv, accelerated
        base = os.path.join(host.world.folder, f"{host.name}-{os.path.basename(argv[0])}.{time.monotonic_ns()}")
        self.out, self.err = base + ".out", base + ".err"
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ACCEL_") and k != "LD_PRELOAD"}
        kept["PATH"] = PATH
        for key in ("ACCEL_LOG", "ACCEL_SPIN_US"):
            if key in os.environ:
                kept[key] = os.environ[key]
        kept.update(env or {})
        prefix = ["ip", "netns", "exec", host.namespace]
        if accelerated:
            prefix += ["env", f"LD_PRELOAD={LIBRARY}"]
        with open(self.out, "wb") as out, open(self.err, "wb") as err, open(stdin or os.devnull, "rb") as source:
            self.process = subprocess.Popen([*prefix, *map(str, argv)], stdin=source, stdout=out, stderr=err, env=kept,
                                            cwd=host.world.folder, start_new_session=True)
        self.pid = self.process.pid

    def text(self):
        with open(self.out, encoding="utf-8", errors="replace") as f:
            return f.read()

    def errors(self):
        with open(self.err, encoding="utf-8", errors="replace") as f:
            return f.read().strip()[-400:]

    def wait(self, seconds=SECONDS):
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.argv[0]} did not end within {seconds} s: {self.errors()}") from None
        if code != 0:
            raise Failure(f"{' '.join(map(str, self.argv))[:100]} ended with {code}: {self.errors()}")
        return self.text()

    def wait_for(self, text, seconds=15):
        end = time.monotonic() + seconds
        while text not in self.text():
            if self.process.poll() is not None or time.monotonic() > end:
                raise Failure(f"{self.argv[0]} did not say {text!r}: {self.text()[-200:]} {self.errors()}")
            time.sleep(0.02)

    def kill(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            try:
                os.killpg(self.pid, how)
            except ProcessLookupError:
                pass
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self.process.wait(5)


def forget_daemon(namespace):
    """What an acceld that was killed has left: the next namespace may have the same number."""
    try:
        number = os.stat(f"/run/netns/{namespace}").st_ino
    except FileNotFoundError:
        return
    for path in (f"/run/accel/{number}.sock", f"/run/accel/{number}.sock.lock"):
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass


class Host:
    """One side: a namespace with an interface of a known name."""

    def __init__(self, world, name, number):
        self.world, self.name, self.number = world, name, number
        self.namespace = f"accel-{os.getpid()}-{name}"
        self.interface = f"{name}0"
        self.ip4, self.ip6 = f"10.77.0.{number}", f"fd77::{number}"
        self.daemon = None
        sh("ip", "netns", "add", self.namespace)
        sh("ip", "-n", self.namespace, "link", "set", "lo", "up")

    def sh(self, *argv, check=True):
        return sh("ip", "netns", "exec", self.namespace, *argv, check=check)

    def configure(self, mtu=None, offloads=True):
        if mtu:
            sh("ip", "-n", self.namespace, "link", "set", "dev", self.interface, "mtu", str(mtu))
        sh("ip", "-n", self.namespace, "addr", "add", f"{self.ip4}/24", "dev", self.interface)
        sh("ip", "-n", self.namespace, "addr", "add", f"{self.ip6}/64", "dev", self.interface, "nodad")
        sh("ip", "-n", self.namespace, "link", "set", "dev", self.interface, "up")
        # The host's default (bbr) halves the kernel's bulk over veth.
        self.sh("sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno")
        if not offloads:
            self.sh("ethtool", "-K", self.interface, "tso", "off", "gso", "off", "gro", "off", "tx", "off")

    def play_in_corpus(self):
        """Has the names, too, that are in the frames of tests/Accel.Wire.Tests/Corpus: a the target, b the source.
        """
        number = 3 - self.number
        sh("ip", "-n", self.namespace, "link", "set", "dev", self.interface, "address", f"02:00:00:00:00:0{number}")
        sh("ip", "-n", self.namespace, "addr", "add", f"10.0.0.{number}/24", "dev", self.interface)
        sh("ip", "-n", self.namespace, "addr", "add", f"fd00::{number}/64", "dev", self.interface, "nodad")

    def accelerate(self, *options):
        """Starts acceld on the interface and waits until it serves."""
        if MODE and "--mode" not in options:
            options = [*options, "--mode", MODE]
        self.daemon = self.start([ACCELD, "--interface", self.interface, *options], accelerated=False)
        self.daemon.wait_for("ready")
        return self.daemon

    def start(self, argv, accelerated=None, **more):
        accelerated = self.daemon is not None if accelerated is None else accelerated
        path = shutil.which(argv[0], path=PATH)
        if path is None:
            raise Failure(f"{argv[0]} is not installed: run tools/setup")
        program = Program(self, [path, *argv[1:]], accelerated, **more)
        self.world.programs.append(program)
        return program

    def run(self, argv, accelerated=None, seconds=SECONDS, **more):
        return self.start(argv, accelerated, **more).wait(seconds)

    def wait_open(self, port, seconds=10):
        """Until the kernel listens."""
        end = time.monotonic() + seconds
        while f":{port} " not in self.sh("ss", "-Hltn"):
            if time.monotonic() > end:
                raise Failure(f"nobody listens on port {port} in {self.name}")
            time.sleep(0.02)

    def wait_listening(self, port, seconds=10):
        """Until the interface does, too."""
        end = time.monotonic() + seconds
        self.wait_open(port, seconds)
        # The kernel listens a little before the interface does.
        while self.daemon and time.monotonic() < end and any(
                p.host is self and p.accelerated and p.process.poll() is None
                and not re.search(r"nic_listens +[1-9]", self.stackdump("stats", str(p.pid)))
                for p in self.world.programs):
            time.sleep(0.05)
        # And a server's second listener, for IPv6, a little after the first.
        time.sleep(0.3 if self.daemon else 0)

    def wait_bound(self, port, seconds=10):
        end = time.monotonic() + seconds
        while f":{port} " not in self.sh("ss", "-Hlun"):
            if time.monotonic() > end:
                raise Failure(f"nobody has UDP port {port} in {self.name}")
            time.sleep(0.02)

    def kernel_counters(self):
        """What the kernel has counted here, by the names of nstat without their protocol."""
        found = {}
        for table in ("snmp", "netstat"):
            lines = self.sh("cat", f"/proc/net/{table}").splitlines()
            for names, values in zip(lines[::2], lines[1::2]):
                found.update(zip(names.split()[1:], map(int, values.split()[1:])))
        return found

    def stackdump(self, *arguments):
        return sh(STACKDUMP, *arguments, check=False)


def join(first, host, second, peer):
    """A veth pair. With the same index at both ends Linux may wait for a second until it lets frames out
    (linkwatch_urgent_event)."""
    sh("ip", "link", "add", first, "netns", host.namespace, "type", "veth",
       "peer", "name", second, "index", str(20 + host.number), "netns", peer.namespace)


class World:
    """Hosts a and b, and what joins them."""

    def __init__(self, mtu=None, offloads=True, relay=None, corpus=False, faults=None):
        """faults: what becomes of frames in either direction, as on a cable, without offloads. In ring mode and the
        kernel's columns only."""
        self.folder = tempfile.mkdtemp(prefix="accel-nic-")
        self.programs = []
        self.middle = None
        self.a = self.b = None
        try:
            self.a, self.b = Host(self, "a", 1), Host(self, "b", 2)
            if relay is None:
                join(self.a.interface, self.a, self.b.interface, self.b)
            else:
                self._join(relay)
            for host in (self.a, self.b):
                if corpus:
                    host.play_in_corpus()
                host.configure(mtu, offloads and relay is None and faults is None)
                if faults is not None:
                    spoiler = host.start([FAULTS, host.interface, FAULTS + ".bpf.o", *faults], accelerated=False)
                    spoiler.wait_for("ready")
        except BaseException:
            self.close()
            raise

    def _join(self, relay):
        self.middle = Host(self, "m", 3)
        for host, end in ((self.a, "ma"), (self.b, "mb")):
            join(host.interface, host, end, self.middle)
            sh("ip", "-n", self.middle.namespace, "link", "set", "dev", end, "up", "promisc", "on")
            self.middle.sh("ethtool", "-K", end, "tso", "off", "gso", "off", "gro", "off", "tx", "off")
        self.relay = self.middle.start([RELAY, "ma", "mb", *map(str, relay)], accelerated=False)
        self.relay.wait_for("ready")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for program in reversed(self.programs):
            program.kill()
        for host in (self.a, self.b, self.middle):
            if host is not None:
                forget_daemon(host.namespace)
                sh("ip", "netns", "del", host.namespace, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
