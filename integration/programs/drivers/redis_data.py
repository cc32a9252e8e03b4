"""Many connections, pipelined, values of all sizes: what was stored must come back, byte for byte, in order."""
import random
import selectors
import socket
import sys

port, count = int(sys.argv[1]), int(sys.argv[2])
SIZES = (0, 1, 63, 64, 65, 1000, 4095, 4096, 16_384, 65_536, 200_000)


class Peer:
    """One connection: sends its commands as the socket takes them and compares the answers as they come."""

    def __init__(self, number, generator):
        values = [generator.randbytes(generator.choice(SIZES)) for _ in range(count // 10)]
        keys = [b"%d-%d" % (number, i) for i in range(len(values))]
        sets = b"".join(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(k), k, len(v), v)
                        for k, v in zip(keys, values))
        gets = b"".join(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(k), k) for k in keys)
        self.out = memoryview(sets + gets)
        self.expected = b"+OK\r\n" * len(values) + b"".join(b"$%d\r\n%s\r\n" % (len(v), v) for v in values)
        self.got = 0
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setblocking(False)

    def step(self, events):
        if events & selectors.EVENT_WRITE and self.out:
            self.out = self.out[self.socket.send(self.out[:random.choice((7, 1000, 300_000))]):]
        if events & selectors.EVENT_READ:
            data = self.socket.recv(random.choice((100, 5000, 300_000)))
            if not data:
                sys.exit(f"closed after {self.got} of {len(self.expected)} bytes")
            if data != self.expected[self.got:self.got + len(data)]:
                sys.exit(f"other bytes than were stored, at {self.got}")
            self.got += len(data)

    def done(self):
        return self.got == len(self.expected)


def main():
    random.seed(1)
    peers = [Peer(i, random.Random(i)) for i in range(10)]
    waiting = selectors.DefaultSelector()
    for peer in peers:
        waiting.register(peer.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, peer)
    left = len(peers)
    while left:
        ready = waiting.select(timeout=10)
        if not ready:
            sys.exit("nothing ready for 10 s")
        for key, events in ready:
            peer = key.data
            peer.step(events)
            if peer.done():
                waiting.unregister(peer.socket)
                peer.socket.close()
                left -= 1
            elif not peer.out:
                waiting.modify(peer.socket, selectors.EVENT_READ, peer)
    print("ok")


main()
