"""What else goes on beside accelerated programs: the kernel's own traffic, and programs and acceld that are killed."""
import json
import os
import re
import signal
import time

from cases import HERE, PYTHON, accepts, case, nginx, nic_connections, redis, until
from world import ACCELD, MODE, Failure

BULK = [PYTHON, os.path.join(HERE, "bulk.py")]
LOAD = ["redis-benchmark", "-c", "10", "-t", "get", "-q"]


def load_redis(w, requests=10_000_000, address=None):
    load = w.b.start([*LOAD, "-h", address or w.a.ip4, "-n", str(requests)])
    # Refused while it connects, this redis-benchmark would turn in a circle, on the kernel too.
    load.wait_for("GET: rps", 20)
    return load


def check_values(w, *addresses):
    for address in addresses or (w.a.ip4,):
        w.b.run([PYTHON, os.path.join(HERE, "redis_values.py"), address])


def check_ping(host, address):
    if " 0% packet loss" not in host.run(["ping", "-c", "5", "-i", "0.05", "-q", address], accelerated=False):
        raise Failure(f"ping {address} lost something")


@case("coexistence: ping, plain listeners and plain clients beside it", columns=("server",))
def coexistence(w, column):
    redis(w)
    load = load_redis(w, 300_000)
    for address in (w.a.ip4, w.a.ip6):
        check_ping(w.b, address)
        port = "7001" if address == w.a.ip4 else "7003"
        w.a.start([*BULK, "serve", port, address], accelerated=False)
        w.a.wait_listening(port)
        w.b.run([*BULK, "transfer", address, port, "20"])
    for address in (w.b.ip4, w.b.ip6):
        check_ping(w.a, address)
        port = "7002" if address == w.b.ip4 else "7004"
        w.b.start([*BULK, "serve", port, address], accelerated=False)
        w.b.wait_listening(port)
        w.a.run([*BULK, "transfer", address, port, "20"], accelerated=False)
    said = w.a.start(["nc", "-l", "-p", "7005"], accelerated=False)
    w.a.wait_listening(7005)
    greeting = os.path.join(w.folder, "greeting")
    with open(greeting, "w", encoding="ascii") as f:
        f.write("good day\n")
    w.b.run(["nc", "-N", w.a.ip4, "7005"], accelerated=False, stdin=greeting)
    if said.wait() != "good day\n":
        raise Failure(f"nc heard {said.text()!r}")
    load.wait()


@case("coexistence: two accelerated programs and a third that connects, on one interface", columns=("server", "both"))
def together(w, column):
    servers = [redis(w), nginx(w)]
    load = load_redis(w, 200_000)
    w.b.start([*BULK, "serve", "7002"], accelerated=False)
    w.b.wait_listening(7002)
    going = w.a.start([*BULK, "transfer", w.b.ip4, "7002", "40"])
    text = w.b.run(["wrk", "-t1", "-c16", "-d2s", f"http://[{w.a.ip6}]/1k"])
    if "Socket errors" in text or not re.search(r"Requests/sec:\s+[1-9]", text):
        raise Failure(text[-300:])
    going.wait()
    load.wait()
    for server in servers:
        if nic_connections(w.a, server) == 0:
            raise Failure(f"no connection of {server.argv[0]} went over the interface")


CONNECT = """import socket, sys, time
socket.create_connection((sys.argv[1], 6379), 10)
t = time.monotonic()
socket.create_connection((sys.argv[2], 6379), 10)
print(time.monotonic() - t)
"""


@case("a host that was never heard of is found as soon as it answers", columns=("kernel", "client", "both"))
def first_connection(w, column):
    redis(w)
    # The first one is not counted: it finds acceld, too.
    for first, second in ((w.a.ip6, w.a.ip4), (w.a.ip4, w.a.ip6)):
        w.b.sh("ip", "neigh", "flush", "dev", w.b.interface)
        took = w.b.run([PYTHON, "-c", CONNECT, first, second])
        if float(took) > 0.3:
            raise Failure(f"connect() to {second} took {took.strip()} s")


MEETINGS = 40

MEET = """
import socket, sys, time
longest = 0
for n in range(int(sys.argv[1])):
    time.sleep(0.13)
    begun = time.monotonic()
    socket.create_connection((sys.argv[2] % n, 6379), 10).close()
    # The first one is not counted: it finds acceld, too.
    longest = max(longest, time.monotonic() - begun) if n else 0
print(longest)
"""


