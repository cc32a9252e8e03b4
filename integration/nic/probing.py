"""probing.py HOST PORT SECONDS: connections, one after the other, each with a request for /1k, for so long.

Says how many were good, were refused, reset, or ended early, and how long the longest took. Anything else ends it.
"""
import collections
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
        return "good" if len(data.split(b"\r\n\r\n", 1)[-1]) == 1024 else "early"


def main():
    host, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    count = collections.Counter()
    longest, end = 0.0, time.monotonic() + seconds
    while (start := time.monotonic()) < end:
        try:
            how = request(host, port)
        except ConnectionResetError:
            how = "reset"
        except ConnectionRefusedError:
            how = "refused"
        count[how] += 1
        if how != "good":
            time.sleep(0.005)
        longest = max(longest, time.monotonic() - start)
    print(f"{count['good']} good, {count['refused']} refused, {count['reset']} reset, {count['early']} ended early, "
          f"the longest took {longest:.3f} s")


main()
