"""again.py serve PORT | give PORT | use ADDRESS PORT COUNT: the server closes first, so each port of the client's stays
in its TIME-WAIT; give: by a program that is not accelerated and comes by exec(), so the TIME-WAIT is the kernel's

One client after the other uses the same ports. A connection that is begun again must not be taken for an old one's echo.
"""
import os
import socket
import sys
import time

FIRST = 40_000

if sys.argv[1] == "serve":
    listener = socket.create_server(("", int(sys.argv[2])), backlog=200)
    while True:
        listener.accept()[0].close()

if sys.argv[1] == "give":
    listener = socket.create_server(("", int(sys.argv[2])), backlog=200)
    while True:
        connection = listener.accept()[0]
        child = os.fork()
        if child == 0:
            os.dup2(connection.fileno(), 0)
            os.execve("/bin/true", ["true"], {"PATH": "/bin"})
        connection.close()
        os.waitpid(child, 0)

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
