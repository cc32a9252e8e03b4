"""Clients of prefork_server.py that kill its workers: now the one that serves them, now one that sleeps.

usage: prefork_clients.py PORT CONTROL KILLS

Whatever is killed, a client is told at once, and the next one is served at once: a second is what a lost wake costs.
"""
import os
import signal
import socket
import sys
import time

PATIENCE = 0.9


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), timeout=10)
    # The timeout says how long is too long; blocking calls are what the case is about.
    s.settimeout(None)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, (10).to_bytes(8, "little") + bytes(8))
    return s


def lines(s):
    got = b""
    while not got.endswith(b"\n"):
        part = s.recv(4096)
        if not part:
            break
        got += part
    return got


def main():
    port, control, kills = (int(a) for a in sys.argv[1:])
    slowest, served, refused = 0.0, 0, 0
    pids = set()
    for number in range(kills):
        for _ in range(6):
            begin = time.monotonic()
            try:
                with connect(port) as s:
                    pid = lines(s).strip()
                    if pid:
                        pids.add(int(pid))
                        s.sendall(b"x" * 2000 + b"\n")
                        assert len(lines(s)) == 2001, "the answer is cut off"
                        served += 1
                    else:
                        refused += 1
            except ConnectionResetError:
                refused += 1
            slowest = max(slowest, time.monotonic() - begin)
        held = connect(port)
        victim = int(lines(held).strip() or b"0")
        if number % 2 == 0:
            # One of the others: it sleeps.
            alive = [p for p in pids if p != victim and os.path.exists(f"/proc/{p}")]
            victim = alive[0] if alive else victim
        if victim:
            os.kill(victim, signal.SIGKILL)
            pids.discard(victim)
        if number % 2 == 1:
            begin = time.monotonic()
            try:
                assert held.recv(1) == b"", "bytes from the dead"
            except ConnectionResetError:
                pass
            slowest = max(slowest, time.monotonic() - begin)
        held.close()
        begin = time.monotonic()
        with connect(control) as s:
            died = int(lines(s))
        slowest = max(slowest, time.monotonic() - begin)
    assert served > 5 * kills, f"{served} served, {refused} refused"
    assert slowest < PATIENCE, f"one took {slowest:.2f} s"
    print(f"{served} served, {refused} lost with their worker, {died} died, slowest {slowest:.3f} s")
    print("ok")


main()
