#!/usr/bin/env python3
"""Connections whose server forks in their middle: it echoes the first half itself, its child the second.

forking_echo.py serve ADDRESS PORT COUNT    forking_echo.py ask ADDRESS PORT COUNT
"""
import os
import random
import socket
import sys


def sent(i):
    """What connection i carries, both ways."""
    return random.Random(i).randbytes(60_000 + 1000 * i)


def receive(s, size):
    got = b""
    while len(got) < size:
        more = s.recv(size - len(got))
        if not more:
            raise SystemExit(f"ended after {len(got)} of {size} bytes")
        got += more
    return got


def serve(address, port, count):
    with socket.create_server((address, port)) as listener:
        for i in range(count):
            s, _ = listener.accept()
            half = len(sent(i)) // 2
            # The first byte of a half says who reads the rest: the client waits for it.
            s.sendall(receive(s, 1))
            s.sendall(receive(s, half - 1))
            if os.fork() == 0:
                s.sendall(receive(s, 1))
                s.sendall(receive(s, len(sent(i)) - half - 1))
                s.close()
                os._exit(0)
            s.close()
        for _ in range(count):
            if os.wait()[1] != 0:
                raise SystemExit("a child failed")
    print("ok")


def ask(address, port, count):
    for i in range(count):
        with socket.create_connection((address, port), timeout=10) as s:
            whole = sent(i)
            half = len(whole) // 2
            for part in (whole[:1], whole[1:half], whole[half:half + 1], whole[half + 1:]):
                s.sendall(part)
                if receive(s, len(part)) != part:
                    raise SystemExit("other bytes came back")
            if s.recv(1):
                raise SystemExit("more came back")
    print("ok")


if __name__ == "__main__":
    {"serve": serve, "ask": ask}[sys.argv[1]](sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
