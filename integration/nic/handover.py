"""Transfers that are given to the kernel in the middle.

handover.py serve PORT                             takes, sends, or both at once, as its client asks
handover.py inetd PORT PROGRAM [ARGUMENT]...       gives each connection to a program that is not accelerated
handover.py send|receive|both|echo HOST PORT MEGABYTES
handover.py idle HOST PORT                         says and hears a word, waits for a line on stdin, then again
handover.py halfclosed HOST PORT MEGABYTES         ends its stream, and then receives
"""
import hashlib
import os
import socket
import sys
import threading

PIECE = 1 << 16


def pieces(megabytes):
    for i in range(megabytes * (1 << 20) // PIECE):
        seed = hashlib.sha256(i.to_bytes(8, "big")).digest()
        yield seed * (PIECE // len(seed))


def give(s, megabytes):
    for piece in pieces(megabytes):
        s.sendall(piece)


def take(s, megabytes):
    """Every byte must be the one that was sent, in its place."""
    buffer = bytearray(PIECE)
    for number, piece in enumerate(pieces(megabytes)):
        view, got = memoryview(buffer), 0
        while got < PIECE:
            n = s.recv_into(view[got:])
            if n == 0:
                raise ConnectionError(f"ended in piece {number}")
            got += n
        if buffer != piece:
            raise ValueError(f"piece {number} is wrong")


def both(s, megabytes):
    thread = threading.Thread(target=give, args=(s, megabytes))
    thread.start()
    take(s, megabytes)
    thread.join()


def answer(s):
    with s:
        what = s.recv(8, socket.MSG_WAITALL)
        kind, megabytes = what[:4], int.from_bytes(what[4:], "big")
        if kind == b"take":
            take(s, megabytes)
            s.sendall(b"good")
        elif kind == b"give":
            give(s, megabytes)
            s.shutdown(socket.SHUT_WR)
        elif kind == b"both":
            both(s, megabytes)
            s.sendall(b"good")
        elif kind == b"half":
            if s.recv(1) != b"":
                raise ValueError("no end")
            give(s, megabytes)
        elif kind == b"idle":
            while word := s.recv(100):
                s.sendall(word.upper())
        s.shutdown(socket.SHUT_WR)
        print("served" if s.recv(1) == b"" else "trailing bytes", flush=True)


def inetd(port, argv):
    """As ever: fork, the connection as standard input and output, exec."""
    listener = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    plain = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    while True:
        s, _ = listener.accept()
        with s:
            if os.fork() == 0:
                # Something is there that the program that comes will have to find.
                while len(s.recv(64, socket.MSG_PEEK)) < 64:
                    pass
                os.dup2(s.fileno(), 0)
                os.dup2(s.fileno(), 1)
                os.execve(argv[0], argv, plain)


def serve(port):
    listener = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    while True:
        s, _ = listener.accept()
        threading.Thread(target=answer, args=(s,)).start()


def ask(kind, host, port, megabytes=0):
    s = socket.create_connection((host, port), 10)
    s.settimeout(60)
    s.sendall(kind + megabytes.to_bytes(4, "big"))
    print("fd", s.fileno(), flush=True)
    return s


def word(s, text):
    s.sendall(text)
    if s.recv(100) != text.upper():
        raise ValueError("another word came back")


def client(mode, host, port, megabytes):
    if mode == "send":
        s = ask(b"take", host, port, megabytes)
        give(s, megabytes)
    elif mode == "receive":
        s = ask(b"give", host, port, megabytes)
        take(s, megabytes)
    elif mode == "both":
        s = ask(b"both", host, port, megabytes)
        both(s, megabytes)
    elif mode == "echo":
        s = socket.create_connection((host, port), 10)
        s.settimeout(60)
        both(s, megabytes)
    elif mode == "halfclosed":
        s = ask(b"half", host, port, megabytes)
        s.shutdown(socket.SHUT_WR)
        take(s, megabytes)
    else:
        s = ask(b"idle", host, port)
        word(s, b"before")
        print("ready", flush=True)
        sys.stdin.readline()
        word(s, b"after")
    if mode in ("send", "both") and s.recv(4, socket.MSG_WAITALL) != b"good":
        raise ValueError("the server is not content")
    if mode != "halfclosed":
        s.shutdown(socket.SHUT_WR)
    if s.recv(1) != b"":
        raise ValueError("something came behind the end")
    print("good", flush=True)


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
elif sys.argv[1] == "inetd":
    inetd(int(sys.argv[2]), sys.argv[3:])
else:
    client(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 0)
