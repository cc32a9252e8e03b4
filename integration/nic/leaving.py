"""leaving.py serve PORT | leaving.py send HOST PORT MEGABYTES HOW: sends much and ends at once, without waiting.

HOW: exit (sockets open at exit), _exit, close (closed, then exit), shutdown. The server says how much came, and how.
"""
import os
import socket
import sys


def serve(port):
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    while True:
        s, _ = listener.accept()
        total = 0
        try:
            while piece := s.recv(1 << 20):
                total += len(piece)
                if total < 1 << 21:
                    # A slow reader at first: most of it is still with the sender when that ends.
                    import time
                    time.sleep(0.02)
            print(f"{total} then end", flush=True)
        except OSError as e:
            print(f"{total} then {e}", flush=True)
        s.close()


def send(host, port, megabytes, how):
    s = socket.create_connection((host, port), 10)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
    s.sendall(bytes(megabytes << 20))
    if how == "close":
        s.close()
    elif how == "shutdown":
        s.shutdown(socket.SHUT_WR)
    elif how == "_exit":
        os._exit(0)


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
else:
    send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
