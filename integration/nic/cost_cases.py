"""What calls cost an accelerated client, in instructions in user space: its stack's work for the segments is in them."""
import os
import re
import subprocess

from cases import HERE, case
from world import ROOT, Failure

COST = os.path.join(ROOT, "artifacts/nic/cost")
CALLGRIND = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]

# What, how often, the answer's bytes, and at most how many instructions. Each is two parts in a hundred above what it
# was when it was set, and a sleep more for the first two: a round trip of 9,850 becomes one of up to 11,000, and a full
# segment's of 13,000 one of up to 13,900, the more often the answer comes after the first look, on a machine that has
# much else to do or whose CPUs are far from each other.
PATHS = [("round", 2000, 64, 11_100), ("segment", 2000, 1400, 14_300), ("connection", 500, 64, 31_200)]


@case("cost: instructions of a round trip, a full segment, a connection", columns=("client",))
def cost(w, column):
    os.makedirs(os.path.dirname(COST), exist_ok=True)
    subprocess.run(["gcc", "-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror", "-o", COST, os.path.join(HERE, "cost.c")],
                   check=True)
    said, bad = [], []
    for port, (what, times, answer, most) in enumerate(PATHS, 7000):
        w.a.start([COST, "serve", port, answer])
        w.a.wait_listening(port)
        # Spinning turns as often as the other side is slow.
        client = w.b.start([*CALLGRIND, f"--toggle-collect=measure_{what}", COST, what, w.a.ip4, port, times],
                           env={"ACCEL_SPIN_US": "0"})
        client.wait()
        each = int(re.search(r"Collected : (\d+)", client.errors()).group(1)) // times
        said.append(f"{what} {each}")
        # Fewer than half: it was not the stack that did it.
        if not most / 2 < each <= most:
            bad.append(f"{what}: {each} instructions, not up to {most}")
    print("# " + ", ".join(said), flush=True)
    if bad:
        raise Failure("; ".join(bad))
