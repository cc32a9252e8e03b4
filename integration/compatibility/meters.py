"""Programs that measure networks, and one that stresses them."""
import json
import re

from drive import program


@program("iperf3", "iperf3", driven="TCP both ways, bidirectional, 1 to 8 streams, sizes, windows, MSS, no delay, "
         "zero copy, bit rate, byte count, both families, UDP both ways")
def iperf3(d):
    port = d.port()
    d.server("iperf3", "-s", "-p", port, port=port)

    def measure(*more, address=None, seconds=1):
        text = d.client("iperf3", "-c", address or d.ip4, "-p", port, "-J", "-t", seconds, *more)
        result = json.loads(text)
        d.expect("error" not in result, result.get("error"))
        return result["end"]

    for name, more in (("there", ()), ("back", ("-R",)), ("4 streams", ("-P", 4)), ("8 streams back", ("-P", 8, "-R")),
                       ("-l 1000", ("-l", 1000)), ("-l 1M", ("-l", "1M")), ("window 64K", ("-w", "64K")),
                       ("MSS 700", ("-M", 700)), ("no delay", ("-N",)), ("zero copy", ("-Z",)),
                       ("zero copy back", ("-Z", "-R")), ("20 Mbit/s", ("-b", "20M")), ("omit", ("-O", 1)),
                       ("tos", ("-S", 16)), ("congestion control named", ("-C", "reno"))):
        with d.check(f"TCP: {name}"):
            end = measure(*more)
            bytes_ = end["sum_received"]["bytes"]
            d.expect(bytes_ > 1_000_000, f"{bytes_} bytes")
    with d.check("TCP: both ways at once"):
        end = measure("--bidir")
        for way in ("sum_received", "sum_received_bidir_reverse"):
            d.expect(end[way]["bytes"] > 100_000, f"{way} stands")
    with d.check("TCP: 50 MB and then the end"):
        text = d.client("iperf3", "-c", d.ip4, "-p", port, "-J", "-n", "50M")
        d.expect(json.loads(text)["end"]["sum_received"]["bytes"] > 40_000_000, "less")
    with d.check("TCP: IPv6"):
        d.expect(measure("-6", address=d.ip6)["sum_received"]["bytes"] > 1_000_000, "less")
    for name, more in (("there", ()), ("back", ("-R",)), ("3 streams", ("-P", 3)), ("small", ("-l", 64)),
                       ("64-bit counters", ("--udp-counters-64bit",))):
        with d.check(f"UDP: {name}"):
            end = measure("-u", "-b", "10M", *more)["sum"]
            d.expect(end["packets"] > 10 and end["lost_percent"] < 20, f"{end['packets']} packets, "
                     f"{end['lost_percent']} % lost")
    with d.check("UDP: IPv6"):
        d.expect(measure("-6", "-u", "-b", "10M", address=d.ip6)["sum"]["packets"] > 10, "less")
    with d.check("a client that is killed, and then another"):
        one = d.start("iperf3", "-c", d.ip4, "-p", port, "-t", 20)
        one.process.poll()
        d.eventually(lambda: "sec" in one.text() or one.process.poll() is not None or True, "")
        one.kill(9)
        d.eventually(lambda: json.loads(d.client("iperf3", "-c", d.ip4, "-p", port, "-J", "-t", 1, status=None)
                                        ).get("end", {}).get("sum_received"), "the server does not recover")
    with d.check("one-off server ends by itself"):
        once = d.port()
        server = d.server("iperf3", "-s", "-1", "-p", once, port=once)
        d.client("iperf3", "-c", d.ip4, "-p", once, "-t", 1)
        d.expect(server.process.wait(10) == 0, "another status")


@program("nuttcp", "nuttcp", driven="TCP and UDP, transmit and receive, streams, sizes, windows, rate")
def nuttcp(d):
    control = d.port()
    d.server("nuttcp", "-S", "--nofork", "-P", control, port=control)
    data = 5101

    def measure(*more):
        text = d.client("nuttcp", "-P", control, "-p", data, "-T", 1, *more, d.ip4)
        found = re.search(r"([\d.]+) MB", text)
        d.expect(found and float(found.group(1)) > 0.5, text[-300:])

    for name, more in (("there", ()), ("back", ("-r",)), ("4 streams", ("-N", 4)), ("window", ("-w", "128")),
                       ("small writes", ("-l", 1000)), ("no delay", ("-D",)), ("rate", ("-R", "50M")),
                       ("UDP", ("-u", "-R", "20M", "-l", 1000)), ("UDP back", ("-u", "-r", "-R", "20M", "-l", 1000))):
        with d.check(name):
            measure(*more)


