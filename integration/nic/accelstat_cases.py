"""What accelstat and acceld's metrics say of connections over an interface, beside the client and the veth pair."""
import json
import os
import subprocess

from cases import PYTHON, case, redis, until
from world import ROOT, Failure, sh

ACCELSTAT = os.path.join(ROOT, "artifacts/bin/Accel.Stat/release/accelstat")
PARSE = """
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
print(json.dumps([[s.name, s.labels, s.value]
    for f in text_string_to_metric_families(sys.stdin.read()) for s in f.samples]))
"""


def stack(server):
    return json.loads(sh(ACCELSTAT, str(server.pid), "--once", "--json"))["stacks"][0]


def device(host, name):
    return int(host.sh("cat", f"/sys/class/net/{host.interface}/statistics/{name}"))


def frames(host):
    """What acceld's program did with the frames that it saw."""
    status = json.loads(host.sh(host.daemon.argv[0], "status", "--json"))
    return status["interfaces"][0]["frames"]


def figures(w, server):
    """All counters at one time: the kernels of both ends may ask for a neighbour between two readings."""
    for _ in range(20):
        veth = device(w.a, "rx_packets"), device(w.a, "tx_packets")
        shown, seen = stack(server), frames(w.a)
        if veth == (device(w.a, "rx_packets"), device(w.a, "tx_packets")):
            return {"veth in": veth[0], "veth out": veth[1], **shown["totals"], **shown["counters"], **seen}
    raise Failure("the interface is never quiet")


def load(w, requests):
    w.b.run(["redis-benchmark", "-h", w.a.ip4, "-t", "get", "-c", "20", "-n", str(requests), "-q"])


@case("accelstat: agrees with the client's count and the veth's, to the packet", columns=("server",))
def agrees(w, column):
    server = redis(w)
    load(w, 100)
    before, requests = figures(w, server), 20_000
    load(w, requests)
    until(lambda: stack(server)["totals"]["nic"] == 0, "connections of an ended client stay")
    after = figures(w, server)
    moved = {name: after[name] - before[name] for name in after}
    if not requests < moved["calls_in"] <= requests + 3 or moved["accepts"] != 21:
        raise Failure(f"{requests} requests over 21 connections are shown as {moved}")
    if moved["steered"] != moved["rx_frames"]:
        raise Failure(f"{moved['steered']} frames were steered to the stack, it took {moved['rx_frames']}")
    others = sum(moved[n] for n in ("not_ip", "other_mac", "not_ours", "fragment", "other_protocol", "kernel_port",
                                    "kernel_connection", "no_socket", "syn_dropped", "syn_answered", "syn_unfit"))
    if moved["veth in"] != moved["rx_frames"] + others:
        raise Failure(f"the interface received {moved['veth in']}, the stack {moved['rx_frames']}, others {others}")
    if moved["segments_in"] > moved["rx_frames"] or moved["drops"] != 0:
        raise Failure(f"segments of frames: {moved}")
    # What the kernel itself sends meanwhile are answers to ARP and neighbour discovery.
    sent = moved["tx_frames"] + moved["tx_super_frames"]
    if not sent <= moved["veth out"] <= sent + 10:
        raise Failure(f"the interface sent {moved['veth out']}, the stack {sent}")


@case("metrics: Prometheus' parser reads what accelstat and acceld say", columns=("kernel",))
def metrics(w, column):
    path = os.path.join(w.folder, "metrics")
    w.a.accelerate("--metrics", f"unix:{path}")
    server = redis(w, accelerated=True)
    load(w, 5_000)
    until(lambda: stack(server)["totals"]["nic"] == 0, "connections of an ended client stay")
    text = sh("curl", "-s", "--max-time", "10", "-H", "Accept: application/openmetrics-text", "--unix-socket", path, "http://acceld/metrics")
    parsed = subprocess.run([PYTHON, "-c", PARSE], input=text, capture_output=True, text=True, timeout=20, check=False)
    if parsed.returncode != 0:
        raise Failure(f"the parser says: {parsed.stderr[-300:]}")
    found = {}
    for name, labels, value in json.loads(parsed.stdout):
        if labels.get("process_executable_name", "redis-server") == "redis-server":
            key = (name, labels.get("network_io_direction") or labels.get("accel_disposition") or "")
            found[key] = found.get(key, 0) + value
    shown = stack(server)
    for key, value in ((("accel_stack_rx_frames_total", ""), shown["counters"]["rx_frames"]),
                       (("accel_stack_nic_accepts_total", ""), 21),
                       (("accel_network_io_bytes_total", "receive"), shown["totals"]["bytes_in"]),
                       (("accel_network_packets_total", "transmit"), shown["totals"]["segments_out"]),
                       (("accel_interface_frames_total", "steered"), frames(w.a)["steered"])):
        if found.get(key) != value:
            raise Failure(f"{key} is {found.get(key)}, and should be {value}")
    if not 5_000 < found[("accel_stack_send_calls_total", "")] <= 5_003:
        raise Failure(f"5,000 requests, {found[('accel_stack_send_calls_total', '')]} answers")
