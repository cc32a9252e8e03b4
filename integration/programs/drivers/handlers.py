"""handlers.py PORT SERVER TIMES: echoes by a handler process for each connection; ended in turn by either side, or by a kill."""
import contextlib
import os
import signal
import socket
import sys


def handlers(server):
    with open(f"/proc/{server}/task/{server}/children", encoding="ascii") as f:
        return [int(pid) for pid in f.read().split()]


def once(port, server, i):
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        text = b"x" * (1 + i * 997 % 50000)
        s.sendall(text)
        got = b""
        while len(got) < len(text):
            piece = s.recv(65536)
            assert piece, f"{len(got)} bytes of {len(text)}"
            got += piece
        assert got == text
        if i % 3 == 1:
            s.shutdown(socket.SHUT_WR)
        if i % 3 == 2:
            for pid in handlers(server):
                # One of a connection before this may end meanwhile.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if i % 3:
            assert s.recv(1) == b"", "more than was sent"


for n in range(int(sys.argv[3])):
    once(int(sys.argv[1]), int(sys.argv[2]), n)
print("ok")
