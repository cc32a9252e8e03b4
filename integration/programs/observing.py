"""What it costs a program to be looked at: instructions, as callgrind counts them."""
import os
import re
import subprocess
import time

from .capture import finish, listen
from .harness import ROOT, STACKDUMP, case
from .limits import LIMITS, build

ACCELSTAT = os.path.join(ROOT, "artifacts/bin/Accel.Stat/release/accelstat")
CALLGRIND = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=measure_rounds")
# As many rounds as last for several looks of a second each, on a slow machine too.
CONNECTIONS, ROUNDS = 5000, 250_000
# Two records of a head and 64 bytes, each under the ring's lock, and two looks at the clock.
MOST_CAPTURED = 4_000


def rounds(c, watch):
    """Instructions in user space for 64 bytes sent and received; `watch` begins what looks on, and ends it."""
    build()
    gate, out = c.path("gate"), c.path("rounds.out")
    os.path.exists(gate) or os.mkfifo(gate)
    # Opened both ways, so that neither end waits for the other here.
    held = os.open(gate, os.O_RDWR)
    try:
        child = c.start(*CALLGRIND, LIMITS, "rounds", CONNECTIONS, ROUNDS, stdin=gate, stdout=out)
        c.eventually(lambda: "connected" in child.output() or not child.running, "it does not connect", seconds=40)
        c.expect(child.running, f"it has ended: {child.said()}")
        end = watch(child.pid)
        os.write(held, b"g")
        c.expect(child.wait(50) == 0, f"it ended with {child.process.returncode}: {child.said()}")
        looked = end()
    finally:
        os.close(held)
    return int(re.search(r"Collected : (\d+)", child.errors()).group(1)) / ROUNDS, looked


def nobody(_):
    return lambda: 0


@case("observers-cost-nothing", moves=None, columns=("accel",))
def observers(c):
    """accelstat and stackdump enter no process: beside them, each once a second, 10,000 sockets do what they did."""
    def readers(pid):
        stat = c.start(ACCELSTAT, pid, "--csv", "-i", "1", accelerated=False)
        dump = f"while {STACKDUMP} sockets {pid} | wc -l && {STACKDUMP} stats {pid} > {c.path('stats')}; do sleep 1; done"
        dumps = c.start("sh", "-c", dump, accelerated=False)
        c.eventually(lambda: stat.output().count("\n") >= 2 and dumps.output().count("\n") >= 1,
                     "accelstat or stackdump shows nothing", seconds=20)

        def end():
            dumps.end()
            seen = [int(n) for n in dumps.output().split()]
            rows = stat.output().splitlines()[1:]
            stat.kill()
            c.expect(max(seen) >= 2 * CONNECTIONS, f"stackdump shows {seen} sockets")
            return min(len(seen), len(rows))
        return end
    alone, _ = rounds(c, nobody)
    beside, looks = rounds(c, readers)
    c.expect(looks >= 2, f"{looks} looks while it ran")
    c.expect(abs(beside - alone) <= alone / 1000,
             f"{beside:.0f} instructions a round beside readers, {alone:.0f} alone")


@case("pcap-costs", moves=None, columns=("accel",))
def capturing(c):
    """What a packet costs the program while somebody captures it, the copy among it."""
    def capture(pid):
        child = listen(c, "-p", pid, "-w", os.devnull)
        time.sleep(0.5)
        return lambda: finish(c, child)
    off, _ = rounds(c, nobody)
    on, said = rounds(c, capture)
    packets, lost = map(int, re.search(r"(\d+) packets captured, (\d+) lost", said).groups())
    c.expect(packets + lost > ROUNDS / 2 and packets > lost, f"the capture: {said}")
    c.expect(on - off <= MOST_CAPTURED, f"a captured round takes {on:.0f} instructions, one that is not {off:.0f}")
