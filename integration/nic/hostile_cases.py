"""Frames that mean no good, sent to programs at work: the corpus of the parsers, forged segments, floods of SYNs."""
import json
import os
import re
import statistics
import time

import cases
from cases import HERE, PYTHON, case, comparison, nginx, redis
from coexistence_cases import check_ping, check_values, load_redis
from world import ACCELD, FLOOD, ROOT, Failure, World, sh

CORPUS = os.path.join(ROOT, "tests/Accel.Wire.Tests/Corpus")
SINK = 5201

# A backlog of net.core.somaxconn, which iperf3 asks for, and a few: redis asks for 511.
MOST_HALF_OPEN = 4096 + 64

# SYNs a second that acceld's program takes for a flood whichever CPU they come on, and how many of one may get to the
# stack, in all: those before it was noticed, and a few.
CERTAIN_FLOOD, MOST_STEERED = 45_000, 10_000

# What is left under a flood of what a load did without, at least.
LEAST_LEFT = 0.5


def counters(w, program):
    """What the program on the interface has counted, and what the stack has."""
    steering = json.loads(w.a.sh(ACCELD, "status", "--json"))["interfaces"][0]["frames"]
    stack = json.loads(w.a.stackdump("nic", str(program.pid), "--json"))[0]["counters"]
    drops = json.loads(w.a.stackdump("links", str(program.pid), "--json"))[0]["links"][0]["rx_drops"]
    return {**{f"steering_{name}": value for name, value in steering.items()}, **stack, **drops}


def grown(before, after):
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}


def established(w, port):
    """The names of the connections of b to a port of a: source, port, target, port."""
    return [f"{own} {peer}".replace(":", " ").split()
            for own, peer in (line.split()[2:4] for line in
                              w.b.sh("ss", "-4Htn", "state", "established", f"dport = :{port}").splitlines())]


@case("hostile: the corpus, its mutations and forged segments at a server at work", columns=("server",),
      corpus=True)
def corpus(w, column):
    many = 10_000
    server = nginx(w)
    before = counters(w, server)
    w.b.start(["wrk", "-t1", "-c8", "-d6s", f"http://{w.a.ip4}/1k"])
    idle = w.b.start([PYTHON, "-c", "import socket, time; s = socket.create_connection(('10.0.0.2', 80)); "
                      "print('connected', flush=True); time.sleep(4); s.sendall(b'GET /1k HTTP/1.0\\r\\n\\r\\n'); "
                      "print(len(s.recv(100, socket.MSG_WAITALL)))"])
    idle.wait_for("connected")
    time.sleep(0.5)
    names = [word for connection in established(w, 80) for word in connection]
    if len(names) < 4 * 9:
        raise Failure(f"connections: {names}")
    text = w.b.run([PYTHON, os.path.join(HERE, "hostile.py"), w.b.interface, CORPUS, "1", str(many), *names])
    sent = {kind: int(count) for kind, count in re.findall(r"(\w+) (\d+)", text)}
    if sent["corpus"] < 70 or sent["forged"] < many * 9 // 10:
        raise Failure(text)
    if idle.wait() != "connected\n100\n":
        raise Failure(f"an idle connection heard {idle.text()!r}")
    wrk = next(p for p in w.programs if p.argv[0].endswith("wrk"))
    said = wrk.wait()
    if "Socket errors" in said or "Non-2xx" in said:
        raise Failure(said[-300:])
    check_ping(w.b, "10.0.0.2")
    check_counted(grown(before, counters(w, server)), sent)


# What some frame of the corpus must have moved, and some of what is forged.
REASONS = ["steering_not_ip", "steering_other_mac", "steering_fragment", "steering_other_protocol",
           "steering_kernel_port", "rx_malformed", "rx_bad_checksum", "tcp_out_of_window", "tcp_syn_challenges",
           "tcp_challenge_acks", "tcp_challenge_skipped", "tcp_paws_rejected", "listen_syns"]


