#!/usr/bin/env python3
"""Datagrams, checked byte by byte.

udp.py serve HOW PORT [ADDRESS...]   echoes: HOW is block, poll, edge, many, info, fork
udp.py WHAT ADDRESS PORT             asks: sizes, flood, refused, many, info, calls, loopback, tags, waiting
Prints `ready` and `good`.
"""
import array
import ctypes
import errno
import fcntl
import os
import random
import select
import socket
import struct
import sys
import termios
import threading
import time

IP_PKTINFO, IP_TTL, IP_TOS, IP_RECVTTL, IP_RECVTOS = 8, 2, 1, 12, 13
LIBC = ctypes.CDLL(None, use_errno=True)


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Msghdr(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("namelen", ctypes.c_uint), ("iov", ctypes.POINTER(Iovec)),
                ("iovlen", ctypes.c_size_t), ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t),
                ("flags", ctypes.c_int)]


class Mmsghdr(ctypes.Structure):
    _fields_ = [("hdr", Msghdr), ("len", ctypes.c_uint)]


class Messages:
    """Arrays for recvmmsg() and sendmmsg()."""

    def __init__(self, count, size=2048):
        self.count = count
        self.buffers = [ctypes.create_string_buffer(size) for _ in range(count)]
        self.names = [ctypes.create_string_buffer(128) for _ in range(count)]
        self.iovs = (Iovec * count)()
        self.all = (Mmsghdr * count)()
        self.size = size
        self.reset()

    def reset(self):
        for i in range(self.count):
            self.iovs[i] = Iovec(ctypes.addressof(self.buffers[i]), self.size)
            self.all[i].hdr = Msghdr(ctypes.addressof(self.names[i]), 128, ctypes.pointer(self.iovs[i]), 1, None, 0, 0)

    def receive(self, fd, flags=0):
        self.reset()
        return LIBC.recvmmsg(fd, self.all, self.count, flags, None)

    def answer(self, fd, count):
        for i in range(count):
            self.iovs[i].length = self.all[i].len
        sent = 0
        while sent < count:
            n = LIBC.sendmmsg(fd, ctypes.byref(self.all, sent * ctypes.sizeof(Mmsghdr)), count - sent, 0)
            if n <= 0:
                raise OSError(ctypes.get_errno(), "sendmmsg")
            sent += n


def check(condition, what):
    if not condition:
        raise SystemExit(f"wrong: {what}")


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def bound(port, address=None):
    if address is None:
        s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.bind(("::", port))
    else:
        s = socket.socket(family(address), socket.SOCK_DGRAM)
        s.bind((address, port))
    return s


def echo(s):
    data, sender = s.recvfrom(65536)
    s.sendto(data, sender)


def serve_edge(sockets):
    epoll = select.epoll()
    for s in sockets:
        s.setblocking(False)
        epoll.register(s, select.EPOLLIN | select.EPOLLET)
    by_fd = {s.fileno(): s for s in sockets}
    while True:
        for fd, _ in epoll.poll():
            try:
                while True:
                    echo(by_fd[fd])
            except BlockingIOError:
                pass


def serve_poll(sockets):
    poll = select.poll()
    for s in sockets:
        poll.register(s, select.POLLIN)
    by_fd = {s.fileno(): s for s in sockets}
    while True:
        for fd, _ in poll.poll():
            echo(by_fd[fd])


def serve_many(s):
    messages = Messages(32)
    while True:
        got = messages.receive(s.fileno(), 0x10000)  # MSG_WAITFORONE
        check(got > 0, "recvmmsg")
        messages.answer(s.fileno(), got)


def serve_info6(s):
    """The same over IPv6: hop limit and traffic class."""
    for option in (socket.IPV6_RECVPKTINFO, socket.IPV6_RECVHOPLIMIT, socket.IPV6_RECVTCLASS):
        s.setsockopt(socket.IPPROTO_IPV6, option, 1)
    while True:
        data, control, flags, sender = s.recvmsg(100, 256)
        told = {kind: value for level, kind, value in control if level == socket.IPPROTO_IPV6}
        to, index = struct.unpack("=16sI", told[socket.IPV6_PKTINFO])
        text = (f"{index} {socket.inet_ntop(socket.AF_INET6, to)} {struct.unpack('=i', told[socket.IPV6_HOPLIMIT])[0]} "
                f"{struct.unpack('=i', told[socket.IPV6_TCLASS])[0]} {int(flags & socket.MSG_TRUNC != 0)} {len(data)}")
        s.sendmsg([text.encode()], [
            (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, struct.pack("=16sI", to, 0)),
            (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, struct.pack("=i", 33))], 0, sender)


