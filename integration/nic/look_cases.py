"""What an ordinary user sees through acceld of another user's programs, beside what root sees; and what nobody sees."""
import json
import os
import re
import signal
import subprocess
import time

from accelstat_cases import ACCELSTAT
from cases import PYTHON, case, until
from world import ROOT, STACKDUMP, Failure

SERVER, LOOKER = 64001, 65534
SECRET = "a-secret-that-nobody-else-may-read-" * 8

# As acceld is asked (src/Accel.Os/Control/Protocol.cs): any program may, not only the tools.
ASK = """
import os, socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(f"/run/accel/{os.stat('/proc/self/ns/net').st_ino}.sock")
s.send(struct.pack("<IHHII", 0x50444341, int(sys.argv[2]), 9, 1, 0).ljust(128, b"\\0"))
_, files, _, _ = socket.recv_fds(s, 128, 1)
look = b"".join(iter(lambda: os.read(files[0], 1 << 20), b""))
print(len(look), look.count(sys.argv[1].encode()[:64]))
try:
    os.write(files[0], b"x")
    print("written")
except OSError:
    print("sealed")
"""
IDLE = """
import socket, sys, time
all = [socket.create_connection((sys.argv[1], 6379)) for _ in range(20)]
for s in all:
    s.sendall(b"PING\\r\\n")
    s.recv(100)
print("ready", flush=True)
sys.stdin = None
end = sys.argv[2]
while not __import__("os").path.exists(end):
    time.sleep(0.02)
for s in all:
    s.sendall(b"*2\\r\\n$4\\r\\nECHO\\r\\n$%d\\r\\n%s\\r\\n" % (len(sys.argv[3]), sys.argv[3].encode()))
print("sent", flush=True)
time.sleep(60)
"""


def as_user(w, uid, *argv, check=True):
    done = subprocess.run(["ip", "netns", "exec", w.a.namespace, "setpriv", f"--reuid={uid}", f"--regid={uid}",
                           "--clear-groups", *argv], capture_output=True, text=True, timeout=30, check=False, cwd="/")
    if check and done.returncode != 0:
        raise Failure(f"{argv} as user {uid} ended with {done.returncode}: {done.stderr[-300:]}")
    return done.stdout, done.stderr


def shown(w, uid):
    """accelstat's stacks, and what it complains of."""
    out, errors = as_user(w, uid, ACCELSTAT, "--once", "--json")
    answer = json.loads(out)
    return answer["stacks"], errors


def sockets(w, uid, server):
    out, _ = as_user(w, uid, STACKDUMP, "sockets", "--json")
    return sorted((r["state"], r["local"], r["peer"], r["path"], r["recv_q"], r["send_q"],
                   tuple((h["pid"], h["fd"]) for h in r["holders"])) for r in json.loads(out)
                  if any(h["pid"] == server.pid for h in r["holders"]))


def has_payload(pid):
    """The secret lies in what the server shares with its engine."""
    for name in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{name}"
        if os.readlink(path) != "/memfd:accel-local (deleted)":
            continue
        with open(path, "rb", buffering=0) as f:
            at = 0
            while True:
                try:
                    at = os.lseek(f.fileno(), at, os.SEEK_DATA)
                except OSError:
                    break
                end = os.lseek(f.fileno(), at, os.SEEK_HOLE)
                if SECRET[:64].encode() in os.pread(f.fileno(), end - at, at):
                    return True
                at = end
    return False


@case("accelstat: an ordinary user sees through acceld what root sees, but no payload", columns=("kernel",))
def others(w, column):
    policy, go = os.path.join(w.folder, "policy"), os.path.join(w.folder, "go")
    with open(policy, "w", encoding="ascii") as f:
        f.write("allow any\n")
    daemon = w.a.accelerate("--policy", policy)
    server = w.a.start(["setpriv", f"--reuid={SERVER}", f"--regid={SERVER}", "--clear-groups", "redis-server", "--port",
                        "6379", "--save", "", "--protected-mode", "no", "--bind", "*", "--dir", "/"], True)
    w.a.wait_listening(6379)
    idle = w.b.start([PYTHON, "-c", IDLE, w.a.ip4, go, SECRET])
    idle.wait_for("ready")
    time.sleep(1)
    mine, others_ = shown(w, 0)[0], shown(w, LOOKER)[0]
    mine = [s for s in mine if s["uid"] == SERVER]
    if len(mine) != 1 or [s["stack"] for s in others_] != [mine[0]["stack"]]:
        raise Failure(f"root sees {mine}, user {LOOKER} {others_}")
    own, other = mine[0], others_[0]
    if (own["seen"], other["seen"], other["uid"]) != ("own", "acceld", SERVER):
        raise Failure(f"seen: {own['seen']} and {other['seen']} of user {other['uid']}")
    steady = [n for n in own["totals"] if n not in ("cpu", "spin", "useful", "rounds", "sleeps", "wakeups")]
    differ = {n: (own["totals"][n], other["totals"][n]) for n in steady if own["totals"][n] != other["totals"][n]}
    if differ or other["totals"]["nic"] != 20 or other["totals"]["cpu"] <= 0:
        raise Failure(f"root and user {LOOKER} see: {differ}, {other['totals']}")
    if [p["pid"] for p in other["processes"]] != [server.pid] or other["processes"][0]["name"] != "redis-server":
        raise Failure(f"processes: {other['processes']}")
    to_root, to_user = sockets(w, 0, server), sockets(w, LOOKER, server)
    if to_root != to_user or len(to_user) < 21:
        raise Failure(f"sockets: {to_root} and {to_user}")
    # The owner sees its own itself, and once.
    if [s["seen"] for s in shown(w, SERVER)[0]] != ["own"]:
        raise Failure(f"the owner sees {shown(w, SERVER)[0]}")
    as_user(w, LOOKER, STACKDUMP, "lots")
    with open(go, "w", encoding="ascii"):
        pass
    idle.wait_for("sent")
    time.sleep(1)
    if not has_payload(server.pid):
        raise Failure("the server's region does not hold what was sent: nothing is shown by this case")
    with open(os.path.join(ROOT, "src/Accel.Os/Control/Protocol.cs"), encoding="utf8") as f:
        version = re.search(r"ushort Version = (\d+);", f.read())[1]
    size, count, sealed = as_user(w, LOOKER, PYTHON, "-c", ASK, SECRET, version)[0].split()
    if int(size) < 5000 or count != "0" or sealed != "sealed":
        raise Failure(f"a look of {size} bytes has the payload {count} times, and is {sealed}")
    with open(policy, "a", encoding="ascii") as f:
        f.write(f"look none uid {LOOKER}\nlook own uid {SERVER + 1}\n")
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: "policy does not allow" in shown(w, LOOKER)[1], "the policy is not followed")
    if shown(w, LOOKER)[0] or shown(w, SERVER + 1)[0]:
        raise Failure("what the policy keeps from a user is shown")
    daemon.kill(signal.SIGKILL)
    stacks, errors = shown(w, LOOKER)
    if stacks or f"uid {SERVER}" not in errors or "start acceld" not in errors:
        raise Failure(f"without acceld: {stacks}, {errors}")