def check_counted(moved, sent):
    """Everything was counted by the program on the interface; what it steered has reached the stack, or the ring was
    full, and each kind of nonsense has moved a counter with a name."""
    met = sum(count for name, count in moved.items() if name.startswith("steering_") and not name.endswith("_bytes"))
    if met < sent["corpus"] + sent["mutated"] + sent["forged"]:
        raise Failure(f"{sent} were sent, {met} were met: {moved}")
    taken = moved.get("rx_frames", 0) + moved.get("ring_full", 0) + moved.get("no_buffer", 0)
    if abs(moved["steering_steered"] - taken) > 64:
        raise Failure(f"{moved['steering_steered']} frames were steered, {taken} came or were dropped: {moved}")
    silent = [name for name in REASONS if not moved.get(name)]
    if silent:
        raise Failure(f"not moved: {silent}; moved: {moved}")


class Flood:
    """SYNs to a port of a from hosts that are not there, while something goes on."""

    def __init__(self, w, column, seconds, v6=False):
        self.w, self.column, self.seconds = w, column, seconds
        self.target = w.a.ip6 if v6 else w.a.ip4
        # Answers to those hosts go to where nobody takes them.
        w.a.sh("ip", "-4", "route", "add", "10.78.0.0/16", "via", w.b.ip4)
        w.a.sh("ip", "-6", "route", "add", "fd78::/64", "via", w.b.ip6)
        self.mac = json.loads(sh("ip", "-n", w.a.namespace, "-j", "link", "show", w.a.interface))[0]["address"]

    def start(self, port):
        return self.w.b.start([FLOOD, self.w.b.interface, self.mac, self.target, str(port), "--seconds",
                               str(self.seconds)], accelerated=False)

    def run(self, server, load, port, pattern):
        """What the load did before and meanwhile, SYNs and cookies a second."""
        time.sleep(2)
        calm = rate(load, pattern)
        memory = resident(server)
        flood = self.start(port)
        time.sleep(0.5)
        mark = len(load.text())
        sent = int(re.search(r"sent (\d+)", flood.wait(self.seconds + 30)).group(1))
        under = rate(load, pattern, mark)
        if load.process.poll() is not None:
            raise Failure(f"connections were lost: {load.text()[-200:]} {load.errors()}")
        grown_by = resident(server) - memory
        if grown_by > 16 << 20:
            raise Failure(f"the server grew by {grown_by >> 20} MB")
        cookies = self.cookies(server)
        if cookies < sent // 2:
            raise Failure(f"{cookies} SYNs of {sent} were answered with a cookie")
        return calm, under, sent / self.seconds, cookies / self.seconds

    def cookies(self, server):
        if self.column.a:
            stack = json.loads(self.w.a.stackdump("nic", str(server.pid), "--json"))[0]
            if stack["engine"]["half_open"] > MOST_HALF_OPEN:
                raise Failure(f"{stack['engine']['half_open']} half-open connections are kept")
            frames = json.loads(self.w.a.sh(ACCELD, "status", "--json"))["interfaces"][0]["frames"]
            steered, met = stack["counters"]["listen_syns"], stack["counters"]["listen_syns"] + frames["syn_answered"]
            if met > CERTAIN_FLOOD * self.seconds and steered > MOST_STEERED:
                raise Failure(f"{steered} SYNs of {met} got to the stack")
            if frames["syn_dropped"] or frames["syn_unfit"]:
                raise Failure(f"SYNs were dropped: {frames}")
            return stack["counters"]["syncookies_sent"] + frames["syn_answered"]
        return self.w.a.kernel_counters()["SyncookiesSent"]


