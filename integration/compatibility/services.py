"""Small services: messages and names."""
import os
import subprocess
import time

from drive import PYTHON, program


@program("mosquitto", "mosquitto", "mosquitto-clients", driven="publish and subscribe in QoS 0, 1, 2, retained, wills, "
         "TLS, wildcards, 1 MB payload, 20 subscribers, persistent sessions")
def mosquitto(d):
    port, tls = d.port(), d.port()
    key, chain, _ = d.certificate()
    config = d.write("mosquitto.conf", f"""user root
allow_anonymous true
listener {port}
listener {tls}
certfile {chain}
keyfile {key}
""")
    server = d.server("mosquitto", "-c", config, port=port)

    def subscribe(topic, count, *more, where=None):
        one = d.start("mosquitto_sub", "-h", where or d.ip4, "-p", port, "-t", topic, "-C", count, "-W", 20, *more)
        time.sleep(1.2)
        return one

    def publish(topic, *more, where=None, **kept):
        d.client("mosquitto_pub", "-h", where or d.ip4, "-p", port, "-t", topic, *more, **kept)

    lines = d.write("lines", "".join(f"line {i}\n" for i in range(500)))
    with open(lines, encoding="ascii") as f:
        wanted = f.read()
    for qos in (0, 1, 2):
        with d.check(f"QoS {qos}: 500 messages in order"):
            one = subscribe(f"t/{qos}", 500, "-q", qos)
            publish(f"t/{qos}", "-q", qos, "-l", stdin=lines)
            d.expect(one.wait(20) == wanted, "other messages")
    with d.check("over IPv6"):
        one = subscribe("six", 1, where=d.ip6)
        publish("six", "-m", "x", where=d.ip6)
        d.expect(one.wait(10) == "x\n", "another message")
    with d.check("20 subscribers"):
        several = [d.start("mosquitto_sub", "-h", d.ip4, "-p", port, "-t", "many/+", "-C", 100, "-W", 20)
                   for _ in range(20)]
        time.sleep(1.5)
        publish("many/a", "-l", stdin=d.write("hundred", "x\n" * 100))
        for one in several:
            d.expect(one.wait(20) == "x\n" * 100, "other messages")
    with d.check("a retained message"):
        publish("kept", "-r", "-m", "this")
        d.expect(subscribe("kept", 1).wait(10) == "this\n", "another message")
    with d.check("1 MB"):
        d.random_file("payload", 1 << 20)
        one = subscribe("large", 1, "-N")
        publish("large", "-f", d.path("payload"))
        one.wait(20)
        os.replace(one.out, d.path("payload-back"))
        d.same("payload-back", "payload")
    with d.check("a will when its client is killed"):
        watcher = subscribe("will", 1)
        victim = d.start("mosquitto_sub", "-h", d.ip4, "-p", port, "-t", "x", "--will-topic", "will",
                         "--will-payload", "gone")
        time.sleep(0.5)
        victim.kill(9)
        d.expect(watcher.wait(15) == "gone\n", "another message")
    with d.check("a session that is kept while its client is away"):
        d.client("mosquitto_sub", "-h", d.ip4, "-p", port, "-t", "away", "-q", 1, "-c", "-i", "me", "-E")
        publish("away", "-q", 1, "-m", "later")
        one = d.start("mosquitto_sub", "-h", d.ip4, "-p", port, "-t", "away", "-q", 1, "-c", "-i", "me", "-C", 1,
                      "-W", 10)
        d.expect(one.wait(15) == "later\n", "another message")
    with d.check("TLS"):
        one = d.start("mosquitto_sub", "-h", "localhost" if not d.column.wire else d.ip4, "-p", tls, "--cafile", chain,
                      "--insecure", "-t", "secret", "-C", 100, "-W", 20)
        time.sleep(0.6)
        d.client("mosquitto_pub", "-h", d.ip4, "-p", tls, "--cafile", chain, "--insecure", "-t", "secret", "-l",
                 stdin=d.path("hundred"))
        d.expect(one.wait(20) == "x\n" * 100, "other messages")
    with d.check("keep-alive pings over 4 s"):
        one = d.start("mosquitto_sub", "-h", d.ip4, "-p", port, "-k", 5, "-t", "quiet", "-C", 1, "-W", 20)
        time.sleep(7)
        publish("quiet", "-m", "still")
        d.expect(one.wait(10) == "still\n", "another message")
    with d.check("TERM ends it"):
        server.kill()
        d.expect(server.process.returncode in (0, -15), f"status {server.process.returncode}")


