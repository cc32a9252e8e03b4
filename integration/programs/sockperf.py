"""sockperf over TCP: ping-pong and under load; it counts what is lost, doubled or out of order."""
import re

from .harness import case, free_port


def measure(c, mode, *extra):
    port = free_port()
    c.server("sockperf", "server", "--tcp", "-i", "127.0.0.1", "-p", port, port=port)
    out = c.client("sockperf", mode, "--tcp", "-i", "127.0.0.1", "-p", port, "-t", "1", *extra)
    counts = r"# dropped messages = (\d+); # duplicated messages = (\d+); # out-of-order messages = (\d+)"
    found = re.search(counts, out)
    c.expect(found, f"sockperf said: {out[-300:]}")
    c.expect(found.groups() == ("0", "0", "0"), f"sockperf: {found.group(0)}")
    messages = int(re.search(r"\[Valid Duration\].*ReceivedMessages=(\d+)", out).group(1))
    c.expect(messages > 1000, f"only {messages} messages came back")


@case("sockperf-ping-pong", moves=200_000)
def ping_pong(c):
    measure(c, "ping-pong", "--mps", "200000")  # unbounded, sockperf itself gives up above 600,000 a second


@case("sockperf-under-load", moves=200_000, columns=("kernel", "accel"))
def under_load(c):
    measure(c, "under-load", "--mps", "5000", "--reply-every", "2")


@case("sockperf-large", moves=2_000_000, columns=("kernel", "accel"))
def large(c):
    measure(c, "ping-pong", "--mps", "50000", "-m", "14000")
