"""memcached.py ADDRESS PORT UDP-PORT WHAT: asks a memcached and checks every value. Prints `good`."""
import os
import random
import socket
import struct
import sys
import threading

ADDRESS, PORT, UDP = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


class Client:
    def __init__(self):
        self.socket = socket.create_connection((ADDRESS, PORT), timeout=10)
        self.file = self.socket.makefile("rb")

    def line(self):
        return self.file.readline().rstrip(b"\r\n")

    def set(self, key, value):
        self.socket.sendall(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value))
        assert self.line() == b"STORED"

    def values(self, *keys):
        self.socket.sendall(b"get " + b" ".join(keys) + b"\r\n")
        found = {}
        while (line := self.line()) != b"END":
            _, key, _, size = line.split()
            found[key] = self.file.read(int(size))
            assert self.file.read(2) == b"\r\n"
        return found

    def ask(self, command):
        self.socket.sendall(command + b"\r\n")
        return self.line()


def sizes():
    c = Client()
    for size in (0, 1, 100, 1447, 1448, 1449, 16384, 65536, 1_000_000, 3_000_000):
        value = os.urandom(size)
        c.set(b"k", value)
        assert c.values(b"k") == {b"k": value}, size


def multiget():
    c = Client()
    wanted = {b"m%d" % i: os.urandom(random.randrange(3000)) for i in range(200)}
    for key, value in wanted.items():
        c.set(key, value)
    for _ in range(20):
        assert c.values(*wanted) == wanted


def counters():
    c = Client()
    c.set(b"n", b"0")
    for i in range(1, 2000):
        assert c.ask(b"incr n 1") == b"%d" % i
    assert c.ask(b"delete n") == b"DELETED"
    assert c.ask(b"delete n") == b"NOT_FOUND"
    assert c.ask(b"nonsense") == b"ERROR"


def binary():
    with socket.create_connection((ADDRESS, PORT), timeout=10) as s, s.makefile("rb") as f:
        for i in range(500):
            key, value = b"b%d" % i, os.urandom(1 + i * 7)
            s.sendall(struct.pack(">BBHBBHIIQ", 0x80, 1, len(key), 8, 0, 0, 8 + len(key) + len(value), i, 0) +
                      bytes(8) + key + value)
            head = struct.unpack(">BBHBBHIIQ", f.read(24))
            assert head[0] == 0x81 and head[5] == 0 and head[7] == i
            f.read(head[6])
            s.sendall(struct.pack(">BBHBBHIIQ", 0x80, 0, len(key), 0, 0, 0, len(key), i, 0) + key)
            head = struct.unpack(">BBHBBHIIQ", f.read(24))
            assert head[5] == 0 and f.read(head[6])[4:] == value


def connections():
    several = [Client() for _ in range(300)]
    for i, c in enumerate(several):
        c.set(b"c%d" % i, b"%d" % i)
    random.shuffle(several)
    for i, c in enumerate(several):
        assert c.values(b"c%d" % i) == {b"c%d" % i: b"%d" % i}
    for _ in range(300):
        Client().socket.close()
    assert several[0].ask(b"version").startswith(b"VERSION")


def pipeline():
    c = Client()
    c.set(b"p", b"x" * 1000)
    n = 3000
    threading.Thread(target=c.socket.sendall, args=(b"get p\r\n" * n,), daemon=True).start()
    for _ in range(n):
        assert c.line().startswith(b"VALUE")
        assert c.file.read(1002) == b"x" * 1000 + b"\r\n"
        assert c.line() == b"END"


def threads():
    wrong = []

    def one(name):
        try:
            c = Client()
            for i in range(300):
                value = os.urandom(random.randrange(20000))
                c.set(b"t%d" % name, value)
                assert c.values(b"t%d" % name) == {b"t%d" % name: value}
        except BaseException as error:
            wrong.append(error)

    several = [threading.Thread(target=one, args=(n,)) for n in range(16)]
    for t in several:
        t.start()
    for t in several:
        t.join()
    assert not wrong, wrong


def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.connect((ADDRESS, UDP))
        for i in range(500):
            s.send(struct.pack(">HHHH", i, 0, 1, 0) + b"set u%d 0 0 4\r\nabcd\r\n" % i)
            assert s.recv(2000) == struct.pack(">HHHH", i, 0, 1, 0) + b"STORED\r\n"
        Client().set(b"large", b"y" * 10000)
        s.send(struct.pack(">HHHH", 7, 0, 1, 0) + b"get large\r\n")
        first = s.recv(2000)
        count = struct.unpack(">HHHH", first[:8])[2]
        parts = [first] + [s.recv(2000) for _ in range(count - 1)]
        assert b"".join(p[8:] for p in sorted(parts, key=lambda p: p[2:4])).count(b"y") == 10000


def stats():
    c = Client()
    c.socket.sendall(b"stats\r\n")
    found = {}
    while (line := c.line()) != b"END":
        _, key, value = line.split(b" ", 2)
        found[key] = value
    assert int(found[b"curr_connections"]) < 100, found[b"curr_connections"]


globals()[sys.argv[4]]()
print("good")
