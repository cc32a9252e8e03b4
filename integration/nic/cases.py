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
PROGRAMS = os.path.join(HERE, "..", "programs", "drivers")


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


@dataclass(frozen=True)
class Size:
    """How much a comparison does."""
    share: float
    rounds: int
    congestion: str


CASES = []
COMPARISONS = []


def case(name, columns=("kernel", "server", "client", "both"), **world):
    def declare(body):
        CASES.append(Case(name, columns, world, body))
        return body
    return declare


def comparison(name):
    """What runs all columns in turn, with --full only: its body gets the size, prints its table and fails."""
    def declare(body):
        COMPARISONS.append((name, body))
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


def nic_connections(host, *programs):
    """How many connections went over the network path in a host's programs: what their counters say."""
    total = 0
    for program in programs or host.world.programs:
        if program.host is host and program.accelerated and program.process.poll() is None:
            text = host.stackdump("stats", str(program.pid))
            total += sum(int(n) for n in re.findall(r"nic_(?:accepts|connects|datagram_sockets)\s+(\d+)", text))
    return total


def check_path(w, column):
    """A server that still runs must have taken its connections from the interface; on the kernel, none."""
    for host, accelerated in ((w.a, column.a), (w.b, column.b)):
        def alive():
            return [p for p in w.programs if p.host is host and p.accelerated and p.process.poll() is None]
        if not accelerated or not alive() or nic_connections(host) != 0:
            continue
        # Who is at its end just now says nothing any more.
        time.sleep(0.5)
        if alive() and nic_connections(host) == 0:
            names = [os.path.basename(p.argv[0]) for p in alive()]
            raise Failure(f"no connection of {names} went over the interface")


def redis(w, accelerated=None):
    server = w.a.start(["redis-server", "--port", "6379", "--save", "", "--protected-mode", "no", "--bind", "*", "-::*",
                        "--dir", w.folder], accelerated)
    w.a.wait_listening(6379)
    return server


@case("redis: values of all sizes come back")
def redis_values(w, column):
    redis(w)
    w.b.run([PYTHON, os.path.join(HERE, "redis_values.py"), w.a.ip4])


@case("redis: 50 clients, pipelined and not")
def redis_benchmark(w, column):
    redis(w)
    for address, pipeline in ((w.a.ip4, "1"), (w.a.ip4, "16"), (w.a.ip6, "1"), (w.a.ip6, "16")):
        text = w.b.run(["redis-benchmark", "-h", address, "-c", "50", "-n", "20000", "-P", pipeline, "-t", "set,get",
                        "-q"])
        if len(re.findall(r"requests per second", text)) < 2:
            raise Failure(f"redis-benchmark -h {address} -P {pipeline}: {text[-200:]}")


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


def nginx(w, workers=1, daemon="off", wait=True):
    files = os.path.join(w.folder, "html")
    os.makedirs(files, exist_ok=True)
    for name, size in (("1k", 1024), ("10k", 10240), ("10m", 10 << 20)):
        with open(os.path.join(files, name), "wb") as f:
            f.write(os.urandom(size))
    config = os.path.join(w.folder, "nginx.conf")
    with open(config, "w", encoding="ascii") as f:
        f.write(f"""daemon {daemon}; worker_processes {workers}; pid {w.folder}/nginx.pid; error_log stderr; user root;
events {{ worker_connections 1024; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path {w.folder}; proxy_temp_path {w.folder}; fastcgi_temp_path {w.folder};
  uwsgi_temp_path {w.folder}; scgi_temp_path {w.folder};
  server {{ listen 80; listen [::]:80; root {files}; }} }}
""")
    server = w.a.start(["nginx", "-c", config, "-e", "stderr"])
    if daemon == "off" and wait:
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


def wrk(w, address, name):
    """Requests answered."""
    text = w.b.run(["wrk", "-t1", "-c32", "-d1s", f"http://{address}/{name}"])
    if "Socket errors" in text or "Non-2xx" in text or not re.search(r"Requests/sec:\s+[1-9]", text):
        raise Failure(text[-300:])
    return int(re.search(r"(\d+) requests in", text)[1])


def sent(host, process):
    return json.loads(host.stackdump("links", str(process.pid), "--json"))[0]["links"][0]["tx"]


