"""Datagrams across a wire."""
import os
import re

from cases import HERE, PYTHON, case, check_path
from world import Failure

UDP = os.path.join(HERE, "udp.py")
PORT = "5353"


def serve(w, how, *addresses):
    server = w.a.start([PYTHON, UDP, "serve", how, PORT, *addresses])
    server.wait_for("ready")
    return server


def ask(host, what, address, accelerated=None):
    text = host.run([PYTHON, UDP, what, address, PORT], accelerated)
    if "good" not in text:
        raise Failure(text[-300:])


@case("udp: datagrams of 0 to 9000 bytes come back")
def udp_sizes(w, column):
    serve(w, "block")
    ask(w.b, "sizes", w.a.ip4)
    ask(w.b, "sizes", w.a.ip6)


@case("udp: 10,000 datagrams both ways, connected and not")
def udp_flood(w, column):
    serve(w, "poll")
    ask(w.b, "flood", w.a.ip4)
    ask(w.b, "flood", w.a.ip6)


@case("udp: a thread waits for answers before another sends the first question")
def udp_waiting(w, column):
    serve(w, "block")
    ask(w.b, "waiting", w.a.ip4)
    ask(w.b, "waiting", w.a.ip6)


@case("udp: a thread begins to wait while another sends the first question")
def udp_racing(w, column):
    serve(w, "block")
    for _ in range(2):
        ask(w.b, "racing", w.a.ip4)
    ask(w.b, "racing", w.a.ip6)


@case("udp: 10,000 datagrams to an edge-triggered set")
def udp_edge(w, column):
    serve(w, "edge")
    ask(w.b, "flood", w.a.ip4)
    ask(w.b, "flood", w.a.ip6)


@case("udp: recvmmsg and sendmmsg")
def udp_many(w, column):
    for address in (w.a.ip4, w.a.ip6):
        serve(w, "many", address)
        ask(w.b, "many", address)


@case("udp: packet info, TTL, TOS, truncation")
def udp_info(w, column):
    for any_address, address in (("0.0.0.0", w.a.ip4), ("::", w.a.ip6)):
        server = serve(w, "info", any_address)
        ask(w.b, "info", address)
        check_path(w, column)
        server.kill()


@case("udp: peek, FIONREAD, timeouts, copies, dissolving, shutdown, edges")
def udp_calls(w, column):
    serve(w, "block")
    ask(w.b, "calls", w.a.ip4)
    ask(w.b, "calls", w.a.ip6)


@case("udp: nobody there", columns=("kernel", "client"))
def udp_refused(w, column):
    ask(w.b, "refused", w.a.ip4)
    ask(w.b, "refused", w.a.ip6)


@case("udp: two sockets on one port, told apart by address")
def udp_tags(w, column):
    w.a.sh("ip", "addr", "add", "10.77.0.101/24", "dev", w.a.interface)
    w.a.sh("ip", "addr", "add", "fd77::101/64", "dev", w.a.interface, "nodad")
    serve(w, "tags", w.a.ip4, "10.77.0.101", w.a.ip6, "fd77::101")
    ask(w.b, "tags", f"{w.a.ip4},10.77.0.101,{w.a.ip6},fd77::101")


@case("udp: a parent and its child answer on one socket")
def udp_fork(w, column):
    for address in (w.a.ip4, w.a.ip6):
        serve(w, "fork", address)
        ask(w.b, "flood", address)


@case("udp: over loopback and over the wire at once", columns=("kernel", "server"))
def udp_mixed(w, column):
    serve(w, "block")
    ask(w.a, "mixed", f"127.0.0.1,::1,{w.a.ip4},{w.a.ip6}", accelerated=False)
    ask(w.b, "flood", w.a.ip4)
    ask(w.b, "flood", w.a.ip6)
    ask(w.a, "mixed", f"127.0.0.1,::1,{w.a.ip4}", accelerated=False)


@case("udp: iperf3")
def udp_iperf3(w, column):
    w.a.start(["iperf3", "-s"])
    w.a.wait_listening(5201)
    for more in ([], ["-R"], ["-6"]):
        target = w.a.ip6 if "-6" in more else w.a.ip4
        text = w.b.run(["iperf3", "-c", target, "-u", "-b", "50M", "-t", "1", *more])
        lost = re.findall(r"\(([\d.e+-]+)%\)\s+receiver", text)
        # What a busy machine loses is not ours: other cases count every datagram.
        if not lost or float(lost[0]) > 25:
            raise Failure(f"iperf3 -u {more}: {text[-300:]}")


@case("udp: sockperf ping-pong")
def udp_sockperf(w, column):
    w.a.start(["sockperf", "server", "-i", w.a.ip4, "-p", "11111"])
    w.a.wait_bound(11111)
    text = w.b.run(["sockperf", "ping-pong", "-i", w.a.ip4, "-p", "11111", "-t", "1", "-m", "64"])
    counts = re.findall(r"# (?:dropped|duplicated|out-of-order) messages = (\d+)", text)
    if counts != ["0", "0", "0"]:
        raise Failure(text[-400:])
