"""What `accel pcap` writes of a network interface's frames."""
import os
import re
import signal
import subprocess

from cases import case, redis, until
from world import PATH, ROOT, Failure

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
    capture = w.a.start([ACCEL, "pcap", "-i", w.a.interface, "-w", file, "tcp port 6379"], accelerated=False)
    until(lambda: "listening" in capture.errors(), "the capture does not begin")
    w.b.start([*client, "-x", "SET", "key"], stdin=path).wait()
    w.b.start([*client, "--raw", "GET", "key"]).wait()
    os.killpg(capture.pid, signal.SIGINT)
    capture.wait(10)
    if " 0 lost" not in capture.errors():
        raise Failure(capture.errors())
    bad = tshark(file, "-Y", "_ws.malformed or tcp.analysis.lost_segment or tcp.analysis.ack_lost_segment")
    if bad.strip():
        raise Failure(f"tshark finds wrong: {bad[:200]}")
    sent = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$400000\r\n" + value + b"\r\n"
    theirs, ours = followed(file, 0)
    if theirs != sent or ours != b"+OK\r\n":
        raise Failure(f"SET: {len(theirs)} bytes of {len(sent)} to the server, the answer was {ours[:20]}")
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
