"""many.py serve PORT | connect HOST PORT COUNT: connections one after the other, which the client closes first.

Their ports stay taken for a minute. Says what connect() took of the first and of the last thousand (median, in us), and
whether each port was one of those that connections get.
"""
import socket
import statistics
import struct
import sys
import time

IP_LOCAL_PORT_RANGE = 51


def serve(port):
    with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128) as listener:
        while True:
            s, _ = listener.accept()
            s.recv(1)
            s.close()


def port_range():
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        return tuple(map(int, file.read().split()))


def connect(address, family, prepare=lambda s: None):
    with socket.socket(family) as s:
        prepare(s)
        begun = time.perf_counter()
        s.connect(address)
        return time.perf_counter() - begun, s.getsockname()[1]


def own_range(s):
    """Whoever narrows the range for a socket gets a port of that."""
    s.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("I", 50007 << 16 | 50000))


def main():
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
        return
    host, port, count = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    low, high = port_range()
    done = [connect((host, port), family) for _ in range(count)]
    ports = [p for _, p in done]
    first, last = (statistics.median(t for t, _ in some) * 1e6 for some in (done[:1000], done[-1000:]))
    wrong = [p for p in ports if not low <= p <= high]
    _, chosen = connect((host, port), family, own_range)
    if not 50000 <= chosen <= 50007:
        wrong.append(chosen)
    print(f"first {first:.0f} last {last:.0f} wrong {len(wrong)}")


main()