@case("nginx: wrk with 32 connections, no errors; what it answers in one turn leaves by one doorbell")
def nginx_wrk(w, column):
    server = nginx(w)
    requests = sum(wrk(w, address, "1k") for address in (w.a.ip4, f"[{w.a.ip6}]"))
    # tcp_nopush: it takes the cork out after each answer.
    if column.a and sent(w.a, server)["doorbells"] > requests / 2:
        raise Failure(f"{sent(w.a, server)['doorbells']} doorbells for {requests} requests")


@case("nginx: wrk with answers of 10 KB; header, file and its end leave together")
def nginx_wrk_larger(w, column):
    server = nginx(w)
    requests = sum(wrk(w, address, "10k") for address in (w.a.ip4, f"[{w.a.ip6}]"))
    if column.a:
        tx = sent(w.a, server)
        if tx["super_frames"] + tx["frames"] > 1.5 * requests:
            raise Failure(f"{requests} requests, sent {tx}")


@case("nginx: a connection for each request")
def nginx_close(w, column):
    nginx(w)
    for address in (w.a.ip4, w.a.ip6):
        text = w.b.run([PYTHON, os.path.join(HERE, "connects.py"), address, "80", "1000"])
        if "1000 good" not in text:
            raise Failure(text[-300:])


@case("ports of 15,000 closed connections are still taken: the next connection costs no more than the first")
def many(w, column):
    script = os.path.join(HERE, "many.py")
    w.a.start([PYTHON, script, "serve", "7100"])
    w.a.wait_listening(7100)
    for address, count in ((w.a.ip4, "15000"), (w.a.ip6, "2000")):
        text = w.b.run([PYTHON, script, "connect", address, "7100", count])
        told = dict(zip(text.split()[::2], map(int, text.split()[1::2])))
        # The kernel's own connect() searches too, and takes up to a millisecond at the end.
        is_slow = column.b and told["last"] > 3 * told["first"] + 50
        if told["wrong"] or is_slow:
            raise Failure(text)


@case("a program that asks again and again, and never waits, is answered at once")
def polling(w, column):
    script = os.path.join(HERE, "polling.py")
    w.a.start([PYTHON, script, "server", "7100"])
    w.a.wait_listening(7100)
    middle = int(w.b.run([PYTHON, script, "client", w.a.ip4, "7100", "1000"]))
    # Nobody but the program itself moves its connections on, bar a look every two milliseconds.
    if middle > 1000:
        raise Failure(f"a round trip takes {middle} us")


def pid_in(path):
    try:
        with open(path, encoding="ascii") as f:
            return int(f.read())
    except (OSError, ValueError):
        return None


