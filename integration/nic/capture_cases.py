"""What `accel pcap` writes of a network interface's frames."""
import json
import os
import random
import re
import signal
import subprocess
import sys

from cases import HERE, PYTHON, case, nginx, redis, until
from world import PATH, ROOT, Failure, sh

FORKING = os.path.join(ROOT, "integration/programs/drivers/forking_echo.py")
sys.path.insert(0, os.path.dirname(FORKING))
from forking_echo import sent  # pylint: disable=wrong-import-position

ACCEL = os.path.join(ROOT, "artifacts/bin/Accel.Cli/release/accel-cli")


def tshark(file, *args):
    done = subprocess.run(["tshark", "-r", file, *args], capture_output=True, text=True, timeout=50, check=False,
                          env={**os.environ, "PATH": PATH})
    if done.returncode != 0:
        raise Failure(f"tshark {args}: {done.stderr[-200:]}")
    return done.stdout


def followed(file, stream):
    both = [b"", b""]
    for line in tshark(file, "-q", "-z", f"follow,tcp,raw,{stream}").splitlines():
        if re.fullmatch(r"\t?[0-9a-f]+", line):
            both[line.startswith("\t")] += bytes.fromhex(line.strip())
    return both


def listening(w, file, *args):
    """A capture of the interface that has begun."""
    capture = w.a.start([ACCEL, "pcap", "-i", w.a.interface, "-w", file, *args], accelerated=False)
    until(lambda: "listening" in capture.errors(), "the capture does not begin")
    return capture


def finish(capture):
    """Ends it; how many packets were lost since it was too slow."""
    os.killpg(capture.pid, signal.SIGINT)
    capture.wait(20)
    return int(re.search(r"(\d+) lost", capture.errors()).group(1))


def check(file, lost=0, *more):
    wrong = "_ws.malformed" if lost else "_ws.malformed or tcp.analysis.lost_segment or tcp.analysis.ack_lost_segment"
    bad = tshark(file, *more, "-Y", wrong)
    if bad.strip():
        raise Failure(f"tshark finds wrong: {bad[:200]}")


@case("pcap: frames and super-frames of an interface carry the program's bytes", columns=("server",))
def frames(w, column):
    redis(w)
    value = os.urandom(400_000)
    path = os.path.join(w.folder, "value")
    with open(path, "wb") as f:
        f.write(value)
    client = ["redis-cli", "-h", w.a.ip4, "-p", "6379"]
    w.b.start([*client, "PING"]).wait()
    file = os.path.join(w.folder, "nic.pcapng")
    capture = listening(w, file, "tcp port 6379")
    w.b.start([*client, "-x", "SET", "key"], stdin=path).wait()
    w.b.start([*client, "--raw", "GET", "key"]).wait()
    if finish(capture):
        raise Failure(capture.errors())
    check(file)
    asked = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$400000\r\n" + value + b"\r\n"
    theirs, ours = followed(file, 0)
    if theirs != asked or ours != b"+OK\r\n":
        raise Failure(f"SET: {len(theirs)} bytes of {len(asked)} to the server, the answer was {ours[:20]}")
    theirs, ours = followed(file, 1)
    if ours != b"$400000\r\n" + value + b"\r\n":
        raise Failure(f"GET: {len(ours)} bytes came back, the question was {theirs[:40]}")
    comments = tshark(file, "-T", "fields", "-e", "frame.comment").splitlines()
    named = [text for text in comments if re.match(r"nic (in|out) redis-server\(\d+\) fd \d+", text)]
    if len(named) < len(comments) * 9 // 10:
        raise Failure(f"{len(named)} of {len(comments)} packets name their socket: {comments[:3]}")
    names = set(tshark(file, "-T", "fields", "-e", "frame.interface_name").split())
    if names != {w.a.interface}:
        raise Failure(f"interfaces {names}")


