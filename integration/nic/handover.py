"""Transfers that go on until a file says that they may end: meanwhile the connection is given to the kernel.

handover.py serve PORT                             takes, sends, or both at once, as its client asks
handover.py inetd PORT PROGRAM [ARGUMENT]...       gives each connection to a program that is not accelerated
handover.py shared PORT                            one connection, which two processes have: the child answers
handover.py send|receive|both|halfclosed|echo HOST PORT FILE
handover.py idle HOST PORT                         says and hears a word, waits for a line on stdin, then again
"""
import hashlib
import itertools
import os
import select
import socket
import stat
import sys
import threading
import time

PIECE = 1 << 16
MORE, LAST = b"m", b"l"
MOST, AFTERWARDS = 1_000_000, 64  # pieces: in all, and behind the moment when the file appears


def piece(number, mark):
    seed = hashlib.sha256(number.to_bytes(8, "big")).digest()
    return mark + (seed * (PIECE // len(seed)))[1:]


def give(s, file):
    left = MOST
    for number in itertools.count():
        if left > AFTERWARDS and number % 16 == 0 and os.path.exists(file):
            left = AFTERWARDS
        left -= 1
        s.sendall(piece(number, MORE if left > 0 else LAST))
        if left == 0:
            return


def take(s):
    """Every byte must be the one that was sent, in its place."""
    buffer = bytearray(PIECE)
    for number in itertools.count():
        view, got = memoryview(buffer), 0
        while got < PIECE:
            n = s.recv_into(view[got:])
            if n == 0:
                raise ConnectionError(f"ended in piece {number}")
            got += n
        mark = buffer[:1]
        if mark not in (MORE, LAST) or buffer != piece(number, mark):
            raise ValueError(f"piece {number} is wrong")
        if mark == LAST:
            return


def both(s, file):
    thread = threading.Thread(target=give, args=(s, file))
    thread.start()
    take(s)
    thread.join()


def answer(s):
    with s:
        kind = s.recv(4, socket.MSG_WAITALL)
        file = s.recv(int.from_bytes(s.recv(2, socket.MSG_WAITALL), "big"), socket.MSG_WAITALL)
        print("begun", flush=True)
        if kind == b"take":
            take(s)
            s.sendall(b"good")
        elif kind == b"give":
            give(s, file)
        elif kind == b"both":
            both(s, file)
            s.sendall(b"good")
        elif kind == b"half":
            if s.recv(1) != b"":
                raise ValueError("no end")
            give(s, file)
        elif kind == b"idle":
            while word := s.recv(100):
                s.sendall(word.upper())
        s.shutdown(socket.SHUT_WR)
        print("served" if s.recv(1) == b"" else "trailing bytes", flush=True)


def listen(port):
    return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)


def inetd(port, argv):
    """As ever: fork, the connection as standard input and output, exec."""
    listener = listen(port)
    gains = os.stat(argv[0]).st_mode & stat.S_ISUID  # the loader leaves the library out by itself
    plain = {k: v for k, v in os.environ.items() if gains or k != "LD_PRELOAD"}
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


def shared(port):
    s, _ = listen(port).accept()
    s.recv(6, socket.MSG_WAITALL)
    print("begun", flush=True)
    child = os.fork()
    if child == 0:
        while word := s.recv(100):
            s.sendall(word.upper())
        s.shutdown(socket.SHUT_WR)
        os._exit(0)
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        select.select([], [s], [], 0.01)
        time.sleep(0.01)
    print("served", flush=True)
    time.sleep(60)  # to be looked at; whoever began it ends it


def serve(port):
    listener = listen(port)
    while True:
        s, _ = listener.accept()
        threading.Thread(target=answer, args=(s,)).start()


def connect(host, port):
    s = socket.create_connection((host, port), 10)
    s.settimeout(60)
    return s


def ask(kind, host, port, file=""):
    s = connect(host, port)
    s.sendall(kind + len(file).to_bytes(2, "big") + file.encode())
    print("fd", s.fileno(), flush=True)
    return s


def word(s, text):
    s.sendall(text)
    if s.recv(100) != text.upper():
        raise ValueError("another word came back")


def client(mode, host, port, file):
    if mode == "send":
        s = ask(b"take", host, port, file)
        give(s, file)
    elif mode == "receive":
        s = ask(b"give", host, port, file)
        take(s)
    elif mode == "both":
        s = ask(b"both", host, port, file)
        both(s, file)
    elif mode == "echo":
        s = connect(host, port)
        both(s, file)
    elif mode == "halfclosed":
        s = ask(b"half", host, port, file)
        s.shutdown(socket.SHUT_WR)
        take(s)
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
elif sys.argv[1] == "shared":
    shared(int(sys.argv[2]))
elif sys.argv[1] == "inetd":
    inetd(int(sys.argv[2]), sys.argv[3:])
else:
    client(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] if len(sys.argv) > 4 else "")
