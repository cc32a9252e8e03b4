"""iperf3, both directions, one and several streams."""
import json

from .harness import case, free_port


def measure(c, *extra):
    port = free_port()
    c.server("iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", port, port=port)
    out = json.loads(c.client("iperf3", "-c", "127.0.0.1", "-p", port, "-t", "1", "-J", *extra))
    c.expect("error" not in out, f"iperf3: {out.get('error')}")
    sent, received = out["end"]["sum_sent"]["bytes"], out["end"]["sum_received"]["bytes"]
    c.expect(received > 50_000_000, f"only {received} bytes came")
    # What is in flight when the second is over is counted at one end only.
    c.expect(abs(sent - received) < max(sent, received) * 0.3, f"{sent} bytes were sent, {received} came")


@case("iperf3", moves=50_000_000)
def forward(c):
    measure(c)


@case("iperf3-reverse", moves=50_000_000)
def reverse(c):
    measure(c, "-R")


@case("iperf3-4-streams", moves=50_000_000, columns=("kernel", "accel"))
def streams(c):
    measure(c, "-P", "4")
