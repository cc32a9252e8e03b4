"""hostile.py IF FOLDER SEED MUTATED [SOURCE SPORT TARGET TPORT]...: frames that mean no good, onto an interface.

First every frame of the corpus in FOLDER as it is, then MUTATED copies of them with bytes changed, added and cut off,
then as many segments under the names of living connections (IPv4): any flags, numbers and options, right checksums.
Prints how many of each were sent. The target's hardware address stays, lest the card drop what the stack should.
"""
import glob
import os
import random
import socket
import struct
import sys


def read(path):
    with open(path, encoding="utf-8") as f:
        return bytes.fromhex("".join(line for line in f if line[0] not in "#=").replace("\n", " "))


def mutate(generator, frame):
    frame = bytearray(frame)
    for _ in range(generator.randrange(1, 8)):
        if len(frame) > 12:
            frame[generator.randrange(12, min(len(frame), 74))] = generator.randrange(256)
    if generator.random() < 0.2:
        frame = frame[:generator.randrange(14, len(frame) + 1)] if len(frame) > 14 else frame
    if generator.random() < 0.1:
        frame += generator.randbytes(generator.randrange(1, 1400))
    return bytes(frame)


def folded(data, start=0):
    total = start + sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def forge(generator, macs, connection):
    """A segment of a connection, by somebody who knows its names but not its numbers."""
    source, sport, target, tport = connection
    options = generator.randbytes(4 * generator.randrange(0, 11))
    if generator.random() < 0.5:
        options = b"\1\1\x08\x0a" + generator.randbytes(8) + options[:28]
    flags = generator.choice([0x02, 0x04, 0x10, 0x11, 0x12, 0x14, 0x18, 0x29, 0x38, 0xC2, 0xFF, 0,
                              generator.randrange(256)])
    payload = generator.randbytes(generator.choice([0, 0, 1, 100, 1400]))
    tcp = bytearray(struct.pack("!HHIIBBHHH", sport, tport, generator.getrandbits(32), generator.getrandbits(32),
                                (20 + len(options)) << 2, flags, generator.getrandbits(16), 0,
                                generator.getrandbits(16)) + options + payload)
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    tcp[16:18] = struct.pack("!H", folded(bytes(tcp), folded(addresses + struct.pack("!HH", 6, len(tcp))) ^ 0xFFFF))
    ip = bytearray(struct.pack("!BBHHHBBH", 0x45, generator.choice([0, 0, 2, 3]), 20 + len(tcp), 7, 0, 64, 6, 0)
                   + addresses)
    ip[10:12] = struct.pack("!H", folded(bytes(ip)))
    return macs + b"\x08\x00" + bytes(ip) + bytes(tcp)


def main():
    interface, folder, seed, many = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    rest = sys.argv[5:]
    connections = [(rest[i], int(rest[i + 1]), rest[i + 2], int(rest[i + 3])) for i in range(0, len(rest), 4)]
    generator = random.Random(seed)
    corpus = [read(path) for path in sorted(glob.glob(os.path.join(folder, "*.hex")))]
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind((interface, 0))
    counts = {"corpus": 0, "mutated": 0, "forged": 0, "unsendable": 0}

    def send(kind, frame):
        try:
            out.send(frame)
            counts[kind] += 1
        except OSError:
            # Shorter than a header, or longer than the MTU: the sender's own kernel refuses.
            counts["unsendable"] += 1

    for frame in corpus:
        send("corpus", frame)
    for _ in range(many):
        send("mutated", mutate(generator, generator.choice(corpus)))
    macs = bytes.fromhex("020000000002020000000001")
    for _ in range(many if connections else 0):
        send("forged", forge(generator, macs, generator.choice(connections)))
    print(" ".join(f"{kind} {count}" for kind, count in counts.items()), flush=True)


main()
