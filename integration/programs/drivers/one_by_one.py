"""one_by_one.py HOST PORT SECONDS: a connection for each request, until the time is over; each must be answered."""
import socket
import sys
import time


def request(host, port):
    with socket.create_connection((host, port), 10) as s:
        s.sendall(b"GET /1k HTTP/1.0\r\n\r\n")
        data = b""
        while piece := s.recv(65536):
            data += piece
        return data.startswith(b"HTTP/1.1 200") and len(data.split(b"\r\n\r\n", 1)[1]) == 1024


def main():
    host, port, end = sys.argv[1], int(sys.argv[2]), time.monotonic() + float(sys.argv[3])
    good = 0
    while time.monotonic() < end:
        assert request(host, port), f"after {good} good requests one was not answered as it should"
        good += 1
    print(f"{good} good\nok")


main()
