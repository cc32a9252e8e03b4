"""Huge pages for what programs use for the first time, where the machine's owner lets shared memory have them."""
import contextlib

from cases import PYTHON, case
from world import Failure, Skipped

SWITCH = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
# After a download: the flags of the mappings, by name.
CLIENT = """
import socket, sys
s = socket.create_connection((sys.argv[1], 7000))
while s.recv(65536): pass
name = None
for line in open("/proc/self/smaps"):
    if not line.split()[0].endswith(":"):
        name = line.split("memfd:")[1].split()[0] if "memfd:" in line else None
    elif name and line.startswith("VmFlags:"):
        print(name, *line.split()[1:])
"""
SERVER = """
import socket
l = socket.create_server(("", 7000))
while True:
    s = l.accept()[0]
    s.sendall(bytes(4 << 20))
    s.close()
"""


@contextlib.contextmanager
def switched_to(mode):
    try:
        with open(SWITCH, encoding="ascii") as f:
            before = f.read().split("[")[1].split("]")[0]
        with open(SWITCH, "w", encoding="ascii") as f:
            f.write(mode)
    except OSError as e:
        raise Skipped(f"{SWITCH} cannot be set: {e.strerror}") from e
    try:
        yield
    finally:
        with open(SWITCH, "w", encoding="ascii") as f:
            f.write(before)


@case("huge pages: asked for where shared memory may have them, and not where it may not", columns=("client",))
def huge_pages(w, column):
    w.a.start([PYTHON, "-c", SERVER])
    w.a.wait_listening(7000)
    for mode, wanted in (("never", set()), ("advise", {"accel-nic", "accel-local"})):
        with switched_to(mode):
            shown = w.b.run([PYTHON, "-c", CLIENT, w.a.ip4]).splitlines()
        names = {line.split()[0] for line in shown}
        asked = {line.split()[0] for line in shown if "hg" in line.split()}
        if not {"accel-nic", "accel-local"} <= names or asked != wanted:
            raise Failure(f"{mode}: {asked} of {names}")
