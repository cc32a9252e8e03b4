"""A process is killed: its peers are told as the kernel would tell them, and get what was written for them."""
import json
import os
import signal
import time

from cases import HERE, PYTHON, case, nic_connections
from world import Failure

DYING = os.path.join(HERE, "dying.py")


class Deaths:
    """Of one process, again and again, on the same port."""

    def __init__(self, w, column, dying):
        self.w, self.dying = w, dying
        self.accelerated = column.a if dying is w.a else column.b
        self.many = ()

    def start(self, host, role, address):
        how = ("listen", "7500") if host is self.w.a else ("connect", address, "7500")
        pipe = os.path.join(self.w.folder, f"stdin-{role}-{time.monotonic()}")
        os.mkfifo(pipe)
        keeper = os.open(pipe, os.O_RDWR)
        return host.start([PYTHON, DYING, role, *how, *self.many], stdin=pipe), keeper

    def once(self, how, address, between=None):
        """Returns what was written, and what came of each connection."""
        roles = {self.dying: "die", (self.w.b if self.dying is self.w.a else self.w.a): "stay"}
        server, a = self.start(self.w.a, roles[self.w.a], address)
        server.wait_for("listening")
        self.w.a.wait_listening(7500)
        client, b = self.start(self.w.b, roles[self.w.b], address)
        end, other, keeper = (server, client, b) if self.dying is self.w.a else (client, server, a)
        try:
            end.wait_for("ready", 30)
            other.wait_for("ready", 30)
            if self.accelerated and nic_connections(self.dying, end) < 5:
                raise Failure("its connections do not go over the interface")
            written = json.loads(end.text().split("ready ")[1])
            os.kill(end.pid, how)
            end.process.wait()
            if between:
                between()
            os.write(keeper, b"\n")
            other.wait(60)
            return written, [json.loads(line) for line in other.text().splitlines() if line.startswith("[")]
        finally:
            os.close(a)
            os.close(b)


def expected(written):
    return [["i", 0, "end"], ["w", written["w"], "end"], ["u", 0, "reset"], ["h", 60_000, "end"],
            ["s", 60_000, "end"], ["c", written["c"], "end"]]


def killed(w, column, dying):
    deaths = Deaths(w, column, dying)
    for how, address in ((signal.SIGKILL, w.a.ip4), (signal.SIGTERM, w.a.ip6), (signal.SIGKILL, w.a.ip6)):
        written, came = deaths.once(how, address)
        if came != expected(written):
            raise Failure(f"{how.name}, {address}: {came}, but expected {expected(written)}")
        if written["w"] < 60_000 or written["c"] < 60_000:
            raise Failure(f"only {written} went in")


@case("killed: what a server wrote arrives, and an end or a reset as from the kernel")
def server_killed(w, column):
    killed(w, column, w.a)


@case("killed: what a client wrote arrives, and an end or a reset as from the kernel")
def client_killed(w, column):
    killed(w, column, w.b)


@case("killed: a server with 1,000 connections, and the next is there at once", columns=("kernel", "server"))
def thousand(w, column):
    deaths = Deaths(w, column, w.a)
    deaths.many = ("many",)
    for _ in range(2):
        began = []
        _, came = deaths.once(signal.SIGKILL, w.a.ip4, lambda: began.append(time.monotonic()))
        took = time.monotonic() - began[0]
        if came != [["i", 0, "end"]] * 1000:
            raise Failure(f"{[one for one in came if one[1:] != [0, 'end']][:5]} of {len(came)}")
        if took > 5:
            raise Failure(f"all ends took {took:.1f} s")