def serve_info(s):
    """Answers with what was told of each datagram, from the address that it was sent to."""
    if s.family == socket.AF_INET6:
        serve_info6(s)
    for option in (IP_PKTINFO, IP_RECVTTL, IP_RECVTOS):
        s.setsockopt(socket.IPPROTO_IP, option, 1)
    while True:
        data, control, flags, sender = s.recvmsg(100, 256)
        told = {kind: value for level, kind, value in control if level == socket.IPPROTO_IP}
        index, _, to = struct.unpack("=I4s4s", told[IP_PKTINFO])
        text = (f"{index} {socket.inet_ntoa(to)} {struct.unpack('=i', told[IP_TTL])[0]} {told[IP_TOS][0]} "
                f"{int(flags & socket.MSG_TRUNC != 0)} {len(data)}")
        info = struct.pack("=I4s4s", 0, to, b"\0" * 4)
        s.sendmsg([text.encode()], [(socket.IPPROTO_IP, IP_PKTINFO, info),
                                    (socket.IPPROTO_IP, IP_TTL, struct.pack("=i", 33))], 0, sender)


def serve(how, port, *addresses):
    sockets = [bound(int(port), a) for a in addresses] or [bound(int(port))]
    print("ready", flush=True)
    if how == "edge":
        serve_edge(sockets)
    elif how == "poll":
        serve_poll(sockets)
    elif how == "many":
        serve_many(sockets[0])
    elif how == "info":
        serve_info(sockets[0])
    elif how == "fork" and os.fork() == 0:
        while True:
            echo(sockets[0])
    elif how == "tags":
        while True:
            for s in select.select(sockets, [], [])[0]:
                _, sender = s.recvfrom(100)
                s.sendto(s.getsockname()[0].encode(), sender)
    while True:
        echo(sockets[0])


def client(address, port, connect=True):
    s = socket.socket(family(address), socket.SOCK_DGRAM)
    s.settimeout(5)
    if connect:
        s.connect((address, port))
    return s


def sizes(address, port):
    for connect in (True, False):
        s = client(address, port, connect)
        for size in (0, 1, 7, 8, 100, 511, 1024, 1431, 1432, 1451, 1452, 1453, 1471, 1472, 1473, 2000, 8192, 9000):
            data = os.urandom(size)
            if connect:
                check(s.send(data) == size, "send")
            else:
                check(s.sendto(data, (address, port)) == size, "sendto")
            got, sender = s.recvfrom(65536)
            check(got == data, f"{size} bytes came back as {len(got)}")
            check(sender[:2] == (address, port), f"sender {sender}")
        check(s.getsockname()[1] != 0, "name")


def flood(address, port):
    for connect in (True, False):
        s = client(address, port, connect)
        generator = random.Random(1)
        sent, back, lost = 0, set(), 0
        while len(back) + lost < 10000:
            while sent < 10000 and sent - len(back) - lost < 32:
                data = struct.pack("=I", sent) + generator.randbytes(generator.randrange(1400))
                if connect:
                    s.send(data)
                else:
                    s.sendto(data, (address, port))
                sent += 1
            try:
                got = s.recv(2000)
            except TimeoutError:
                lost = sent - len(back)
                continue
            number = struct.unpack("=I", got[:4])[0]
            check(number not in back, f"datagram {number} came twice")
            back.add(number)
        check(lost == 0, f"{lost} of 10,000 lost")


def expect(number, call):
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            call()
        except TimeoutError:
            continue
        except OSError as error:
            check(error.errno == number, f"{errno.errorcode[error.errno]} for {errno.errorcode[number]}")
            return
        time.sleep(0.05)
    check(False, f"no {errno.errorcode[number]}")


def refused(address, port):
    s = client(address, port)
    s.send(b"anybody?")
    expect(errno.ECONNREFUSED, lambda: s.recv(100))
    s.send(b"anybody?")
    poll = select.poll()
    poll.register(s, select.POLLIN)
    check(poll.poll(5000) and poll.poll(0)[0][1] & select.POLLERR, "POLLERR")
    check(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED, "SO_ERROR")
    check(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0, "SO_ERROR again")
    s.send(b"anybody?")
    expect(errno.ECONNREFUSED, lambda: s.send(b"and now?"))
    # Nobody asked: a socket that is not connected hears of nothing.
    alone = client(address, port, connect=False)
    for _ in range(5):
        alone.sendto(b"anybody?", (address, port))
        time.sleep(0.02)
    alone.settimeout(0.1)
    try:
        alone.recv(100)
        check(False, "something came")
    except TimeoutError:
        pass


def many(address, port):
    s = client(address, port)
    messages = Messages(32)
    for round_ in range(100):
        for i in range(32):
            text = b"%d %d" % (round_, i) * (i + 1)
            ctypes.memmove(messages.buffers[i], text, len(text))
            messages.all[i].len = len(text)
            messages.all[i].hdr.name = None
            messages.all[i].hdr.namelen = 0
        messages.answer(s.fileno(), 32)
        back, inbox = set(), Messages(32)
        while len(back) < 32:
            check(select.select([s], [], [], 5)[0], f"{len(back)} of 32 came back")
            got = inbox.receive(s.fileno(), socket.MSG_DONTWAIT)
            check(got > 0, f"recvmmsg {ctypes.get_errno()}")
            for i in range(got):
                back.add(inbox.buffers[i].raw[:inbox.all[i].len])
        check(back == {b"%d %d" % (round_, i) * (i + 1) for i in range(32)}, "datagrams changed")


