"""connects.py HOST PORT COUNT: a connection for each of COUNT requests; says how many were good, or which error."""
import errno
import socket
import sys


def request(host, port):
    with socket.create_connection((host, port), 10) as s:
        s.sendall(b"GET /1k HTTP/1.0\r\n\r\n")
        data = b""
        while True:
            piece = s.recv(65536)
            if not piece:
                return len(data.split(b"\r\n\r\n", 1)[1]) == 1024
            data += piece


def main():
    host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    good = 0
    for _ in range(count):
        try:
            good += request(host, port)
        except OSError as e:
            print(errno.errorcode.get(e.errno, str(e)))
            return
    print(f"{good} good")


main()
