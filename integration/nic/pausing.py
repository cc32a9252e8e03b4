"""pausing.py serve PORT | ask HOST PORT RELAY: messages after a pause, each lost at its first try.

RELAY is the pid of a relay with --outage-ms. Either end sends, and then waits for an answer or computes without any
call. The other end says how long after it was written each message came; the longest of a kind is printed.
"""
import os
import signal
import socket
import struct
import sys
import time

# Longer than what a stack may take for a pause, and shorter than what it may sleep after that.
PAUSE = 0.15
COMPUTES = 0.8
ROUNDS = 3
TRIPS = 20


def take(s, count):
    data = b""
    while len(data) < count:
        piece = s.recv(count - len(data))
        if not piece:
            raise SystemExit("the connection ended")
        data += piece
    return data


def send(s, relay, computes):
    time.sleep(PAUSE)
    os.kill(relay, signal.SIGUSR1)
    now = time.monotonic()
    s.sendall(struct.pack("d", now))
    while computes and time.monotonic() < now + COMPUTES:
        pass
    return struct.unpack("d", take(s, 8))[0]


def answer(s):
    written = struct.unpack("d", take(s, 8))[0]
    late = time.monotonic() - written
    s.sendall(struct.pack("d", late))
    return late


def talk(s, relay, is_client):
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(TRIPS):
        if is_client:
            s.sendall(b"x")
        take(s, 1)
        if not is_client:
            s.sendall(b"x")
    for sender in ("client", "server"):
        for how in ("waits", "computes"):
            longest = max(send(s, relay, how == "computes") if is_client == (sender == "client") else answer(s)
                          for _ in range(ROUNDS))
            if is_client:
                print(f"{sender} {how}: {longest:.3f} s", flush=True)


def main():
    if sys.argv[1] == "serve":
        with socket.create_server(("", int(sys.argv[2]))) as listener, listener.accept()[0] as s:
            talk(s, struct.unpack("i", take(s, 4))[0], False)
            take(s, 1)
    else:
        with socket.create_connection((sys.argv[2], int(sys.argv[3])), 20) as s:
            s.settimeout(None)
            s.sendall(struct.pack("i", int(sys.argv[4])))
            talk(s, int(sys.argv[4]), True)
            print("good", flush=True)
            time.sleep(600)


main()