@program("sockperf", "sockperf",
         driven="TCP and UDP ping-pong, under load and throughput; recvfrom, recvmmsg, select, poll, "
         "epoll; no delay, several sockets in a file")
def sockperf(d):
    for kind in ("tcp", "udp"):
        port = d.port()
        tcp = ["--tcp"] if kind == "tcp" else []
        listening = {"port": port} if kind == "tcp" else {"udp": port}
        server = d.server("sockperf", "server", "-i", "0.0.0.0", "-p", port, *tcp, **listening)
        for mode, more in (("ping-pong", ("-m", 64)), ("ping-pong", ("-m", 1400)), ("under-load", ("--mps", 2000)),
                           ("throughput", ("--mps", 5000, "-m", 256))):
            with d.check(f"{kind}: {mode} {' '.join(map(str, more))}"):
                text = d.said("sockperf", mode, "-i", d.ip4, "-p", port, "-t", 1, *more, *tcp)
                d.expect(re.search(r"Valid Duration|Total of", text) and "ERROR" not in text, text[-300:])
        server.kill()
        for handler in ("recvfrom", "select", "poll", "epoll") + (("recvmmsg",) if kind == "udp" else ()):
            with d.check(f"{kind}: {handler}, 3 sockets"):
                ports = [d.port() for _ in range(1 if handler.startswith("recv") else 3)]
                letter = "T" if kind == "tcp" else "U"
                there = d.write(f"{kind}-{handler}", "".join(f"{letter}:{d.ip4}:{p}\n" for p in ports))
                how = ["-f", there, "-F", handler[0] if not handler.startswith("recv") else "r"]
                if len(ports) == 1:
                    how = ["-i", d.ip4, "-p", ports[0], *tcp]
                how += ["--recv_looping_num", 1] if handler == "recvmmsg" else []
                listening = {"port": ports[-1]} if kind == "tcp" else {"udp": ports[-1]}
                server = d.server("sockperf", "server", *how, **listening)
                text = d.said("sockperf", "ping-pong", *how, "-t", 1)
                d.expect("Summary: Latency" in text and "ERROR" not in text, text[-300:])
                server.kill()


@program("stress-ng", "stress-ng", wire=False,
         driven="its network stressors, bounded and verified: sock, udp, udp-flood, epoll, "
         "sockmany, sockfd, sockabuse, sockdiag, sendfile, poll, splice and others; both ends in one tree of processes")
def stress_ng(d):
    stressors = [("sock", ()), ("sock", ("--sock-domain", "ipv6")),
                 ("sock", ("--sock-type", "stream", "--sock-opts", "sendmsg")),
                 ("sock", ("--sock-opts", "sendmmsg")), ("sock", ("--sock-nodelay",)), ("sock", ("--sock-zerocopy",)),
                 ("sock", ("--sock-protocol", "tcp")), ("udp", ()), ("udp", ("--udp-domain", "ipv6")),
                 ("udp", ("--udp-gro",)), ("udp-flood", ()), ("epoll", ()), ("epoll", ("--epoll-domain", "ipv6")),
                 ("sockmany", ()), ("sockfd", ()), ("sockpair", ()), ("sockabuse", ()), ("sockdiag", ()),
                 ("sendfile", ()), ("poll", ()), ("splice", ()), ("netdev", ()), ("ping-sock", ()), ("rawsock", ())]
    for name, more in stressors:
        with d.check(" ".join((name, *more))):
            said = d.said("stress-ng", f"--{name}", 1, *more, "--timeout", "1s", "--verify", "--temp-path",
                          d.world.folder, "--no-rand-seed", seconds=30)
            # What a stressor's children find wrong is not in its status.
            wrong = [line for line in said.splitlines() if "fail:" in line]
            d.expect(not wrong, f"{len(wrong)} times wrong: {wrong[:1]}")
