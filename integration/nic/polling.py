#!/usr/bin/env python3
"""Round trips between two programs that never wait: they ask a non-blocking socket again and again.

polling.py server PORT | polling.py client HOST PORT ROUNDS
The client prints the microseconds of a middle round trip.
"""
import socket
import sys
import time

MESSAGE = b"x" * 64


def receive(s):
    got = 0
    while got < len(MESSAGE):
        try:
            data = s.recv(len(MESSAGE) - got)
        except BlockingIOError:
            continue
        if not data:
            return False
        got += len(data)
    return True


def main():
    if sys.argv[1] == "server":
        listener = socket.create_server(("", int(sys.argv[2])))
        s, _ = listener.accept()
        s.setblocking(False)
        while receive(s):
            s.send(MESSAGE)
        return
    s = socket.create_connection((sys.argv[2], int(sys.argv[3])))
    s.setblocking(False)
    times = []
    for _ in range(int(sys.argv[4])):
        start = time.monotonic()
        s.send(MESSAGE)
        if not receive(s):
            sys.exit("the server closed")
        times.append(time.monotonic() - start)
    print(round(sorted(times)[len(times) // 2] * 1e6))


main()
