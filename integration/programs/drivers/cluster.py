"""A server whose workers are other programs, begun before it listens; accepted sockets are sent to them.

cluster.py serve PORT   the master: takes connections and hands each to one of two workers over a unix socket
cluster.py work FD      a worker: gets sockets over FD and echoes what comes on each to its end
"""
import socket
import subprocess
import sys

WORKERS = 2


def serve(port):
    channels = []
    for _ in range(WORKERS):
        ours, theirs = socket.socketpair()
        subprocess.Popen([sys.executable, __file__, "work", str(theirs.fileno())], pass_fds=[theirs.fileno()])
        theirs.close()
        channels.append(ours)
    listener = socket.create_server(("127.0.0.1", port))
    taken = 0
    while True:
        s, _ = listener.accept()
        socket.send_fds(channels[taken % WORKERS], [b"x"], [s.fileno()])
        s.close()
        taken += 1


def work(fd):
    channel = socket.socket(fileno=fd)
    while True:
        said, fds, _, _ = socket.recv_fds(channel, 1, 1)
        if not said:
            return
        with socket.socket(fileno=fds[0]) as s:
            while data := s.recv(65536):
                s.sendall(data)


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
else:
    work(int(sys.argv[2]))
