"""redis_values.py HOST: writes values of many sizes into a redis and reads them back, alone and pipelined."""
import random
import socket
import sys

SIZES = [0, 1, 2, 100, 1447, 1448, 1449, 4096, 16383, 16384, 16385, 65535, 65536, 200_000, 1_000_000, 5_000_000]


class Redis:
    def __init__(self, host):
        self.socket = socket.create_connection((host, 6379), 10)
        self.socket.settimeout(20)
        self.file = self.socket.makefile("rb")

    def send(self, *words):
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            parts += [b"$%d\r\n" % len(word), word, b"\r\n"]
        self.socket.sendall(b"".join(parts))

    def reply(self):
        line = self.file.readline()
        if line[:1] in b"+:":
            return line[1:-2]
        if line[:1] != b"$":
            raise ValueError(f"redis said {line!r}")
        length = int(line[1:])
        return self.file.read(length + 2)[:-2] if length >= 0 else None


def main():
    random.seed(7)
    redis = Redis(sys.argv[1])
    values = {b"k%d" % i: random.randbytes(size) for i, size in enumerate(SIZES)}
    for key, value in values.items():
        redis.send(b"SET", key, value)
        assert redis.reply() == b"OK", key
    for key, value in values.items():
        redis.send(b"GET", key)
        assert redis.reply() == value, key
    for _ in range(50):
        for key, value in values.items():
            if len(value) < 70_000:
                redis.send(b"GET", key)
        for key, value in values.items():
            if len(value) < 70_000:
                assert redis.reply() == value, key
    print("all came back")


main()