def resident(program):
    with open(f"/proc/{program.pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def rate(load, pattern, since=0):
    """The median of what a load has said since; it says something several times a second."""
    found = [float(x) for x in re.findall(pattern, load.text()[since:])]
    return statistics.median(found) if found else 0.0


def flooded_redis(w, column, seconds, v6=False):
    server = redis(w)
    load = load_redis(w, address=w.a.ip6 if v6 else w.a.ip4)
    figures = Flood(w, column, seconds, v6).run(server, load, 6379, r"GET: rps=([0-9.]+)")
    load.kill()
    check_values(w, w.a.ip4, w.a.ip6)
    return figures


def flooded_bulk(w, column, seconds, v6=False):
    server = w.a.start(["iperf3", "-s"])
    w.a.wait_listening(SINK)
    load = w.b.start(["iperf3", "-c", w.a.ip6 if v6 else w.a.ip4, "-t", str(seconds + 30), "-i", "0.5", "-f", "m",
                      "--forceflush"])
    load.wait_for("Mbits/sec")
    figures = Flood(w, column, seconds, v6).run(server, load, SINK, r"([0-9.]+) Mbits/sec")
    load.kill()
    check_ping(w.b, w.a.ip4)
    return figures


@case("hostile: a flood of SYNs at redis, its clients live, new ones come", columns=("kernel", "server"))
def flood_redis(w, column):
    flooded_redis(w, column, 3)


@case("hostile: a flood of SYNs over IPv6", columns=("server",))
def flood_ipv6(w, column):
    flooded_redis(w, column, 2, v6=True)


def welcome(w, address, seconds):
    """New clients one after the other: each got in, with at most one SYN sent again, and with all that TCP has."""
    said = json.loads(w.b.run([PYTHON, os.path.join(HERE, "newcomers.py"), address, "6379", str(seconds)],
                              accelerated=False))
    if said["errors"] or said["most_again"] > 1 or said["first"] < said["clients"] * 9 // 10 or said["clients"] < 10:
        raise Failure(f"new clients of {address}: {said}")
    return said["agreed"]


def newcomers(w, v6):
    server = redis(w)
    flood = Flood(w, cases.COLUMNS[1], 5, v6)
    calm = welcome(w, flood.target, 1)
    before = counters(w, server)
    flooder = flood.start(6379)
    time.sleep(0.7)
    under = welcome(w, flood.target, 3)
    # The other family's clients, and the other addresses', come in as well.
    other = welcome(w, w.a.ip4 if v6 else w.a.ip6, 0.6)
    flooder.wait()
    moved = grown(before, counters(w, server))
    if moved.get("syncookies_recv", 0) < 20 or moved.get("steering_syn_answered", 0) < 20_000:
        raise Failure(f"the flood was none: {moved}")
    if under != calm or other["scales"] != calm["scales"]:
        raise Failure(f"agreed on under the flood: {under}, {other}; without: {calm}")
    # Quiet for longer than a flood is remembered: the stack itself answers again. With cookies of its own, while the
    # handshakes are open that began before the flood was noticed.
    time.sleep(0.5)
    before = counters(w, server)
    after = welcome(w, flood.target, 1)
    moved = grown(before, counters(w, server))
    if after != calm or moved.get("steering_syn_answered") or moved.get("listen_syns", 0) < 10:
        raise Failure(f"after the flood: {after}, {moved}")


@case("hostile: new clients under a flood of SYNs come in at the first SYN", columns=("server",))
def newcomers_ipv4(w, column):
    newcomers(w, False)


@case("hostile: new clients under a flood of SYNs over IPv6", columns=("server",))
def newcomers_ipv6(w, column):
    newcomers(w, True)


def flooded(name, body, v6):
    @comparison(f"flood: {name}, {'IPv6' if v6 else 'IPv4'}")
    def compare(size):
        seconds = max(3, int(30 * size.share))
        print(f"  {seconds} s, each alone; then the same under a flood of SYNs at the port it uses")
        bad = []
        for column in (c for c in cases.COLUMNS if c.name in ("kernel", "server")):
            with World() as w:
                if column.a:
                    w.a.accelerate()
                calm, under, syns, cookies = body(w, column, seconds, v6)
            print(f"  {column.name:8} | {calm:9.0f} | {under:9.0f} {under / calm:5.2f}x | {syns / 1000:6.0f} k SYNs/s, "
                  f"{cookies / 1000:6.0f} k cookies/s", flush=True)
            if column.a and under < calm * LEAST_LEFT:
                bad.append(f"{column.name}: {under:.0f} of {calm:.0f} are left")
        if bad:
            raise Failure("; ".join(bad))


for six in (False, True):
    flooded("redis, requests a second", flooded_redis, six)
    flooded("bulk, Mb/s", flooded_bulk, six)
