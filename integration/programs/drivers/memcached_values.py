"""Threads with a blocking connection each: set, get, delete and large values, every answer checked."""
import random
import socket
import sys
import threading

port, count = int(sys.argv[1]), int(sys.argv[2])
wrong = []


def client(number):
    generator = random.Random(number)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as s, s.makefile("rwb") as f:
            for i in range(count // 8):
                key, value = b"k%d-%d" % (number, i % 50), generator.randbytes(generator.choice((1, 100, 1500, 9000)))
                f.write(b"set %s 0 0 %d\r\n%s\r\nget %s\r\n" % (key, len(value), value, key))
                f.flush()
                head = f.readline() + f.readline()
                got = f.read(len(value) + 2) + f.readline()
                if head != b"STORED\r\nVALUE %s 0 %d\r\n" % (key, len(value)) or got != value + b"\r\nEND\r\n":
                    raise ValueError(f"answer {head!r}")
                if i % 10 == 9:
                    f.write(b"delete %s\r\nget %s\r\n" % (key, key))
                    f.flush()
                    if f.readline() + f.readline() != b"DELETED\r\nEND\r\n":
                        raise ValueError("deleted and still there")
    except (OSError, ValueError) as error:
        wrong.append(f"connection {number}: {error}")


threads = [threading.Thread(target=client, args=(i,)) for i in range(8)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print("\n".join(wrong) or "ok")
