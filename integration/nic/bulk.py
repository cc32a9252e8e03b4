"""bulk.py serve PORT [ADDRESS] | bulk.py transfer HOST PORT MEGABYTES: so much each way, compared by its sum.

--congestion NAME: what TCP_CONGESTION is set to. --hold: the client stays when it is done, its connection with it.
"""
import argparse
import hashlib
import random
import socket
import sys
import time

PIECE = 1 << 20


def pieces(megabytes):
    generator = random.Random(3)
    block = generator.randbytes(PIECE)
    for i in range(megabytes):
        yield i.to_bytes(8, "big") + block[8:]


def take(s, megabytes):
    """Reads so much; returns its sum and the longest time without a byte."""
    total, sha, last, stall = megabytes * PIECE, hashlib.sha256(), time.monotonic(), 0.0
    buffer = bytearray(PIECE)
    while total > 0:
        n = s.recv_into(buffer, min(PIECE, total))
        now = time.monotonic()
        stall, last = max(stall, now - last), now
        if n == 0:
            raise ConnectionError("ended early")
        sha.update(memoryview(buffer)[:n])
        total -= n
    return sha.hexdigest(), stall


def give(s, megabytes):
    sha = hashlib.sha256()
    for piece in pieces(megabytes):
        s.sendall(piece)
        sha.update(piece)
    return sha.hexdigest()


def exactly(s, count):
    """MSG_WAITALL would do, but not on a socket with a timeout: Python makes it one that does not block."""
    found = b""
    while len(found) < count:
        more = s.recv(count - len(found))
        if not more:
            raise ConnectionError("ended early")
        found += more
    return found


def choose(s, congestion):
    if congestion:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())


def serve(address, port, congestion):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port), family=family) as listener:
        choose(listener, congestion)
        while True:
            s, _ = listener.accept()
            with s:
                megabytes = int.from_bytes(exactly(s, 8), "big")
                digest, stall = take(s, megabytes)
                s.sendall(digest.encode() + f"{stall:016.9f}".encode())
                digest = give(s, megabytes)
                s.sendall(digest.encode())
                s.recv(1)


def transfer(host, port, megabytes, congestion, hold):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as s:
        s.settimeout(120)
        choose(s, congestion)
        s.connect((host, port))
        s.sendall(megabytes.to_bytes(8, "big"))
        start = time.monotonic()
        digest = give(s, megabytes)
        answer = exactly(s, 80).decode()
        seconds, good = time.monotonic() - start, answer[:64] == digest
        print(f"up {megabytes} MB in {seconds:.3f} s, longest stall {float(answer[64:]):.3f} s, "
              f"{'good' if good else 'BAD'}")
        start = time.monotonic()
        digest, stall = take(s, megabytes)
        seconds = time.monotonic() - start
        good = exactly(s, 64).decode() == digest
        print(f"down {megabytes} MB in {seconds:.3f} s, longest stall {stall:.3f} s, {'good' if good else 'BAD'}",
              flush=True)
        if hold:
            time.sleep(600)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--congestion")
    parser.add_argument("--hold", action="store_true")
    verbs = parser.add_subparsers(dest="verb", required=True)
    serving = verbs.add_parser("serve")
    serving.add_argument("port", type=int)
    serving.add_argument("address", nargs="?", default="")
    transferring = verbs.add_parser("transfer")
    transferring.add_argument("host")
    transferring.add_argument("port", type=int)
    transferring.add_argument("megabytes", type=int)
    arguments = parser.parse_args()
    if arguments.verb == "serve":
        serve(arguments.address, arguments.port, arguments.congestion)
    else:
        transfer(arguments.host, arguments.port, arguments.megabytes, arguments.congestion, arguments.hold)


main()