@case("pcap: nginx under load, a file whole in the middle of it", columns=("server",))
def under_load(w, column):
    nginx(w, workers=2)
    file = os.path.join(w.folder, "nginx.pcapng")
    w.b.run(["curl", "-s", "--fail", "-o", "/dev/null", f"http://{w.a.ip4}/1k"])
    capture = listening(w, file, "tcp port 80")
    load = w.b.start(["wrk", "-t1", "-c32", "-d1s", f"http://{w.a.ip4}/1k"])
    w.b.run(["curl", "-s", "--fail", "-o", "/dev/null", "--local-port", "5000-5009", f"http://{w.a.ip4}/10m"])
    load.wait(10)
    lost = finish(capture)
    check(file, lost)
    streams = {row for row in tshark(file, "-T", "fields", "-e", "tcp.stream").split()}
    if len(streams) < 33:
        raise Failure(f"{len(streams)} streams of 33")
    with open(os.path.join(w.folder, "html", "10m"), "rb") as f:
        whole = f.read()
    rows = tshark(file, "-Y", "tcp.dstport >= 5000 and tcp.dstport <= 5009", "-T", "fields", "-e", "tcp.stream",
                  "-c", "200000").split()
    _, told = followed(file, int(rows[0]))
    if lost == 0 and not told.endswith(b"\r\n\r\n" + whole):
        raise Failure(f"{len(told)} bytes came back of a file of {len(whole)}")
    print(f"# {lost} packets lost of {capture.errors().splitlines()[-1]}")


@case("pcap: a server that forks in the middle of a connection", columns=("server",))
def forks(w, column):
    count = 6
    server = w.a.start([PYTHON, FORKING, "serve", w.a.ip4, "7300", str(count)])
    w.a.wait_listening(7300)
    file = os.path.join(w.folder, "fork.pcapng")
    capture = listening(w, file, "tcp port 7300")
    if "ok" not in w.b.run([PYTHON, FORKING, "ask", w.a.ip4, "7300", str(count)]):
        raise Failure("the client does not get through")
    server.wait(10)
    if finish(capture):
        raise Failure(capture.errors())
    check(file)
    for i in range(count):
        asked, told = followed(file, i)
        if not asked == told == sent(i):
            raise Failure(f"connection {i}: {len(asked)} and {len(told)} bytes of {len(sent(i))}")
    pids = {int(pid) for pid in re.findall(r"\((\d+)\)", tshark(file, "-T", "fields", "-e",
                                                                             "frame.comment"))}
    if len(pids) < 2:
        raise Failure(f"only processes {pids} are named")


@case("pcap: datagrams", columns=("server",))
def datagrams(w, column):
    count = 300
    server = w.a.start([PYTHON, os.path.join(HERE, "udp.py"), "serve", "block", "7400"])
    server.wait_for("ready")
    ask = f"""
import random, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.connect(({w.a.ip4!r}, 7400))
for i in range({count}):
    sent = random.Random(i).randbytes(i * 7 % 1472)
    s.send(sent)
    assert s.recv(2000) == sent
print("good")
"""
    # Whoever is a stale neighbour gets a datagram from the kernel now and then, so that it is asked whether it is there.
    mac = json.loads(sh("ip", "-n", w.b.namespace, "-j", "link", "show", "dev", w.b.interface))[0]["address"]
    sh("ip", "-n", w.a.namespace, "neigh", "replace", w.b.ip4, "lladdr", mac, "nud", "permanent", "dev", w.a.interface)
    file = os.path.join(w.folder, "udp.pcapng")
    capture = listening(w, file, "-p", str(server.pid), "udp port 7400")
    if "good" not in w.b.run([PYTHON, "-c", ask]):
        raise Failure("the server does not answer")
    if finish(capture):
        raise Failure(capture.errors())
    as_data = ("-d", "udp.port==7400,data")  # random bytes look like some protocol or other
    check(file, 0, *as_data)
    fields = ("-e", "udp.dstport", "-e", "udp.payload", "-e", "udp.checksum.status", "-e", "frame.comment")
    text = tshark(file, "-o", "udp.check_checksum:TRUE", *as_data, "-T", "fields", *fields)
    rows = [row.split("\t") for row in text.splitlines()]
    for way, name in ((True, "to"), (False, "from")):
        data = [bytes.fromhex(row[1]) for row in rows if (row[0] == "7400") == way]
        sent = [random.Random(i).randbytes(i * 7 % 1472) for i in range(count)]
        if data != sent:
            missing = [i for i, one in enumerate(sent) if one not in data]
            raise Failure(f"{len(data)} datagrams {name} the server, not the {count} that were sent: without {missing}")
    # What comes from this host's other end has the checksum that a device would have filled in.
    if any(row[2] == "0" for row in rows if row[0] != "7400") or not all(
            "python3" in row[3] for row in rows[1:]):  # whose the first is may not be known before it is answered
        raise Failure(f"a wrong checksum, or nobody named: {rows[:2]}")
