"""Servers of the inetd kind: they accept, fork, and exec a program whose standard descriptors are the connection."""
import os

from .harness import DRIVERS, PYTHON, case, free_port
from .http import MB, digest, random_file
from .stackdump import dump


def exchange(c, port, up, size):
    """Sends a file to an echoing server; what comes back must be the same."""
    c.client(PYTHON, os.path.join(DRIVERS, "echo_file.py"), "127.0.0.1", port, c.path("up"), c.path("got"))
    c.expect(os.path.getsize(c.path("got")) == size, f"{os.path.getsize(c.path('got'))} bytes of {size} came back")
    c.expect(digest(c.path("got")) == up, "what came back is something else")


@case("socat-exec-cat", moves=16 * MB)
def socat_cat(c):
    """socat execs cat with the connection itself as its standard input and output."""
    port = free_port()
    up = random_file(c.path("up"), 8 * MB)
    c.server("socat", f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork", "EXEC:cat,nofork", port=port)
    for _ in range(3):
        exchange(c, port, up, 8 * MB)


@case("socat-exec-script", moves=None)
def socat_script(c):
    """A shell script that speaks a small protocol, with programs of its own in pipelines."""
    port = free_port()
    with open(c.path("script"), "w", encoding="ascii") as f:
        f.write("#!/bin/sh\nwhile read word rest; do case $word in\n"
                "echo) echo \"$rest\" ;;\nupper) echo \"$rest\" | tr a-z A-Z ;;\ncount) printf '%s' \"$rest\" | wc -c ;;\n"
                "sort) printf '%s\\n' $rest | sort | tr '\\n' ' '; echo ;;\nquit) exit 0 ;;\nesac; done\n")
    os.chmod(c.path("script"), 0o755)
    c.server("socat", f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork", f"EXEC:{c.path('script')},nofork", port=port)
    with open(c.path("said"), "w", encoding="ascii") as f:
        f.write("echo hello there\nupper quietly\ncount 12345\nsort b c a\nquit\n")
    for _ in range(5):
        out = c.client("nc", "-N", "127.0.0.1", port, stdin=c.path("said"))
        c.expect(out == "hello there\nQUIETLY\n5\na b c \n", f"the script said {out!r}")


@case("python-pass-fds", moves=4 * MB)
def pass_fds(c):
    """subprocess with pass_fds and close_fds: the child is another interpreter."""
    port = free_port()
    up = random_file(c.path("up"), 2 * MB)
    c.server(PYTHON, os.path.join(DRIVERS, "pass_fds.py"), "serve", port, port=port)
    for _ in range(3):
        exchange(c, port, up, 2 * MB)


@case("message-not-sent", moves=None, columns=("kernel", "accel"))
def message_not_sent(c):
    """What a message that failed held of sockets that went to the kernel meanwhile is given back."""
    os.mkfifo(c.path("stdin"))
    keeper = os.open(c.path("stdin"), os.O_RDWR)
    sender = c.start(PYTHON, os.path.join(DRIVERS, "unsent_rights.py"), 3, stdin=c.path("stdin"))
    c.eventually(lambda: "closed" in sender.output(), lambda: f"the sender: {sender.said()}")
    c.expect(sender.output() == "not sent\n" * 3 + "closed\n", f"the sender: {sender.said()}")
    if c.column.server:
        stack = next(s for s in dump(c) if any(p["pid"] == sender.pid for p in s["processes"]))
        c.expect(stack["sockets"] == 1, f"{stack['sockets']} sockets are left, and not the first listener alone")
    os.close(keeper)


@case("workers-begun-before", moves=None)
def workers_begun_before(c):
    """As Node's cluster: workers that are begun before their master makes a stack are sent its connections."""
    port = free_port()
    up = random_file(c.path("up"), 2 * MB)
    c.server(PYTHON, os.path.join(DRIVERS, "cluster.py"), "serve", port, port=port)
    for _ in range(4):
        exchange(c, port, up, 2 * MB)


@case("handlers-leave-nothing", moves=None, columns=("kernel", "accel"))
def leave_nothing(c):
    """After many handlers, some of them killed, the server's stack is what it was."""
    port = free_port()
    count = 40 if c.quick else 150
    server = c.server("socat", f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork", "EXEC:cat,nofork", port=port)
    c.driver("handlers.py", port, server.pid, 5)
    held = server.descriptors()
    c.driver("handlers.py", port, server.pid, count)
    c.eventually(lambda: server.descriptors() <= held, lambda: f"{server.descriptors()} descriptors, before {held}")
    if c.column.server:
        c.eventually(lambda: len(dump(c, "sockets", server.pid)) == 1,
                     lambda: f"sockets are left: {dump(c, 'sockets', server.pid)[:3]}")
        stack = [s for s in dump(c) if any(p["pid"] == server.pid for p in s["processes"])]
        c.expect(len(stack) == 1 and len(stack[0]["processes"]) == 1, f"processes are left: {stack}")
