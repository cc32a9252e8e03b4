"""Waits in a blocking recv() until the other end is gone; prints the moment it was told."""
import socket
import sys
import time

s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(b"PING\r\n")
try:
    while s.recv(4096):
        pass
except ConnectionResetError:
    pass
print(time.monotonic())
