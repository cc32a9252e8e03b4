"""Programs across a wire, each in every arrangement of who is accelerated."""
import hashlib
import json
import os
import re
import signal
import time
from dataclasses import dataclass
from typing import Callable

from world import Failure, World

PYTHON = "/usr/bin/python3"
HERE = os.path.dirname(os.path.abspath(__file__))


@dataclass(frozen=True)
class Column:
    name: str
    a: bool
    b: bool


COLUMNS = [Column("kernel", False, False), Column("server", True, False), Column("client", False, True),
           Column("both", True, True)]


@dataclass(frozen=True)
class Case:
    name: str
    columns: tuple
    world: dict
    body: Callable


CASES = []


def case(name, columns=("kernel", "server", "client", "both"), **world):
    def declare(body):
        CASES.append(Case(name, columns, world, body))
        return body
    return declare


def run_case(chosen, column):
    with World(**chosen.world) as w:
        if column.a:
            w.a.accelerate()
        if column.b:
            w.b.accelerate()
        chosen.body(w, column)
        check_path(w, column)


def nic_connections(host):
    """How many connections went over the network path in a host's programs: what their counters say."""
    total = 0
    for program in host.world.programs:
        if program.host is host and program.accelerated and program.process.poll() is None:
            text = host.stackdump("stats", str(program.pid))
            total += sum(int(n) for n in re.findall(r"nic_(?:accepts|connects|datagram_sockets)\s+(\d+)", text))
    return total


def check_path(w, column):
    """A server that still runs must have taken its connections from the interface; on the kernel, none."""
    for host, accelerated in ((w.a, column.a), (w.b, column.b)):
        alive = [p for p in w.programs if p.host is host and p.accelerated and p.process.poll() is None]
        if accelerated and alive and nic_connections(host) == 0:
            raise Failure(f"no connection of {[os.path.basename(p.argv[0]) for p in alive]} went over the interface")


def redis(w, *more):
    server = w.a.start(["redis-server", "--port", "6379", "--save", "", "--protected-mode", "no", "--bind", "*", "-::*",
                        "--dir", w.folder, *more])
    w.a.wait_listening(6379)
    return server


@case("redis: values of all sizes come back")
def redis_values(w, column):
    redis(w)
    w.b.run([PYTHON, os.path.join(HERE, "redis_values.py"), w.a.ip4])


@case("redis: 50 clients, pipelined and not")
def redis_benchmark(w, column):
    redis(w)
    for pipeline in ("1", "16"):
        text = w.b.run(["redis-benchmark", "-h", w.a.ip4, "-c", "50", "-n", "20000", "-P", pipeline, "-t", "set,get",
                        "-q"])
        if len(re.findall(r"requests per second", text)) < 2:
            raise Failure(f"redis-benchmark -P {pipeline}: {text[-200:]}")


@case("redis: over IPv6")
def redis_ipv6(w, column):
    redis(w)
    w.b.run([PYTHON, os.path.join(HERE, "redis_values.py"), w.a.ip6])


@case("stackdump: what it shows of the server is what ss shows of its clients", columns=("server",))
def stackdump(w, column):
    server = redis(w)
    w.b.start(["redis-benchmark", "-h", w.a.ip4, "-c", "20", "-n", "10000000", "-t", "get", "-q"])
    rows = []
    end = time.monotonic() + 15
    while len(rows) < 20 and time.monotonic() < end:
        rows = [r for r in json.loads(w.a.stackdump("sockets", str(server.pid), "--json"))
                if r["path"] == "nic" and r["state"] == "ESTAB" and r["holders"]]
    if len(rows) < 20:
        raise Failure(f"{len(rows)} of 20 connections are shown")
    peers = {line.split()[2] for line in w.b.sh("ss", "-Htn", "state", "established").splitlines()}
    if not {r["peer"] for r in rows} <= peers:
        raise Failure(f"shown: {[r['peer'] for r in rows]}, there are: {peers}")
    for r in rows:
        tcp = r["tcp"]
        if r["link"] != "a0" or r["local"] != f"{w.a.ip4}:6379" or tcp["cwnd"] < 10 or tcp["mss"] != 1448:
            raise Failure(f"shown: {r}")
        if not (tcp["ts"] and tcp["sack"] and tcp["bytes_received"] > 0 and float(tcp["rtt"].split("/")[0]) > 0):
            raise Failure(f"shown: {tcp}")
    fd = rows[0]["holders"][0]["fd"]
    one = json.loads(w.a.stackdump("socket", f"{server.pid}:{fd}", "--json"))
    if one["summary"]["peer"] != rows[0]["peer"] or one["block.Tcb"]["State"] != "Established":
        raise Failure(f"socket {fd} is shown as {one['summary']}")
    link = json.loads(w.a.stackdump("links", str(server.pid), "--json"))[0]["links"][0]
    if link["name"] != "a0" or not link["up"] or link["rx"]["frames"] == 0 or link["rings"]["rx"] == 0:
        raise Failure(f"the link is shown as {link}")
    before = json.loads(w.a.stackdump("nic", str(server.pid), "--json"))[0]["counters"]
    server.process.send_signal(signal.SIGSTOP)
    states = [r["state"] for r in json.loads(w.a.stackdump("sockets", str(server.pid), "--json"))]
    server.process.send_signal(signal.SIGCONT)
    if states.count("ESTAB") < 20 or before["tcp_passive_opens"] < 20:
        raise Failure(f"while it is stopped {states} are shown, opens {before['tcp_passive_opens']}")


