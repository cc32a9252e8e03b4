"""newcomers.py ADDRESS PORT SECONDS: clients that come while something goes on, one after the other.

Each connects, asks redis for a PONG and leaves. Prints JSON of what it saw: how many there were, how many got in at the
first SYN and how many more one of them sent at most, what the last handshake agreed on as `ss -i` has it, and what
failed.
"""
import json
import socket
import struct
import sys
import time

OPTIONS = {"ts": 1, "sack": 2, "wscale": 4}
EVERY = 0.02


def info(s):
    """struct tcp_info: what was agreed on, and what was sent again."""
    raw = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return {**{name: bool(raw[5] & bit) for name, bit in OPTIONS.items()}, "scales": [raw[6] & 15, raw[6] >> 4],
            "mss": struct.unpack_from("I", raw, 16)[0], "again": struct.unpack_from("I", raw, 100)[0]}


def main():
    address, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    said = {"clients": 0, "first": 0, "most_again": 0, "errors": [], "agreed": None}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        said["clients"] += 1
        try:
            with socket.create_connection((address, port), timeout=5) as s:
                agreed = info(s)
                s.sendall(b"PING\r\n")
                answer = s.recv(100)
                if answer != b"+PONG\r\n":
                    raise OSError(f"heard {answer!r}")
                said["most_again"] = max(said["most_again"], agreed["again"])
                said["first"] += agreed.pop("again") == 0
                said["agreed"] = agreed
        except OSError as e:
            said["errors"].append(str(e))
        time.sleep(EVERY)
    print(json.dumps(said), flush=True)


main()
