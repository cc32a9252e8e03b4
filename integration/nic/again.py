"""again.py serve PORT [given] | use ADDRESS PORT COUNT: the server closes first, so each port of the client's stays in
its TIME-WAIT; given: in the kernel's, which was given the connection.

One client after the other uses the same ports. A connection that is begun again must not be taken for an old one's echo.
"""
import os
import socket
import sys
import time

# Below the ports that connect() chooses: one of those, of the connection before, would be in this side's TIME-WAIT.
FIRST = 30_000

if sys.argv[1] == "serve":
    listener = socket.create_server(("", int(sys.argv[2])), backlog=200)
    while True:
        with listener.accept()[0] as s:
            if len(sys.argv) > 3:  # only the kernel can do that: it is given the connection, and so has its TIME-WAIT
                s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 1)

# Who the next hop is may have to be asked first.
socket.create_connection((sys.argv[2], int(sys.argv[3])), timeout=5).close()
slow = []
for n in range(int(sys.argv[4])):
    started = time.monotonic()
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("", FIRST + n))
        s.settimeout(5)
        s.connect((sys.argv[2], int(sys.argv[3])))
        if s.recv(1) != b"":
            slow.append("data that nobody sent")
    if time.monotonic() - started > 0.8:
        slow.append(f"port {FIRST + n}: {time.monotonic() - started:.1f} s")
    if len(slow) > 3:
        break
print(slow or "good")