def nginx(w, workers=1):
    files = os.path.join(w.folder, "html")
    os.makedirs(files, exist_ok=True)
    for name, size in (("1k", 1024), ("10m", 10 << 20)):
        with open(os.path.join(files, name), "wb") as f:
            f.write(os.urandom(size))
    config = os.path.join(w.folder, "nginx.conf")
    with open(config, "w", encoding="ascii") as f:
        f.write(f"""daemon off; worker_processes {workers}; pid {w.folder}/nginx.pid; error_log stderr; user root;
events {{ worker_connections 1024; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path {w.folder}; proxy_temp_path {w.folder}; fastcgi_temp_path {w.folder};
  uwsgi_temp_path {w.folder}; scgi_temp_path {w.folder};
  server {{ listen 80; listen [::]:80; root {files}; }} }}
""")
    server = w.a.start(["nginx", "-c", config, "-e", "stderr"])
    w.a.wait_listening(80)
    return server


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


@case("nginx: files whole over curl, IPv4 and IPv6")
def nginx_files(w, column):
    nginx(w, workers=2)
    for address in (w.a.ip4, f"[{w.a.ip6}]"):
        for name in ("1k", "10m"):
            got = os.path.join(w.folder, "got")
            w.b.run(["curl", "-s", "--fail", "-g", "-o", got, f"http://{address}/{name}"])
            if digest(got) != digest(os.path.join(w.folder, "html", name)):
                raise Failure(f"{name} from {address} is not what it was")


@case("nginx: wrk with 32 connections, no errors")
def nginx_wrk(w, column):
    nginx(w)
    text = w.b.run(["wrk", "-t1", "-c32", "-d2s", f"http://{w.a.ip4}/1k"])
    if "Socket errors" in text or "Non-2xx" in text or not re.search(r"Requests/sec:\s+[1-9]", text):
        raise Failure(text[-300:])


@case("nginx: a connection for each request")
def nginx_close(w, column):
    nginx(w)
    text = w.b.run([PYTHON, os.path.join(HERE, "connects.py"), w.a.ip4, "80", "2000"])
    if "2000 good" not in text:
        raise Failure(text[-300:])


@case("ports of a program that has ended are used again by the next, at a server in TIME-WAIT")
def again(w, column):
    w.a.start([PYTHON, os.path.join(HERE, "again.py"), "serve", "7300"])
    w.a.wait_listening(7300)
    for n in range(3):
        text = w.b.run([PYTHON, os.path.join(HERE, "again.py"), "use", w.a.ip4, "7300", "60"])
        if not text.startswith("good"):
            raise Failure(f"program {n + 1}: {text}")


@case("ports that eight threads open at once all answer")
def listeners(w, column):
    server = w.a.start([PYTHON, os.path.join(HERE, "listeners.py"), "serve", "7200", "300"])
    server.wait_for("ready")
    time.sleep(0.3)
    for address in (w.a.ip4, w.a.ip6):
        text = w.b.run([PYTHON, os.path.join(HERE, "listeners.py"), "ask", address, "7200", "300"])
        if not text.startswith("good"):
            raise Failure(text)


@case("iperf3: both directions, four streams")
def iperf3(w, column):
    w.a.start(["iperf3", "-s"])
    w.a.wait_listening(5201)
    for more in ([], ["-R"], ["-P", "4"], ["-6"]):
        target = w.a.ip6 if "-6" in more else w.a.ip4
        text = w.b.run(["iperf3", "-c", target, "-t", "1", "-f", "m", *more])
        rates = [float(x) for x in re.findall(r"([\d.]+) Mbits/sec.*receiver", text)]
        if not rates or max(rates) < 50:
            raise Failure(f"iperf3 {more}: {text[-300:]}")


