"""Servers of our own whose processes are killed again and again while clients go on."""
import os
import signal
import socket

from .harness import DRIVERS, PYTHON, case, free_port


def storm(c, how):
    port, control = free_port(), free_port()
    server = c.server(PYTHON, os.path.join(DRIVERS, "prefork_server.py"), port, control, how, port=port)
    kills = 40 if c.quick else 150
    c.driver("prefork_clients.py", port, control, 10)
    before = server.descriptors()
    c.driver("prefork_clients.py", port, control, kills)
    c.expect(server.descriptors() <= before + 4,
             f"the master has {server.descriptors()} descriptors, {before} before {kills} workers died")


@case("prefork-epoll", moves=500_000)
def epoll(c):
    storm(c, "epoll")


@case("prefork-blocking", moves=500_000)
def blocking(c):
    storm(c, "blocking")


@case("prefork-daemon", moves=3_000_000)
def daemon(c):
    """Whoever is left answers for the listener, to clients that have never heard of it."""
    port = free_port()
    c.server(PYTHON, os.path.join(DRIVERS, "prefork_server.py"), port, 0, "daemon", port=port)
    for left in (3, 2, 1):
        c.driver("echo_once.py", port, 1_000_000)
        if left > 1:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
                os.kill(int(s.makefile().readline()), signal.SIGKILL)


@case("server-restarts", moves=None, columns=("kernel", "accel"))
def restarts(c):
    c.driver("restarts.py", free_port(), 6 if c.quick else 15)