@case("what waits for a host that is asked for leaves when it has answered", columns=("kernel", "client", "both"))
def many_hosts(w, column):
    """After a pause: nobody is awake but those whom the answer wakes, who must not leave it to each other."""
    redis(w)
    for n in range(MEETINGS):
        w.a.sh("ip", "-6", "addr", "add", f"fd77::1:{n}/64", "dev", w.a.interface, "nodad")
    longest = float(w.b.run([PYTHON, "-c", MEET, str(MEETINGS), "fd77::1:%d"]))
    if longest > 0.3:
        raise Failure(f"connect() took {longest} s")


@case("a host is found from an interface that has no link-local address", columns=("kernel", "client", "both"))
def no_link_local(w, column):
    """The kernel asks by the name of what it sends; asked for a neighbour only, it has a link-local address or none.
    An interface that has just come up has none that it may use, either."""
    redis(w)
    w.b.sh("ip", "-6", "addr", "flush", "dev", w.b.interface, "scope", "link")
    w.b.sh("ip", "neigh", "flush", "dev", w.b.interface)
    took = w.b.run([PYTHON, "-c", CONNECT, w.a.ip4, w.a.ip6])
    if float(took) > 0.3:
        raise Failure(f"connect() to {w.a.ip6} took {took.strip()} s")


MANY = """
import socket, sys, time
first, last = (int(n) for n in open("/proc/sys/net/ipv4/ip_local_port_range").read().split())
for n in range(400):
    with socket.create_connection((sys.argv[1], 80)) as s:
        assert first <= s.getsockname()[1] <= last, s.getsockname()
        s.sendall(b"GET /1k HTTP/1.0\\r\\n\\r\\n")
        assert len(b"".join(iter(lambda: s.recv(65536), b"")).split(b"\\r\\n\\r\\n", 1)[1]) == 1024
kept = socket.create_connection((sys.argv[1], 80))
print("made", flush=True)
time.sleep(60)
"""


@case("an ordinary user's clients: acceld gives them their ports and has them back", columns=("kernel",))
def ordinary(w, column):
    policy = os.path.join(w.folder, "policy")
    with open(policy, "w", encoding="ascii") as f:
        f.write("allow any\n")
    nginx(w)
    w.b.accelerate("--policy", policy)
    client = w.b.start(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", PYTHON, "-c", MANY, w.a.ip4],
                       True)
    client.wait_for("made")
    if (count := nic_connections(w.b, client)) != 401:
        raise Failure(f"{count} connections went over the interface")

    def steered():
        return json.loads(w.b.sh(ACCELD, "status", "--json"))["ports"]
    # The one that is open, and no other.
    until(lambda: len(steered()) == 1, "acceld still has ports of connections that are no more")
    client.kill(signal.SIGKILL)
    until(lambda: not steered(), "acceld still has the port of a program that was killed")


@case("acceld killed and started again five times under load", columns=("server", "both"))
def acceld_restart(w, column):
    redis(w)
    nginx(w)
    load = load_redis(w)
    ping = w.b.start(["ping", "-i", "0.02", "-c", "400", "-q", w.a.ip4], accelerated=False)
    probes = [w.b.start([PYTHON, os.path.join(HERE, "probing.py"), address, "80", "8"])
              for address in (w.a.ip4, w.a.ip6)]
    for pause in (0.0, 0.1, 0.3, 0.6, 1.0):
        time.sleep(0.4)
        w.a.daemon.kill(9)
        time.sleep(pause)
        w.a.accelerate()
    for probe in probes:
        text = probe.wait()
        good, *bad = (int(n) for n in re.findall(r"(\d+) (?:good|refused|reset|ended)", text))
        if good < 100 or sum(bad) > good or float(re.search(r"took ([\d.]+) s", text).group(1)) > 3:
            raise Failure(text)
    if " 0% packet loss" not in ping.wait():
        raise Failure(f"ping: {ping.text()[-200:]}")
    if load.process.poll() is not None:
        raise Failure(f"connections were lost: {load.text()[-200:]} {load.errors()}")
    load.kill()
    check_values(w, w.a.ip4, w.a.ip6)


CLOSING = """import signal, socket, sys, time
listeners = [socket.create_server(("", 7200)), socket.create_server(("::", 7200), family=socket.AF_INET6)]
s, _ = listeners[0].accept()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print("open", flush=True)
signal.sigwait([signal.SIGUSR1])
for one in listeners:
    one.close()
print("closed", flush=True)
s.sendall(s.recv(100))
time.sleep(60)
"""