def transfer(w, megabytes):
    """Sends so much each way and compares sums. Returns seconds for each direction."""
    w.a.start([PYTHON, os.path.join(HERE, "bulk.py"), "serve", "7000"])
    w.a.wait_listening(7000)
    text = w.b.run([PYTHON, os.path.join(HERE, "bulk.py"), "transfer", w.a.ip4, "7000", str(megabytes)], seconds=300)
    found = re.findall(r"(up|down) (\d+) MB in ([\d.]+) s, longest stall ([\d.]+) s, good", text)
    if len(found) != 2:
        raise Failure(text[-300:])
    return {way: (float(s), float(stall)) for way, _, s, stall in found}


@case("bulk: 200 MB each way, sums equal")
def bulk(w, column):
    transfer(w, 200)


@case("bulk: 200 MB each way without offloads", offloads=False)
def bulk_plain(w, column):
    transfer(w, 200)


@case("bulk: MTU 9000", mtu=9000)
def bulk_jumbo(w, column):
    transfer(w, 100)


@case("bulk: 1 % loss and reordering both ways", relay=["--loss", "0.01", "--reorder", "0.005", "--seed", "7"])
def bulk_loss(w, column):
    for way, (_, stall) in transfer(w, 20).items():
        if stall > 3:
            raise Failure(f"{way}: nothing moved for {stall} s")


@case("bulk: corrupted and duplicated frames", relay=["--corrupt", "0.002", "--duplicate", "0.01", "--seed", "9"])
def bulk_corrupt(w, column):
    transfer(w, 20)


@case("coexistence: ping, a plain listener and a plain client beside it", columns=("server",))
def coexistence(w, column):
    redis(w)
    load = w.b.start(["redis-benchmark", "-h", w.a.ip4, "-c", "10", "-n", "100000", "-t", "get", "-q"])
    if " 0% packet loss" not in w.b.run(["ping", "-c", "5", "-i", "0.05", "-q", w.a.ip4]):
        raise Failure("ping lost something")
    w.a.start([PYTHON, os.path.join(HERE, "bulk.py"), "serve", "7001"], accelerated=False)
    w.a.wait_listening(7001)
    w.b.run([PYTHON, os.path.join(HERE, "bulk.py"), "transfer", w.a.ip4, "7001", "20"])
    w.b.start([PYTHON, os.path.join(HERE, "bulk.py"), "serve", "7002"], accelerated=False)
    w.b.wait_listening(7002)
    w.a.run([PYTHON, os.path.join(HERE, "bulk.py"), "transfer", w.b.ip4, "7002", "20"], accelerated=False)
    load.wait()


@case("refused, and no such host", columns=("kernel", "client"))
def refused(w, column):
    text = w.b.run([PYTHON, os.path.join(HERE, "connects.py"), w.a.ip4, "9", "1"])
    if "ECONNREFUSED" not in text:
        raise Failure(text)
    text = w.b.run([PYTHON, os.path.join(HERE, "connects.py"), "10.77.0.99", "9", "1"])
    if "EHOSTUNREACH" not in text:
        raise Failure(text)


@case("a program that ends at once leaves nothing unsent")
def leaving(w, column):
    server = w.a.start([PYTHON, os.path.join(HERE, "leaving.py"), "serve", "7100"])
    w.a.wait_listening(7100)
    for n, how in enumerate(("exit", "_exit", "close", "shutdown"), 1):
        w.b.run([PYTHON, os.path.join(HERE, "leaving.py"), "send", w.a.ip4, "7100", "6", how])
        end = time.monotonic() + 10
        while server.text().count("then") < n and time.monotonic() < end:
            time.sleep(0.05)
        if server.text().splitlines()[n - 1:] != [f"{6 << 20} then end"]:
            raise Failure(f"{how}: {server.text()!r}")


@case("acceld killed and started again under load", columns=("server", "both"))
def acceld_restart(w, column):
    redis(w)
    load = w.b.start(["redis-benchmark", "-h", w.a.ip4, "-c", "10", "-n", "150000", "-t", "get", "-q"])
    time.sleep(0.5)
    w.a.daemon.kill(9)
    time.sleep(0.5)
    w.a.accelerate()
    load.wait()
    w.b.run([PYTHON, os.path.join(HERE, "redis_values.py"), w.a.ip4])


@case("a server killed with -9: its clients are reset, its port is free", columns=("server", "both"))
def server_killed(w, column):
    server = redis(w)
    load = w.b.start(["redis-benchmark", "-h", w.a.ip4, "-c", "10", "-n", "10000000", "-t", "get", "-q"])
    # Refused while it connects, this redis-benchmark would turn in a circle, on the kernel too.
    load.wait_for("GET: rps", 20)
    server.kill(9)
    end = time.monotonic() + 5
    while load.process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    if load.process.poll() is None:
        raise Failure("clients of a killed server hang")
    redis(w)
    w.b.run([PYTHON, os.path.join(HERE, "redis_values.py"), w.a.ip4])


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
