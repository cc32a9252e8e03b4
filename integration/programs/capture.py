"""What `accel pcap` writes of real programs, as tshark reads it."""
import json
import os
import re
import signal
import subprocess
import time

from .drivers import forking_echo
from .harness import DRIVERS, PYTHON, ROOT, STACKDUMP, Child, case, find, free_port
from .nginx import check as all_answered, serve as serve_nginx, wrk
from .redis import Redis

ACCEL = os.path.join(ROOT, "artifacts/bin/Accel.Cli/release/accel-cli")


def tshark(c, file, *args):
    done = subprocess.run([find("tshark") or "tshark", "-r", file, *args], capture_output=True, text=True, timeout=50,
                          check=False)
    c.expect(done.returncode == 0, f"tshark {args}: {done.stderr[-200:]}")
    return done.stdout


def listen(c, *args, stdout=None):
    """A capture that has begun."""
    child = Child(c.folder, (ACCEL, "pcap", *args), False, stdout=stdout)
    c.children.append(child)
    c.eventually(lambda: "listening" in child.errors() or not child.running, "the capture does not begin")
    c.expect(child.running, f"the capture has ended: {child.said()}")
    return child


def finish(c, capture):
    capture.kill(signal.SIGINT)
    c.expect(capture.wait(10) == 0, f"the capture ended with {capture.process.returncode}: {capture.said()}")
    return capture.said()


def check(c, file):
    """Nothing malformed, every checksum right, nothing that TCP's analysis finds wrong."""
    checks = ("-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE")
    wrong = ("_ws.malformed", "_ws.expert.severity >= 6291456", "tcp.checksum.status == 0", "ip.checksum.status == 0",
             "tcp.analysis.lost_segment", "tcp.analysis.retransmission", "tcp.analysis.ack_lost_segment",
             "tcp.analysis.out_of_order")
    found = tshark(c, file, *checks, "-Y", " or ".join(wrong)).strip().splitlines()
    c.expect(not found, f"tshark finds {len(found)} packets wrong, the first: {found[:1]}")


def follow(c, file, stream):
    """The bytes of both directions of a stream."""
    both = [b"", b""]
    for line in tshark(c, file, "-q", "-z", f"follow,tcp,raw,{stream}").splitlines():
        text = line.strip()
        if text and all(d in "0123456789abcdef" for d in text):
            both[line.startswith("\t")] += bytes.fromhex(text)
    return both


@case("pcap", moves=200_000, columns=("accel",))
def local(c):
    """Every byte comes back by following the stream, of both ends and of one."""
    r = Redis(c)
    value = os.urandom(200_000)
    with open(c.path("value"), "wb") as f:
        f.write(value)
    sent = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$200000\r\n" + value + b"\r\n"
    c.expect(r.cli("PING") == "PONG", "the server does not answer")
    for way, args in (("all", ()), ("one", ("-p", r.child.pid))):
        file = c.path(f"{way}.pcapng")
        capture = listen(c, "-i", "local", "-w", file, *args, f"tcp port {r.port}")
        c.client("redis-cli", "-p", r.port, "-x", "SET", "key", stdin=c.path("value"))
        c.client("redis-benchmark", "-p", r.port, "-t", "get", "-c", "20", "-n", "5000", "-q")
        said = finish(c, capture)
        c.expect(" 0 lost" in said, f"{way}: {said}")
        check(c, file)
        theirs, ours = follow(c, file, 0)
        c.expect(theirs == sent, f"{way}: {len(theirs)} bytes to the server, not the {len(sent)} that were sent")
        c.expect(ours == b"+OK\r\n", f"{way}: the answer was {ours}")
        rows = [row.split("\t") for row in tshark(c, file, "-T", "fields", "-e", "tcp.flags.syn", "-e", "tcp.flags.ack",
                                                 "-e", "tcp.flags.fin", "-e", "tcp.flags.reset", "-e",
                                                 "frame.comment").splitlines()]
        server = f"redis-server({r.child.pid}) fd "
        unnamed = [row for row in rows if server not in row[4]]
        c.expect(not unnamed, f"{way}: a packet is not named: {unnamed[:3]}")
        on = ("1", "True")
        opened = sum(row[0] in on and row[1] not in on for row in rows)
        closed = sum(row[2] in on or row[3] in on for row in rows)
        c.expect(opened >= 21, f"{way}: {opened} handshakes of at least 21")
        c.expect(closed >= 21, f"{way}: {closed} ends of at least 21")
    wrong = subprocess.run([ACCEL, "pcap", "-c", "1", "port and"], capture_output=True, text=True, timeout=20,
                           check=False)
    c.expect(wrong.returncode == 2 and "syntax error" in wrong.stderr, f"a wrong filter: {wrong.stderr}")
    none = subprocess.run([ACCEL, "pcap", "-p", str(os.getpid())], capture_output=True, text=True, timeout=20,
                          check=False)
    c.expect(none.returncode == 2 and "no stack" in none.stderr, f"a process without a stack: {none.stderr}")


