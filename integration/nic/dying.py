"""One end of some connections stays while the other is killed: what comes to it afterwards?

dying.py die|stay listen PORT | connect ADDRESS PORT [many]
Each connection is told by its first byte what becomes of it. `die` says `ready N`, with the bytes it could write, and
waits to be killed; `stay` says `ready`, waits for a line, and says of each connection how much came and how it ended.
"""
import json
import os
import random
import socket
import sys
import time

BYTES = random.Random(7).randbytes(1 << 20)
KINDS = {
    "i": "idle",
    "w": "written, as much as goes in, and not read",
    "u": "something that was not read",
    "h": "the one that stays has shut its direction down",
    "s": "shut down before the death",
    "c": "closed before the death, not taken",
}
MANY = 1000


def fill(s):
    """Writes until there is no more room. Returns how much went in."""
    s.setblocking(False)
    done, idle = 0, 0
    while done < len(BYTES) * 16 and idle < 20:
        try:
            done += s.send(BYTES[done % len(BYTES):])
            idle = 0
        except BlockingIOError:
            idle += 1
            time.sleep(0.02)
    return done


def connections(kinds, argv):
    """A connection for each kind, in order, whichever end opens them."""
    if argv[0] == "connect":
        family = socket.AF_INET6 if ":" in argv[1] else socket.AF_INET
        for kind in kinds:
            s = socket.socket(family, socket.SOCK_STREAM)
            s.connect((argv[1], int(argv[2])))
            s.sendall(kind.encode())
            yield kind, s
        return
    listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", int(argv[1])))
    listener.listen(MANY)
    print("listening", flush=True)
    for _ in kinds:
        s = listener.accept()[0]
        yield s.recv(1).decode(), s


def die(kinds, argv):
    written, kept = {}, []
    for kind, s in connections(kinds, argv):
        if kind == "h":
            while s.recv(100):
                pass
        if kind in "hs":
            s.sendall(BYTES[:60_000])
            written[kind] = 60_000
        if kind in "wc":
            written[kind] = fill(s)
        if kind == "s":
            s.shutdown(socket.SHUT_WR)
        if kind == "c":
            s.close()
        else:
            kept.append(s)
    if len(kinds) == MANY:
        written = {}
    print("ready", json.dumps(written), flush=True)
    time.sleep(60)


def rest(s):
    """How many bytes come, and how it ends."""
    s.settimeout(20)
    got = 0
    try:
        while data := s.recv(1 << 16):
            at = got % len(BYTES)
            if data != (BYTES + BYTES)[at:at + len(data)]:
                return got, "wrong bytes"
            got += len(data)
        return got, "end"
    except ConnectionResetError:
        return got, "reset"
    except TimeoutError:
        return got, "silence"


def stay(kinds, argv):
    kept = []
    for kind, s in connections(kinds, argv):
        if kind == "u":
            s.sendall(b"x" * 1000)
        if kind == "h":
            s.shutdown(socket.SHUT_WR)
        kept.append((kind, s))
    print("ready", flush=True)
    os.read(0, 1)
    for kind, s in kept:
        print(json.dumps([kind, *rest(s)]), flush=True)
    print("done", flush=True)


if __name__ == "__main__":
    many = sys.argv[-1] == "many"
    (die if sys.argv[1] == "die" else stay)("i" * MANY if many else "".join(KINDS), sys.argv[2:])