def until(condition, why, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failure(why)
        time.sleep(0.02)


def gone(pid):
    return not os.path.exists(f"/proc/{pid}")


def listens(w, pid):
    return re.search(r"nic_listens +[1-9]", w.a.stackdump("stats", str(pid)))


@case("nginx: a new binary by USR2, WINCH and QUIT under load, no request fails")
def nginx_upgrade(w, column):
    pid_file, old_file = os.path.join(w.folder, "nginx.pid"), os.path.join(w.folder, "nginx.pid.oldbin")
    masters = set()
    try:
        nginx(w, workers=2, daemon="on").wait(5)
        until(lambda: pid_in(pid_file), "nginx wrote no pid")
        for _ in range(2):
            old = pid_in(pid_file)
            masters.add(old)
            if column.a:
                until(lambda: listens(w, old), "nginx does not listen on the interface")
            load = w.b.start([PYTHON, os.path.join(PROGRAMS, "one_by_one.py"), w.a.ip4, "80", "2.5"])
            time.sleep(0.4)
            os.kill(old, signal.SIGUSR2)
            until(lambda: pid_in(old_file) == old and pid_in(pid_file) not in (None, old), "no new master")
            masters.add(pid_in(pid_file))
            time.sleep(0.4)
            os.kill(old, signal.SIGWINCH)
            time.sleep(0.4)
            os.kill(old, signal.SIGQUIT)
            until(lambda: gone(old), "the old master does not go")
            load.wait(15)
        before = accepts(w, pid_in(pid_file))
        text = w.b.run(["wrk", "-t1", "-c32", "-d1s", f"http://{w.a.ip4}/1k"])
        if "Socket errors" in text or "Non-2xx" in text or not re.search(r"Requests/sec:\s+[1-9]", text):
            raise Failure(text[-300:])
        if column.a and accepts(w, pid_in(pid_file)) < before + 32:
            raise Failure("the new binary takes no connections from the interface")
    finally:
        masters.update(pid for pid in (pid_in(pid_file), pid_in(old_file)) if pid)
        for how in (signal.SIGTERM, signal.SIGKILL):
            for pid in masters:
                if not gone(pid):
                    os.kill(pid, how)
            time.sleep(0.3)


def accepts(w, pid):
    return sum(int(n) for n in re.findall(r"nic_accepts +(\d+)", w.a.stackdump("stats", str(pid))))


@case("socat: each connection is another program's standard descriptors")
def socat_exec(w, column):
    w.a.start(["socat", "TCP-LISTEN:7300,reuseaddr,fork", "EXEC:cat,nofork"])
    w.a.wait_listening(7300)
    up, got = os.path.join(w.folder, "up"), os.path.join(w.folder, "got")
    with open(up, "wb") as f:
        f.write(os.urandom(8 << 20))
    for _ in range(4):
        w.b.run([PYTHON, os.path.join(PROGRAMS, "echo_file.py"), w.a.ip4, "7300", up, got])
        if digest(up) != digest(got):
            raise Failure("what cat sent back is something else")


EXEC = """import os, socket, sys
if sys.argv[1] == "serve":
    listener = socket.create_server(("", 7400))
    s, _ = listener.accept()
    gone = listener.accept()[0]  # close-on-exec: ends with this image
    s.set_inheritable(True)
    listener.set_inheritable(True)
    s.recv(5, socket.MSG_WAITALL)
    os.execv(sys.executable, [sys.executable, __file__, "go-on", str(s.fileno()), str(listener.fileno())])
s, listener = socket.socket(fileno=int(sys.argv[2])), socket.socket(fileno=int(sys.argv[3]))
while piece := s.recv(65536):
    s.sendall(piece)
s.close()
late, _ = listener.accept()
late.sendall(late.recv(100))
late.close()
print("done", flush=True)
"""

EXEC_CLIENT = """import socket, sys, threading
address = (sys.argv[1], 7400)
s, gone = socket.create_connection(address, 10), socket.create_connection(address, 10)
data = bytes(i * 7 & 255 for i in range(1 << 20)) * 4
s.sendall(b"begin")
def send():
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
sender = threading.Thread(target=send)
sender.start()
assert gone.recv(1) == b"", "the close-on-exec connection says something"
got = b""
while piece := s.recv(1 << 20):
    got += piece
sender.join()
assert got == data, f"{len(got)} bytes came back, or others"
with socket.create_connection(address, 10) as late:
    late.sendall(b"late")
    assert late.recv(100) == b"late"
print("good")
"""


@case("exec in place: the only process of a stack becomes another in the middle of data")
def exec_in_place(w, column):
    for name, text in (("exec.py", EXEC), ("client.py", EXEC_CLIENT)):
        with open(os.path.join(w.folder, name), "w", encoding="ascii") as f:
            f.write(text)
    for _ in range(3):
        server = w.a.start([PYTHON, os.path.join(w.folder, "exec.py"), "serve"])
        w.a.wait_listening(7400)
        if "good" not in w.b.run([PYTHON, os.path.join(w.folder, "client.py"), w.a.ip4]):
            raise Failure("the client is not content")
        if "done" not in server.wait(10):
            raise Failure("the server did not end as it should")


@case("ports of a program that has ended are used again by the next, at a server in TIME-WAIT")
def again(w, column):
    w.a.start([PYTHON, os.path.join(HERE, "again.py"), "serve", "7300"])
    w.a.wait_listening(7300)
    for n in range(3):
        text = w.b.run([PYTHON, os.path.join(HERE, "again.py"), "use", w.a.ip4, "7300", "60"])
        if not text.startswith("good"):
            raise Failure(f"program {n + 1}: {text}")


@case("ports that are used again while the server's kernel has them in TIME-WAIT: its connections were given to it")
def again_given(w, column):
    w.a.start([PYTHON, os.path.join(HERE, "again.py"), "serve", "7300", "given"])
    w.a.wait_listening(7300)
    for n in range(2):
        text = w.b.run([PYTHON, os.path.join(HERE, "again.py"), "use", w.a.ip4, "7300", "20"])
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


@case("a listener that epoll tells ready has a connection to accept: clients by every path at once")
def accepting(w, column):
    program = [PYTHON, os.path.join(HERE, "accepting.py")]
    server = w.a.start([*program, "serve", "7400", "1800"])
    server.wait_for("ready")
    w.a.wait_listening(7400)
    clients = [w.b.start([*program, "ask", w.a.ip4, "7400", "600"]), w.b.start([*program, "ask", w.a.ip6, "7400", "600"]),
               w.a.start([*program, "ask", "127.0.0.1", "7400", "300"]),
               w.a.start([*program, "ask", "127.0.0.1", "7400", "300"], accelerated=False)]
    for client in clients:
        text = client.wait()
        if not text.startswith("good"):
            raise Failure(text)
    text = server.wait()
    if "good" not in text:
        raise Failure(text)


@case("iperf3: the end of each write of 128 KiB leaves with the next one, not alone")
def iperf3_ends(w, column):
    w.a.start(["iperf3", "-s"])
    w.a.wait_listening("5201")
    client = w.b.start(["iperf3", "-c", w.a.ip4, "-t", "2"])
    time.sleep(1)
    tx = sent(w.b, client) if column.b else None
    client.wait(20)
    if column.b and (tx["super_frames"] < 1000 or tx["frames"] > tx["super_frames"] / 10):
        raise Failure(f"sent {tx}")


@case("iperf3: both directions, four streams")
def iperf3(w, column):
    w.a.start(["iperf3", "-s"])
    w.a.wait_listening(5201)
    for more in ([], ["-R"], ["-P", "4"], ["-6"], ["-6", "-R"]):
        target = w.a.ip6 if "-6" in more else w.a.ip4
        text = w.b.run(["iperf3", "-c", target, "-t", "1", "-f", "m", *more])
        rates = [float(x) for x in re.findall(r"([\d.]+) Mbits/sec.*receiver", text)]
        if not rates or max(rates) < 50:
            raise Failure(f"iperf3 {more}: {text[-300:]}")


def transfer(w, megabytes):
    """So much each way, half of it over IPv6; sums are compared."""
    for port, address in (("7000", w.a.ip4), ("7006", w.a.ip6)):
        w.a.start([PYTHON, os.path.join(HERE, "bulk.py"), "serve", port, address])
        w.a.wait_listening(port)
        text = w.b.run([PYTHON, os.path.join(HERE, "bulk.py"), "transfer", address, port, str(megabytes // 2)])
        if len(re.findall(r"(?:up|down) .*, good", text)) != 2:
            raise Failure(text[-300:])


@case("bulk: 200 MB each way, sums equal")
def bulk(w, column):
    transfer(w, 200)


@case("bulk: 200 MB each way without offloads", offloads=False)
def bulk_plain(w, column):
    transfer(w, 200)


@case("bulk: MTU 9000", mtu=9000)
def bulk_jumbo(w, column):
    transfer(w, 100)


@case("bulk: corrupted and duplicated frames", relay=["--corrupt", "0.002", "--duplicate", "0.01", "--seed", "9"])
def bulk_corrupt(w, column):
    transfer(w, 20)


@case("refused, and no such host", columns=("kernel", "client"))
def refused(w, column):
    for address in (w.a.ip4, w.a.ip6):
        text = w.b.run([PYTHON, os.path.join(HERE, "connects.py"), address, "9", "1"])
        if "ECONNREFUSED" not in text:
            raise Failure(text)
    for address in ("10.77.0.99", "fd77::99"):
        text = w.b.run([PYTHON, os.path.join(HERE, "connects.py"), address, "9", "1"])
        if "EHOSTUNREACH" not in text:
            raise Failure(text)


@case("a program that ends at once leaves nothing unsent")
def leaving(w, column):
    server = w.a.start([PYTHON, os.path.join(HERE, "leaving.py"), "serve", "7100"])
    w.a.wait_listening(7100)
    for n, how in enumerate(("exit", "_exit", "close", "shutdown") * 2, 1):
        address = w.a.ip4 if n <= 4 else w.a.ip6
        w.b.run([PYTHON, os.path.join(HERE, "leaving.py"), "send", address, "7100", "3", how])
        end = time.monotonic() + 10
        while server.text().count("then") < n and time.monotonic() < end:
            time.sleep(0.05)
        if server.text().splitlines()[n - 1:] != [f"{3 << 20} then end"]:
            raise Failure(f"{how}: {server.text()!r}")