@case("pcap-nginx", moves=2_000_000, columns=("accel",))
def under_load(c):
    """nginx and wrk while all is captured; what a stream of it carried is requests and whole answers."""
    _, port = serve_nginx(c, workers=2)
    file, most = c.path("nginx.pcapng"), 30_000
    capture = listen(c, "-i", "local", "-w", file, "-c", most, f"tcp port {port}")
    all_answered(c, wrk(c, port, "--header", "Marked: yes"))
    c.expect(capture.wait(20) == 0, f"the capture ended with {capture.process.returncode}: {capture.said()}")
    lost = int(re.search(r"(\d+) lost", capture.said()).group(1))
    if lost == 0:
        check(c, file)
    bad = tshark(c, file, "-Y", "_ws.malformed")
    c.expect(not bad, f"malformed: {bad[:200]}")
    rows = [row.split("\t") for row in tshark(c, file, "-T", "fields", "-e", "tcp.stream", "-e",
                                              "frame.comment").splitlines()]
    c.expect(len(rows) == most, f"{len(rows)} packets of {most}")
    c.expect(len({row[0] for row in rows}) >= 32, "the streams of 32 connections are not there")
    c.expect(all("nginx(" in row[1] for row in rows), "a packet does not name its worker")
    answers = 0
    for stream in range(8 if lost == 0 else 0):
        asked, told = follow(c, file, stream)
        if not asked and not told:
            continue  # wrk looks first whether anybody listens
        heads = re.findall(rb"HTTP/1\.1 200 OK\r\n(?:[^\r]+\r\n)*\r\n(x*)", told)
        # The last may have been cut off where the capture ended.
        c.expect(heads and all(body == b"x" * 1024 for body in heads[:-1]), f"stream {stream}: other answers")
        c.expect(asked.count(b"Marked: yes\r\n") in (len(heads), len(heads) + 1), f"stream {stream}: requests")
        answers += len(heads)
    c.expect(lost > 0 or answers > 8, f"{answers} answers in the streams")


@case("pcap-fork", moves=500_000, columns=("accel",))
def forks(c):
    """A server that forks in the middle of a connection, while it is captured: every byte, with who moved it."""
    port, count = free_port(), 6
    driver = os.path.join(DRIVERS, "forking_echo.py")
    server = c.server(PYTHON, driver, "serve", "127.0.0.1", port, count, port=port)
    file = c.path("fork.pcapng")
    capture = listen(c, "-i", "local", "-w", file, f"tcp port {port}")
    c.driver("forking_echo.py", "ask", "127.0.0.1", port, count)
    c.expect(server.wait(10) == 0, f"the server: {server.said()}")
    said = finish(c, capture)
    c.expect(" 0 lost" in said, said)
    check(c, file)
    for i in range(count):
        asked, told = follow(c, file, i)
        c.expect(asked == told == forking_echo.sent(i), f"connection {i}: {len(asked)} and {len(told)} bytes of "
                                                        f"{len(forking_echo.sent(i))}")
    halves = [row.split("\t") for row in tshark(c, file, "-Y", f"tcp.len > 0 and tcp.dstport == {port}", "-T", "fields",
                                                "-e", "tcp.stream", "-e", "frame.comment").splitlines()]
    for i in range(count):
        pids = [re.search(r"> \S+?\((\d+)\) fd", row[1]) for row in halves if row[0] == str(i)]
        pids = [int(found.group(1)) for found in pids if found]
        c.expect(pids and pids[0] == server.pid != pids[-1],
                 f"connection {i} was read by {pids}, the server is {server.pid}")


@case("pcap-slow-reader", moves=10_000_000, columns=("accel",))
def slow_reader(c):
    """A reader that does not take what is written costs the program no request; what is lost is counted."""
    r = Redis(c)
    c.expect(r.cli("PING") == "PONG", "the server does not answer")
    ours, theirs = os.pipe()
    with subprocess.Popen([ACCEL, "pcap", "-p", str(r.child.pid), "-w", "-"], stdout=theirs,
                          stderr=subprocess.PIPE, text=True) as capture:
        os.close(theirs)
        try:
            c.expect("listening" in capture.stderr.readline(), "the capture does not begin")
            second = subprocess.run([ACCEL, "pcap", "-p", str(r.child.pid)], capture_output=True, text=True,
                                    timeout=20, check=False)
            c.expect(second.returncode == 2 and f"captured by process {capture.pid} already" in second.stderr,
                     f"a second capture: {second.stderr}")
            r.benchmark("-t", "set,get", "-c", "50", "-P", "16", "-n", "60000", "-d", "500")
            capture.send_signal(signal.SIGINT)
            with os.fdopen(ours, "rb") as pipe:
                written = pipe.read()
            said = capture.stderr.read().strip()
        finally:
            capture.kill()
    lost = int(said.split(" packets captured, ")[1].split()[0])
    c.expect(lost > 0, f"nothing is said to be lost: {said}")
    file = c.path("slow.pcapng")
    with open(file, "wb") as f:
        f.write(written)
    c.expect(not tshark(c, file, "-Y", "_ws.malformed").strip(), "what was written is malformed")
    told = sum(int(n) for n in tshark(c, file, "-T", "fields", "-e", "frame.drop_count").split() if n)
    c.expect(0 < told <= lost, f"the packets tell of {told} lost, the end of {lost}")


@case("pcap-killed-reader", moves=2_000_000, columns=("accel",))
def killed_reader(c):
    """A capture that was killed is found out and switched off; the next one takes the ring."""
    r = Redis(c)
    c.expect(r.cli("PING") == "PONG", "the server does not answer")
    first = listen(c, "-p", r.child.pid, "-w", c.path("first.pcapng"))
    first.kill(signal.SIGKILL)
    first.wait(5)
    time.sleep(2.2)
    # More than the ring holds: the writers look whether anybody reads.
    r.benchmark("-t", "set", "-c", "20", "-P", "16", "-n", "60000", "-d", "300")
    dumped = subprocess.run([STACKDUMP, "sockets", str(r.child.pid), "--json"], capture_output=True, timeout=20,
                            check=False)
    c.expect(json.loads(dumped.stdout), "stackdump does not show the server any more")
    file = c.path("second.pcapng")
    second = listen(c, "-p", r.child.pid, "-w", file)
    c.expect(r.cli("SET", "a", "b") == "OK", "the server does not go on")
    finish(c, second)
    check(c, file)
    c.expect(b"SET" in follow(c, file, 0)[0], "the second capture has not seen the command")
