"""probing.py HOST PORT SECONDS: connections, one after the other, each with a request for /1k, for so long.

Says how many were good, how many were refused or reset, and how long the longest took. Anything else ends it.
"""
import socket
import sys
import time


def request(host, port):
    with socket.create_connection((host, port), 10) as s:
        s.settimeout(10)
        s.sendall(b"GET /1k HTTP/1.0\r\n\r\n")
        data = b""
        while piece := s.recv(65536):
            data += piece
        if len(data.split(b"\r\n\r\n", 1)[-1]) != 1024:
            raise ConnectionResetError


def main():
    host, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    good = bad = 0
    longest, end = 0.0, time.monotonic() + seconds
    while (start := time.monotonic()) < end:
        try:
            request(host, port)
            good += 1
        except (ConnectionResetError, ConnectionRefusedError):
            bad += 1
            time.sleep(0.005)
        longest = max(longest, time.monotonic() - start)
    print(f"{good} good, {bad} refused or reset, the longest took {longest:.3f} s")


main()
