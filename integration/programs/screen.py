"""accelstat's screen on a terminal of its own, as a terminal emulator shows it."""
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

sys.path.append("/usr/lib/python3/dist-packages")  # where Debian has it, whichever python3 runs this
import pyte  # noqa: E402

from .accelstat import ACCELSTAT  # noqa: E402
from .harness import Failure, case, environment  # noqa: E402
from .redis import Redis  # noqa: E402

LEFT = b"\x1b[?25h\x1b[?1049l"  # the cursor, and the screen that was there before
UP, DOWN, ESCAPE, ENTER, INTERRUPT = "\x1b[A", "\x1b[B", "\x1b", "\r", "\x03"


class Terminal:
    """A pseudo-terminal with accelstat on it."""

    def __init__(self, columns, lines, *args):
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.said = b""
        self.status = None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(ACCELSTAT, [ACCELSTAT, "-i", "0.2", *map(str, args)],
                      {**environment(False), "TERM": "xterm-256color"})
        # Before the program asks, and again after it has asked: it is told of a change.
        self.resize(columns, lines)
        self.modes = termios.tcgetattr(self.fd)

    def resize(self, columns, lines):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen.resize(lines, columns)

    def look(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.fd], [], [], left)[0]:
                return
            try:
                more = os.read(self.fd, 65536)
            except OSError:
                return
            self.said += more
            self.stream.feed(more)

    def until(self, condition, why, seconds=8):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise Failure(f"{why}; the screen:\n{self.text()}")
            self.look(0.1)

    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    def row(self, index):
        return self.screen.display[index].rstrip()

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def ended(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def close(self):
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


def whole(c, t, head):
    """The title is in the first line, what keys there are in the last, each line within the screen."""
    t.until(lambda: head in t.row(0) and "q: quit" in t.text(), f"no page with '{head}'")
    c.expect(t.row(0).startswith("accelstat"), f"the first line is {t.row(0)!r}:\n{t.text()}")
    c.expect(t.text().count("q: quit") == 1 and t.text().count("accelstat  ") == 1,
             f"remains of another picture:\n{t.text()}")


def left(c, t, how):
    """It has ended, and the terminal is as it was."""
    t.until(t.ended, f"it does not end by {how}")
    t.look(0.3)
    c.expect(t.status == 0, f"by {how} it ends with {t.status}")
    c.expect(t.said.endswith(LEFT), f"by {how} it leaves {t.said[-40:]!r}")
    now = termios.tcgetattr(t.fd)
    c.expect(now == t.modes, f"by {how} it leaves other terminal modes: {now} were {t.modes}")


@case("accelstat-screen", moves=None, columns=("accel",))
def pages(c):
    """On small and large terminals: pages, sorting, filter, a socket, and the way out."""
    r = Redis(c)
    c.start("redis-benchmark", "-p", r.port, "-t", "get", "-c", "20", "-n", "100000000", "-q")
    c.eventually(lambda: int(r.info("connected_clients")) > 20, "the clients do not get through")
    for columns, lines in ((80, 24), (200, 50), (40, 10)):
        t = Terminal(columns, lines)
        try:
            whole(c, t, "stack")
            t.until(lambda t=t: "redis-server" in t.text(), "the server is not shown")
            first = t.row(0)
            t.type("s")
            t.until(lambda t=t, first=first: t.row(0) != first and "by " in t.row(0), "s does not sort")
            t.type("/redis-server" + ENTER)
            t.until(lambda t=t: "1 stack," in t.row(0), "the filter does not hold")
            t.type(ENTER)
            whole(c, t, "sockets")
            c.expect(str(r.port) in t.text(), f"no socket of the server's:\n{t.text()}")
            rows = t.text()
            t.type(DOWN + DOWN)
            t.type(ENTER)
            whole(c, t, "socket ")
            c.expect("peer" in t.text() and rows != t.text(), f"no page of a socket:\n{t.text()}")
            t.type(ESCAPE)
            whole(c, t, "sockets")
            t.type(ESCAPE)
            whole(c, t, "stacks, by" if "stacks, by" in first else "stack")
            t.type("q")
            left(c, t, "q")
        finally:
            t.close()


@case("accelstat-resized", moves=None, columns=("accel",))
def resized(c):
    """The terminal changes its size, on each page, and again and again."""
    r = Redis(c)
    c.expect(r.cli("PING") == "PONG", "the server does not answer")
    t = Terminal(80, 24)
    try:
        whole(c, t, "stack")
        for keys, head in (("", "stack"), ("/redis-server" + ENTER + ENTER, "sockets"), (ENTER, "socket ")):
            t.type(keys)
            whole(c, t, head)
            for columns, lines in ((200, 50), (40, 10), (132, 43), (20, 5), (80, 24)):
                t.resize(columns, lines)
                t.screen.erase_in_display(2)
                t.until(lambda t=t: t.row(0).startswith("accelstat") and "q: quit" in t.text(),
                        f"{columns}x{lines}: no picture")
                t.look(0.3)
                c.expect(t.row(0).startswith("accelstat"), f"{columns}x{lines}: the first line has gone:\n{t.text()}")
        t.type(INTERRUPT)
        left(c, t, "Ctrl-C")
    finally:
        t.close()


@case("accelstat-screen-ends", moves=None, columns=("accel",))
def ends(c):
    """By a signal the terminal is given back too; when it has gone, accelstat goes."""
    r = Redis(c)
    c.expect(r.cli("PING") == "PONG", "the server does not answer")
    for how in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        t = Terminal(80, 24)
        try:
            whole(c, t, "stack")
            os.kill(t.pid, how)
            left(c, t, how.name)
        finally:
            t.close()
    for hangup in (signal.SIG_DFL, signal.SIG_IGN):  # as under nohup: then only the end of its input tells it
        before = signal.signal(signal.SIGHUP, hangup)
        t = Terminal(80, 24)
        signal.signal(signal.SIGHUP, before)
        whole(c, t, "stack")
        os.close(t.fd)
        c.eventually(t.ended, "without its terminal it goes on")