def info(address, port):
    s = client(address, port)
    if ":" in address:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 17)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, 0x28)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    else:
        s.setsockopt(socket.IPPROTO_IP, IP_TTL, 17)
        s.setsockopt(socket.IPPROTO_IP, IP_TOS, 0x28)
        s.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
    for size, cut in ((10, 0), (100, 0), (101, 1)):
        s.send(b"x" * size)
        data, control, _, sender = s.recvmsg(200, 100)
        words = data.split()
        check(int(words[0]) > 0 and words[1].decode() == address, f"packet info {data}")
        check([int(w) for w in words[2:]] == [17, 0x28, cut, min(size, 100)], f"told {data}")
        check(struct.unpack("=i", control[0][2])[0] == 33, f"TTL of the answer {control}")
        check(sender[0] == address, "address of the answer")


def calls(address, port):
    s = client(address, port)
    s.send(b"0123456789")
    check(s.recv(4, socket.MSG_PEEK) == b"0123", "peek")
    size = array.array("i", [0])
    fcntl.ioctl(s, termios.FIONREAD, size)
    check(size[0] == 10, f"FIONREAD {size[0]}")
    buffer = bytearray(4)
    check(s.recv_into(buffer, 4, socket.MSG_TRUNC) == 10 and buffer == b"0123", "truncated")
    s.settimeout(None)
    expect(errno.EAGAIN, lambda: s.recv(10, socket.MSG_DONTWAIT))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("=qq", 0, 100000))
    began = time.monotonic()
    expect(errno.EAGAIN, lambda: s.recv(10))
    check(0.05 < time.monotonic() - began < 2, "timeout")
    other = os.dup(s.fileno())
    s.send(b"twice")
    time.sleep(0.1)
    check(os.read(other, 100) == b"twice", "read of a copy")
    os.close(other)
    check(s.getpeername()[:2] == (address, port), "peer")
    check(LIBC.connect(s.fileno(), struct.pack("=H14x", 0), 16) == 0, "dissolve")
    expect(errno.EDESTADDRREQ, lambda: s.send(b"to whom?"))
    s.sendto(b"again", (address, port))
    check(s.recv(10) == b"again", "after dissolving")
    s.connect((address, port))
    s.shutdown(socket.SHUT_WR)
    expect(errno.EPIPE, lambda: s.send(b"too late"))
    filled = client(address, port)
    epoll = select.epoll()
    epoll.register(filled, select.EPOLLIN | select.EPOLLET)
    check(not epoll.poll(0), "an edge before anything came")
    filled.send(b"1")
    check(epoll.poll(5)[0][1] & select.EPOLLIN, "edge")
    check(not epoll.poll(0.05), "edge twice")
    filled.send(b"2")
    check(epoll.poll(5)[0][1] & select.EPOLLIN, "edge of another datagram")
    check(filled.recv(10) == b"1" and filled.recv(10) == b"2", "order")


def tags(address, port):
    for one in address.split(","):
        s = client(one, port)
        for _ in range(20):
            s.send(b"who?")
            check(s.recv(100).decode() == one, "the wrong socket")


def mixed(address, port):
    """The same server over loopback and, by its owner's other host, over the interface."""
    ends = [client(a, port) for a in address.split(",")]
    for i in range(200):
        for s in ends:
            s.send(b"%d" % i)
        for s in ends:
            check(s.recv(100) == b"%d" % i, "mixed")


def waiting(address, port):
    """A thread waits for answers before the first question makes the socket anything."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        got = []
        thread = threading.Thread(target=lambda: got.extend(s.recvfrom(100)[0] for _ in range(20)), daemon=True)
        thread.start()
        time.sleep(0.2)
        started = time.monotonic()
        for i in range(20):
            s.sendto(b"%d" % i, (address, port))
        thread.join(3)
        check(got == [b"%d" % i for i in range(20)], f"{len(got)} answers after {time.monotonic() - started:.1f} s")


def racing(address, port):
    """A thread begins to wait while another's first question makes the socket what it is: in a process of its own each
    time, since the first time takes long."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for milliseconds in (0, 1, 2, 3, 5, 8, 13, 21, 34):
        child = os.fork()
        if child:
            check(os.waitpid(child, 0)[1] == 0, f"no answer to who began to wait {milliseconds} ms after the question")
            continue
        s = socket.socket(family, socket.SOCK_DGRAM)
        got, asked = [], threading.Event()

        def wait(s=s, got=got, asked=asked, seconds=milliseconds / 1000):
            asked.wait()
            time.sleep(seconds)
            got.extend(s.recvfrom(100)[0] for _ in range(20))

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        asked.set()
        for i in range(20):
            s.sendto(b"%d" % i, (address, port))
        thread.join(3)
        os._exit(got != [b"%d" % i for i in range(20)])


def main():
    if sys.argv[1] == "serve":
        serve(*sys.argv[2:])
    what = {"sizes": sizes, "flood": flood, "refused": refused, "many": many, "info": info, "calls": calls,
            "tags": tags, "mixed": mixed, "waiting": waiting, "racing": racing}[sys.argv[1]]
    what(sys.argv[2], int(sys.argv[3]))
    print("good")


main()