KEPT = """import os, socket, sys, time
s = socket.create_connection((sys.argv[1], 7200), 10)
print("connected", flush=True)
while not os.path.exists("go"):
    time.sleep(0.02)
s.sendall(b"hello")
print("good" if s.recv(100) == b"hello" else "bad", flush=True)
"""


@case("programs begin, close and end at the moment at which acceld is started again", columns=("server", "both"))
def at_the_moment(w, column):
    nginx(w)
    for n, pause in enumerate((0.0, 0.1, 0.4)):
        ending = redis(w)
        closing = w.a.start([PYTHON, "-c", CLOSING])
        w.a.wait_listening(7200)
        kept = w.b.start([PYTHON, "-c", KEPT, w.a.ip4])
        closing.wait_for("open")
        w.a.daemon.kill(9)
        if n % 2 == 0:
            closing.process.send_signal(signal.SIGUSR1)
            closing.wait_for("closed")
        w.a.daemon = w.a.start([ACCELD, "--interface", w.a.interface, *(["--mode", MODE] if MODE else [])],
                               accelerated=False)
        time.sleep(pause)
        ending.kill()
        beginning = w.a.start(ending.argv)
        closing.process.send_signal(signal.SIGUSR1)
        closing.wait_for("closed")
        w.a.daemon.wait_for("ready")
        w.a.wait_open(6379)
        check_values(w, w.a.ip4, w.a.ip6)
        # The port that was closed is another program's now, while the first still has a connection on it.
        for address in (w.a.ip4, w.a.ip6):
            plain = w.a.start([*BULK, "serve", "7200", address], accelerated=False)
            w.a.wait_open(7200)
            until(lambda address=address: reaches(w, address, 7200), f"{address} port 7200 is nobody's")
            plain.kill()
        with open(os.path.join(w.folder, "go"), "wb"):
            pass
        kept.wait_for("good")
        os.remove(os.path.join(w.folder, "go"))
        closing.kill()
        beginning.kill()
        plain = redis(w, accelerated=False)
        check_values(w, w.a.ip4, w.a.ip6)
        plain.kill()
    text = w.b.run(["wrk", "-t1", "-c16", "-d1s", f"http://{w.a.ip4}/1k"])
    if "Socket errors" in text:
        raise Failure(text[-300:])


def reaches(w, address, port):
    try:
        w.b.run([PYTHON, "-c", "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)",
                 address, str(port)])
        return True
    except Failure:
        return False


@case("a server's first clients, who wait for it already, are let in over the interface",
      columns=("kernel", "server", "both"))
def early(w, column):
    clients = w.b.start([PYTHON, os.path.join(HERE, "early.py"), w.a.ip4, "80", "32"])
    clients.wait_for("ready")
    server = nginx(w, wait=False)
    clients.wait_for("good", 30)
    # Whoever comes between the kernel's listen() and acceld's answer, a few milliseconds later, is the kernel's.
    if column.a and (taken := accepts(w, server.pid)) < 24:
        raise Failure(f"{taken} of 32 clients came over the interface")


@case("a server killed with -9: its clients are reset, its port is free", columns=("server", "both"))
def server_killed(w, column):
    server = redis(w)
    load = load_redis(w)
    server.kill(9)
    end = time.monotonic() + 5
    while load.process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    if load.process.poll() is None:
        raise Failure("clients of a killed server hang")
    redis(w)
    check_values(w)


@case("a port goes from an accelerated program to a plain one and back", columns=("server", "both"))
def port_changes_hands(w, column):
    for turn in range(2):
        server = redis(w)
        check_values(w, w.a.ip4, w.a.ip6)
        load_redis(w, address=w.a.ip6 if turn == 1 else w.a.ip4)
        server.kill(9)
        plain = redis(w, accelerated=False)
        check_values(w, w.a.ip4, w.a.ip6)
        plain.kill()
    redis(w)
    check_values(w, w.a.ip4, w.a.ip6)


WAIT = """import socket, sys
s = socket.create_connection((sys.argv[1], 6379))
print("connected", flush=True)
try:
    print("end" if s.recv(1) == b"" else "data")
except ConnectionResetError:
    print("reset")
"""


@case("a server killed with -9: a client that only waits hears of it")
def waiting(w, column):
    server = redis(w)
    for address in (w.a.ip4, w.a.ip6):
        client = w.b.start([PYTHON, "-c", WAIT, address])
        client.wait_for("connected")
    server.kill(9)
    for client in w.programs[-2:]:
        said = client.wait(10).split()[-1]
        if said not in ("end", "reset"):
            raise Failure(said)
