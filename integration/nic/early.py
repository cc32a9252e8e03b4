"""early.py ADDRESS PORT COUNT: clients that want a server of /1k before it is there, and keep their connections.

The first tries every 20 ms; once it is let in, so many more come, one every two milliseconds. Each gets the file,
twice.
"""
import socket
import sys
import time


def come(address, patience):
    end = time.monotonic() + patience
    while True:
        try:
            s = socket.create_connection((address, int(sys.argv[2])), timeout=5)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return s
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def ask(s):
    s.sendall(b"GET /1k HTTP/1.1\r\nHost: a\r\n\r\n")
    data = b""
    while len(data.partition(b"\r\n\r\n")[2]) < 1024:
        piece = s.recv(4096)
        if not piece:
            raise SystemExit(f"a connection ended after {data[:200]!r}")
        data += piece


def main():
    print("ready", flush=True)
    clients = [come(sys.argv[1], 20)]
    for _ in range(int(sys.argv[3]) - 1):
        time.sleep(0.002)
        clients.append(come(sys.argv[1], 0))
    for _ in range(2):
        for s in clients:
            ask(s)
    print("good", flush=True)


main()
