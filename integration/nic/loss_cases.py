"""Loss and reordering: every byte, no stall above what the RTO explains, and as fast as the kernel.

The cases of `integration/nic/run` are small. With --full the kernel and the accelerated sides run in turn, 1 GB each
way, over the same faults by the same seeds and with the same congestion control, and the table is printed.
"""
import os
import re
import statistics
from dataclasses import dataclass

import cases
from cases import HERE, PYTHON, case, comparison
from world import MODE, Failure, World

PORT = "7000"
MEGABIT = 8 * (1 << 20) / 1e6

# Linux's TCP_RTO_MIN: what a tail costs that nothing but the timeout can find. It doubles if what is sent again is lost
# too; at 5 % a few of a gigabyte's losses are lost four times (the kernel itself is silent for 4.6 s). The slack is for
# the machine: a program that is not scheduled reads nothing.
RTO = 0.2
SLACK = 0.4

# A frame wakes the relay, and so does the answer: no round trip is shorter, in milliseconds. (17 us have been seen.)
LEAST_TRIP = 0.008


# Linux 6.6: acceld's ring mode and the program that loses frames are both on this hook.
HAS_TCX = tuple(int(n) for n in os.uname().release.split(".")[:2]) >= (6, 6)


@dataclass(frozen=True)
class Faults:
    name: str
    options: tuple
    megabytes: int      # of the full size
    doublings: int      # how often the same segment's timeout may have doubled
    delayed: bool = False

    def world(self, seed):
        """A relay needs a CPU of its own, and each frame wakes it: only where a program on the interface is not
        enough."""
        options = [*self.options, "--seed", str(seed), "--seconds", "3000"]
        return {"relay" if self.delayed or MODE not in (None, "ring") or not HAS_TCX else "faults": options}


FAULTS = [
    Faults("0.1 % loss", ("--loss", "0.001"), 1024, 1),
    Faults("1 % loss", ("--loss", "0.01"), 1024, 2),
    Faults("5 % loss", ("--loss", "0.05"), 1024, 4),
    Faults("2 % late by 0.1 ms", ("--reorder", "0.02", "--late-us", "100"), 1024, 0),
    Faults("1 % loss, 1 % late by 0.1 ms", ("--loss", "0.01", "--reorder", "0.01", "--late-us", "100"), 1024, 2),
    Faults("2 % late by 1 ms", ("--reorder", "0.02"), 1024, 0),
    Faults("1 % loss, 10 ms", ("--loss", "0.01", "--delay-us", "5000"), 48, 2, delayed=True),
    Faults("0.1 % loss, 10 ms", ("--loss", "0.001", "--delay-us", "5000"), 128, 1, delayed=True),
]


@dataclass
class Way:
    """One direction of a transfer: as the receiver saw it, and what the sender counted."""
    megabits: float
    stall: float
    resent: int = 0
    timeouts: int = 0


def sender_counts(host, program):
    """Retransmissions and timeouts in a host's programs, or in its kernel."""
    if program.accelerated:
        text = host.stackdump("stats", str(program.pid))
        return [int((re.findall(rf"\b{name} +(\d+)", text) or ["0"])[0])
                for name in ("tcp_retransmitted", "tcp_timeouts")]
    found = host.kernel_counters()
    return [found["RetransSegs"], found["TCPTimeouts"]]


def transfer(w, address, megabytes, congestion=None, seconds=120):
    """So much each way; returns the ways, "up" from b to a, and "down"."""
    more = ["--congestion", congestion] if congestion else []
    bulk = [PYTHON, os.path.join(HERE, "bulk.py"), *more]
    server = w.a.start([*bulk, "serve", PORT, address])
    w.a.wait_listening(PORT)
    client = w.b.start([*bulk, "--hold", "transfer", address, PORT, str(megabytes)])
    client.wait_for("down", seconds)
    found = re.findall(r"(up|down) \d+ MB in ([\d.]+) s, longest stall ([\d.]+) s, good", client.text())
    if len(found) != 2:
        raise Failure(client.text()[-300:])
    ways = {}
    for (name, took, stall), (host, program) in zip(found, ((w.b, client), (w.a, server))):
        ways[name] = Way(megabytes * MEGABIT / float(took), float(stall), *sender_counts(host, program))
    cases.check_path(w, cases.Column("", server.accelerated, client.accelerated))
    if w.middle:
        for host, program in ((w.a, server), (w.b, client)):
            check_trips(host, program)
    client.kill()
    server.kill()
    return ways