@program("dnsmasq", "dnsmasq-base", "bind9-dnsutils",
         driven="UDP and TCP queries by dig, large answers, truncation, EDNS, both "
         "families, forwarding to another dnsmasq, 500 queries in a row; getaddrinfo as a client")
def dnsmasq(d):
    port, other = d.port(), d.port()
    names = "\n".join(f"10.1.{i // 250}.{i % 250} host{i}.test" for i in range(1000))
    hosts = d.write("hosts", names + "\n")
    texts = "\n".join(f"txt-record=large.test,{'x' * 200}{i}" for i in range(40))
    config = d.write("dnsmasq.conf", f"""no-resolv
no-hosts
no-daemon
user=root
pid-file={d.path("dnsmasq.pid")}
addn-hosts={hosts}
cache-size=1000
edns-packet-max=4096
{texts}
""")
    d.server("dnsmasq", "-C", config, "-p", port, port=port, udp=port)
    d.server("dnsmasq", "-C", d.write("front.conf", f"""no-resolv
no-hosts
no-daemon
user=root
pid-file={d.path("front.pid")}
server=127.0.0.1#{port}
"""), "-p", other, port=other, udp=other)

    def dig(*query, where=None, at=port):
        return d.client("dig", "+time=3", "+tries=2", f"@{where or d.ip4}", "-p", at, *query)

    for how in ("+notcp", "+tcp"):
        for where in (d.ip4, d.ip6):
            with d.check(f"{how[1:]} to {'IPv6' if ':' in where else 'IPv4'}"):
                d.expect(dig("+short", how, "host17.test", where=where).strip() == "10.1.0.17", "another answer")
        with d.check(f"{how[1:]}, forwarded"):
            d.expect(dig("+short", how, "host18.test", at=other).strip() == "10.1.0.18", "another answer")
    with d.check("a large answer is cut and asked for again by TCP"):
        out = dig("+noedns", "large.test", "TXT")
        d.expect(out.count("xxxx\\") + out.count("IN\tTXT") >= 40 and "(TCP)" in out or "Truncated" in out, out[-300:])
    with d.check("a large answer by EDNS of 4096"):
        out = dig("+bufsize=4096", "+ignore", "large.test", "TXT")
        d.expect("status: NOERROR" in out, out[-300:])
    with d.check("a name that is not there"):
        d.expect("NXDOMAIN" in dig("none.invalid.test") or "REFUSED" in dig("none.invalid.test"), "another status")
    with d.check("500 queries in a row, UDP"):
        batch = d.write("batch", "".join(f"host{i}.test A\n" for i in range(500)))
        out = dig("+short", "-f", batch)
        d.expect(out.split() == [f"10.1.{i // 250}.{i % 250}" for i in range(500)], f"{len(out.split())} answers")
    with d.check("300 queries over one TCP connection"):
        batch = d.write("batch-tcp", "".join(f"host{i}.test A +short +tcp +keepopen\n" for i in range(90)))
        out = dig("+tcp", "+keepopen", "+short", "-f", batch)
        d.expect(out.split() == [f"10.1.{i // 250}.{i % 250}" for i in range(90)], f"{len(out.split())} answers")
    with d.check("10 digs at once, forwarded"):
        several = [d.start("dig", "+short", f"@{d.ip4}", "-p", other, "-f", batch) for _ in range(10)]
        for one in several:
            d.expect(len(one.wait(30).split()) == 90, "answers are missing")
    with d.check("nobody there: no servers could be reached"):
        d.client("dig", "+time=1", "+tries=1", f"@{d.ip4}", "-p", 9, "x.test", status=9)
