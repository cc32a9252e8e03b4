"""Rings lie in huge pages where the machine's owner lets shared memory have them."""
import os
import re
import time

from .harness import DRIVERS, PYTHON, case, free_port
from .http import MB, random_file

SETTING = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"


class Set:
    """Another setting for a while; what was there comes back in any case."""

    def __init__(self, mode):
        self.mode = mode

    def __enter__(self):
        with open(SETTING, encoding="ascii") as f:
            self.before = re.search(r"\[(\w+)\]", f.read()).group(1)
        self.write(self.mode)

    def __exit__(self, *_):
        self.write(self.before)

    @staticmethod
    def write(mode):
        with open(SETTING, "w", encoding="ascii") as f:
            f.write(mode)


def huge_kb(pid):
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("ShmemPmdMapped"))


def refused():
    with open("/proc/vmstat", encoding="ascii") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("thp_file_fallback"))


def stalled(c, wanted):
    """A server that is held up by a client that does not read: how many KB of it lie in huge pages."""
    port = free_port()
    server = c.server(PYTHON, "-m", "http.server", "--bind", "127.0.0.1", "--directory", c.path("www"), port,
                      port=port)
    client = c.start(PYTHON, os.path.join(DRIVERS, "late_reader.py"), port, "/large", 0.5, wanted)
    time.sleep(0.4)
    shown = huge_kb(server.pid)
    c.expect(client.wait(10) == 0, client.said())
    return shown


@case("huge-pages", moves=8 * MB, columns=("accel",))
def stalled_sender(c):
    """A sender whose reader does not read moves to the largest ring: in huge pages only with leave."""
    os.mkdir(c.path("www"))
    wanted = random_file(c.path("www/large"), 16 * MB)
    if os.geteuid() != 0 or not os.path.exists(SETTING):
        stalled(c, wanted)
        return
    with Set("never"):
        shown = stalled(c, wanted)
        c.expect(shown == 0, f"{shown} KB in huge pages without leave")
    before = refused()
    with Set("advise"):
        shown = stalled(c, wanted)
        c.expect(shown > 0 or refused() > before, "the stalled ring is in small pages")
