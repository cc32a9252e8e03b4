"""Asks a web server for a file, begins to read, and waits before it goes on. usage: late_reader.py PORT PATH SECONDS SHA256"""
import hashlib
import socket
import sys
import time

port, path, seconds, wanted = sys.argv[1:]
with socket.create_connection(("127.0.0.1", int(port)), timeout=10) as s:
    s.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    stream = s.makefile("rb")
    answer = stream.read(64 << 10)
    time.sleep(float(seconds))
    answer += stream.read()
got = hashlib.sha256(answer[answer.index(b"\r\n\r\n") + 4:]).hexdigest()
assert got == wanted, f"{len(answer)} bytes came, and not those that were sent"
print("ok")