def check_trips(host, program):
    """The sender has measured nothing that cannot be."""
    text = host.stackdump("sockets", "-i", str(program.pid)) if program.accelerated else ""
    for least in re.findall(r"minrtt:([\d.]+)", text):
        if 0 < float(least) < LEAST_TRIP:
            raise Failure(f"a round trip of {least} ms over a relay")


def check_stalls(ways, doublings, of):
    """No silence is longer than what the timeouts that there were explain, one after the other."""
    for name, way in ways.items():
        in_a_row = min(max(way.timeouts, 1), doublings + 1)
        bound = RTO * (2 ** in_a_row - 1) + SLACK
        if way.stall > bound:
            raise Failure(f"{of} {name}: nothing moved for {way.stall:.3f} s, {bound:.3f} s can be explained "
                          f"({way.resent} segments sent again, {way.timeouts} timeouts)")


def small(faults, seed, megabytes):
    @case(f"bulk: {faults.name}", columns=("server", "client", "both"), **faults.world(seed))
    def body(w, column):
        for address in (w.a.ip4, w.a.ip6):
            check_stalls(transfer(w, address, megabytes), faults.doublings, address)


for number, much in ((2, 3), (4, 8), (6, 2)):
    small(FAULTS[number], 2 * number + 7, much)


@case("bulk: a long path is filled", relay=["--delay-us", "20000", "--seed", "5"])
def filled(w, column):
    # 40 ms round trip: a sender with no more than 256 KB on its way would have 52 Mb/s. Its socket does not block.
    megabits = transfer(w, w.a.ip4, 32)["up"].megabits
    if megabits < 100:
        raise Failure(f"{megabits:.0f} Mb/s over a path of 40 ms")


@case("after a pause a lost message is sent again in time", relay=["--outage-ms", "100"])
def paused(w, column):
    # The probe comes after two round trips and RTO_MIN (RFC 8985 7.2), where the outage has ended.
    script = [PYTHON, os.path.join(HERE, "pausing.py")]
    w.a.start([*script, "serve", PORT])
    w.a.wait_listening(PORT)
    client = w.b.start([*script, "ask", w.a.ip4, PORT, str(w.relay.pid)])
    client.wait_for("good", 60)
    for how, seconds in re.findall(r"(.+): ([\d.]+) s", client.text()):
        if float(seconds) > RTO + SLACK:
            raise Failure(f"{how}: what was lost came after {seconds} s")


def run_once(column, faults, seed, v6, megabytes, congestion):
    with World(**faults.world(seed)) as w:
        if column.a:
            w.a.accelerate()
        if column.b:
            w.b.accelerate()
        return transfer(w, w.a.ip6 if v6 else w.a.ip4, megabytes, congestion, seconds=1500)


def row(name, figures, kernel):
    """A line of the table, and what is wrong with it."""
    cells, bad = [], []
    for way in ("up", "down"):
        rates = [f[way].megabits for f in figures]
        rate = statistics.median(rates)
        base = statistics.median([f[way].megabits for f in kernel])
        stall = max(f[way].stall for f in figures)
        cells.append(f"{rate:7.0f} Mb/s {rate / base:5.2f}x {stall:6.3f} s "
                     f"{sum(f[way].resent for f in figures) // len(figures):7d} "
                     f"{sum(f[way].timeouts for f in figures) / len(figures):6.1f}")
        if rate < 0.9 * base:
            bad.append(f"{name} {way}: {rate:.0f} Mb/s where the kernel has {base:.0f}")
    return f"  {name:8} | {' | '.join(cells)}", bad


def compared(faults, v6):
    @comparison(f"loss: {faults.name}, {'IPv6' if v6 else 'IPv4'}")
    def body(size):
        megabytes = max(1, int(faults.megabytes * size.share))
        figures = {column.name: [] for column in cases.COLUMNS}
        for turn in range(size.rounds):
            for column in cases.COLUMNS:
                ways = run_once(column, faults, 2 * turn + 7, v6, megabytes, size.congestion)
                check_stalls(ways, faults.doublings, column.name)
                figures[column.name].append(ways)
        heads = " | ".join(f"{way:>9}: {'rate':>4} {'ratio':>6} {'stall':>8} {'resent':>7} {'RTOs':>6}"
                           for way in ("up", "down"))
        lines, bad = [f"  {megabytes} MB, {size.congestion}, {size.rounds} rounds", f"  {'':8} | {heads}"], []
        for name, own in figures.items():
            line, wrong = row(name, own, figures["kernel"])
            lines.append(line)
            bad += wrong
        print("\n".join(lines), flush=True)
        if bad:
            raise Failure("; ".join(bad))


for chosen in FAULTS:
    for six in (False, True):
        compared(chosen, six)
