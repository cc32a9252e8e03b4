"""Databases and caches."""
import glob
import os
import pwd
import re
import shutil
import signal
import subprocess
import time

import sources
from drive import DRIVERS, PYTHON, found, program


@program("redis", "redis-server", "redis-tools",
         driven="redis-benchmark with all its tests, pipelines, 200 clients, TLS-less "
         "cluster of 3, replica, sentinel, pub/sub, MONITOR, scripts, persistence, client kill, --pipe, IPv6")
def redis(d):
    port = d.port()
    common = ["--save", "", "--protected-mode", "no", "--bind", "*", "-::*", "--dir", d.world.folder]
    d.server("redis-server", "--port", port, *common, "--enable-debug-command", "yes", port=port)

    def cli(*command, at=port, **kept):
        return d.client("redis-cli", "-h", d.ip4, "-p", at, *command, **kept).strip()

    def benchmark(*more, at=port):
        text = d.client("redis-benchmark", "-h", d.ip4, "-p", at, "-q", *more)
        d.expect("requests per second" in text and "rror" not in text, text[-300:])

    with d.check("all tests of redis-benchmark"):
        benchmark("-n", 2000, "-c", 20)
    for more in (("-P", 32, "-c", 50, "-n", 20000), ("-c", 200, "-n", 10000), ("-d", 100_000, "-n", 1000),
                 ("-k", 0, "-n", 1000), ("--threads", 2, "-n", 10000)):
        with d.check(f"redis-benchmark {' '.join(map(str, more))}"):
            benchmark("-t", "get,set", *more)
    with d.check("--pipe: 50,000 commands"):
        commands = d.write("commands", "".join(f"SET key{i} {i}\r\n" for i in range(50_000)))
        d.expect("errors: 0, replies: 50000" in cli("--pipe", stdin=commands), "errors")
        d.expect(cli("GET", "key49999") == "49999", "another value")
    with d.check("IPv6"):
        d.expect(d.client("redis-cli", "-h", d.ip6, "-p", port, "PING") == "PONG\n", "no PONG")
    with d.check("a script"):
        d.expect(cli("EVAL", "return redis.call('get', KEYS[1])", "1", "key5") == "5", "another value")
    with d.check("publish and subscribe"):
        one = d.start("redis-cli", "-h", d.ip4, "-p", port, "SUBSCRIBE", "c")
        d.eventually(lambda: cli("PUBLISH", "c", "hello") == "1", "no subscriber")
        d.eventually(lambda: "hello" in one.text(), "no message")
        one.kill()
    with d.check("MONITOR"):
        one = d.start("redis-cli", "-h", d.ip4, "-p", port, "MONITOR")
        d.eventually(lambda: "OK" in one.text(), "no monitor")
        cli("GET", "key1")
        d.eventually(lambda: '"GET" "key1"' in one.text(), "not shown")
        one.kill()
    with d.check("CLIENT KILL ends a blocked client"):
        one = d.start("redis-cli", "-h", d.ip4, "-p", port, "BLPOP", "none", 0)
        d.eventually(lambda: "cmd=blpop" in cli("CLIENT", "LIST"), "not blocked")
        d.expect(int(cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")) >= 1, "none killed")
        d.eventually(lambda: one.process.poll() is not None or "rror" in one.errors() + one.text(), "it still waits")
        one.kill()
    with d.check("BLPOP with a time-out, and with a value that comes"):
        cli("BLPOP", "none", "0.3")
        one = d.start("redis-cli", "-h", d.ip4, "-p", port, "BLPOP", "list", 10)
        d.eventually(lambda: "cmd=blpop" in cli("CLIENT", "LIST"), "not blocked")
        cli("LPUSH", "list", "value")
        d.expect("value" in one.wait(10), "no value")
    replica = d.port()
    with d.check("a replica: full copy, then every change"):
        d.server("redis-server", "--port", replica, *common, "--replicaof", "127.0.0.1", port,
                 "--enable-debug-command", "yes", port=replica)
        d.eventually(lambda: "master_link_status:up" in cli("INFO", "replication", at=replica), "no link", 20)
        benchmark("-t", "set", "-r", 1000, "-n", 10000)
        d.eventually(lambda: cli("DEBUG", "DIGEST") == cli("DEBUG", "DIGEST", at=replica), "another content")
    with d.check("failover of the two"):
        cli("FAILOVER")
        d.eventually(lambda: "role:master" in cli("INFO", "replication", at=replica), "no failover", 20)
        cli("FAILOVER", at=replica)
        d.eventually(lambda: "role:master" in cli("INFO", "replication"), "no failover back", 20)
    with d.check("BGSAVE, BGREWRITEAOF under load"):
        load = d.start("redis-benchmark", "-h", d.ip4, "-p", port, "-t", "set", "-n", 100_000_000, "-q")
        cli("CONFIG", "SET", "appendonly", "yes")
        d.eventually(lambda: "aof_rewrite_in_progress:0" in cli("INFO", "persistence"), "no end", 20)
        cli("BGSAVE")
        d.eventually(lambda: "rdb_bgsave_in_progress:0" in cli("INFO", "persistence"), "no end", 20)
        d.expect("rdb_last_bgsave_status:ok" in cli("INFO", "persistence"), "failed")
        d.expect(load.process.poll() is None, f"the load ended: {load.errors()}")
        load.kill()
    with d.check("io-threads"):
        threaded = d.port()
        d.server("redis-server", "--port", threaded, *common, "--io-threads", 3, "--io-threads-do-reads", "yes",
                 port=threaded)
        benchmark("-t", "get,set", "-n", 20000, "-c", 50, "-P", 8, at=threaded)
    with d.check("a cluster of three"):
        nodes = [d.port() for _ in range(3)]
        for node in nodes:
            os.makedirs(d.path(f"node-{node}"))
            d.server("redis-server", "--port", node, *common[:-1], d.path(f"node-{node}"), "--cluster-enabled",
                     "yes", "--cluster-config-file", f"nodes-{node}", port=node)
        d.client("redis-cli", "--cluster", "create", *[f"{d.ip4}:{n}" for n in nodes], "--cluster-yes")
        # Each of them has to know: one hears of it a moment after the others.
        d.eventually(lambda: all("cluster_state:ok" in cli("CLUSTER", "INFO", at=n) for n in nodes), "no cluster", 20)
        for i in range(20):
            d.expect(cli("-c", "SET", f"k{i}", i, at=nodes[i % 3]).endswith("OK"), "not set")
        d.expect(cli("-c", "GET", "k7", at=nodes[0]).endswith("7"), "another value")
    with d.check("SHUTDOWN"):
        cli("SHUTDOWN", "NOSAVE", at=threaded, status=None)
        d.eventually(lambda: str(threaded) not in d.at.sh("ss", "-Hltn"), "it stays")


# Everything that is about connections; what only computes is left out.
REDIS_SUITE = ("unit/auth unit/protocol unit/quit unit/multi unit/pubsub unit/pubsubshard unit/obuf-limits "
               "unit/networking unit/querybuf unit/introspection unit/shutdown unit/pause unit/client-eviction "
               "unit/tracking unit/wait "
               "unit/limits unit/other unit/type/list integration/block-repl integration/replication-2 "
               "integration/replication-3 integration/psync2-reg integration/redis-cli integration/redis-benchmark "
               "integration/failover integration/logging").split()


@program("redis, its own suite", "redis-server", "redis-tools", "tcl", wire=False, seconds=460,
         driven=f"{len(REDIS_SUITE)} files of the Tcl tests in Debian's source package: the Debian binaries, and the "
         "tests themselves as clients")
def redis_suite(d):
    source = d.path("redis")
    shutil.copytree(sources.unpacked("redis"), source)
    for name in ("server", "cli", "benchmark", "sentinel", "check-aof", "check-rdb"):
        # The sentinel is the server by another name; it has a package of its own.
        os.symlink(found(f"redis-{name}") or found("redis-server"), f"{source}/src/redis-{name}")
    chosen = " ".join(f"--single {name}" for name in REDIS_SUITE)
    run = d.start("sh", "-c", f"cd {source} && exec ./runtest --clients 2 --baseport 21000 --portcount 4000 {chosen}")
    run.process.wait(450)
    for line in re.sub(r"\x1b\[[\d;]*m", "", run.text()).splitlines():
        passed, wrong = re.match(r"\[ok\]: (.*?)( \(\d+ ms\))?$", line), re.match(r"\[(err|exception)\]: (.*)", line)
        if passed:
            d.results.append((passed.group(1), None))
        elif wrong:
            d.results.append((wrong.group(2), line))
    d.expect("The End" in run.text(), run.text()[-300:])


@program("memcached", "memcached",
         driven="text and binary protocol, UDP, multiget, 1 MB values, 4 threads, many connections, "
         "idle time-out; a driver that checks every value")
def memcached(d):
    port = d.port()
    udp = d.port()
    d.server("memcached", "-u", "root", "-p", port, "-U", udp, "-t", 4, "-I", "4m", "-l", f"{d.at.ip4},127.0.0.1,::",
             port=port)
    for what in ("sizes", "multiget", "counters", "binary", "connections", "pipeline", "threads", "udp", "stats"):
        with d.check(what):
            out = d.client(PYTHON, os.path.join(DRIVERS, "memcached.py"), d.ip4, port, udp, what)
            d.expect(out.strip() == "good", out[-300:])


POSTGRES = "/usr/lib/postgresql"


def as_postgres(*argv):
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *argv]


@program("PostgreSQL", "postgresql", "postgresql-common", version="psql --version",
         driven="initdb, pgbench over TCP (simple, extended, prepared, a connection each), TLS, "
         "COPY both ways, LISTEN, cancel, 50 connections, replication, fast stop")
def postgresql(d):
    port = d.port()
    binaries = sorted(glob.glob(f"{POSTGRES}/*/bin"))[-1]
    key, chain, _ = d.certificate()
    data = d.path("pg")
    os.makedirs(data)
    shutil.chown(data, "postgres", "postgres")
    os.chmod(data, 0o700)
    subprocess.run(as_postgres(f"{binaries}/initdb", "-D", data, "-A", "trust", "--no-sync", "-U", "me"), check=True,
                   capture_output=True)
    for name in (key, chain):
        shutil.copy(name, data)
        copied = os.path.join(data, os.path.basename(name))
        shutil.chown(copied, "postgres", "postgres")
        os.chmod(copied, 0o600)
    with open(os.path.join(data, "pg_hba.conf"), "a", encoding="ascii") as f:
        f.write("host all all all trust\nhost replication all all trust\n")
    server = d.server(*as_postgres(f"{binaries}/postgres", "-D", data, "-p", str(port), "-h", "*", "-k", "", "-c",
                                   "fsync=off", "-c", "ssl=on", "-c", "ssl_cert_file=tls.crt", "-c",
                                   "ssl_key_file=tls.key", "-c", "max_connections=150"), port=port, seconds=30)
    common = ["-h", d.ip4, "-p", port, "-U", "me"]
    plain = {"PGSSLMODE": "disable"}

    def psql(query, *more, env=None, **kept):
        asked = ("psql", *common, "-d", "postgres", "-XAtq", *more, "-c", query)
        return d.client(*asked, env=env or plain, **kept).strip()

    def bench(*more, env=None):
        text = d.said(f"{binaries}/pgbench", *common, *more, "postgres", env=env or plain)
        found = re.search(r"tps = ([\d.]+)", text)
        d.expect(found and float(found.group(1)) > 10 and "number of failed transactions: 0" in text, text[-300:])

    with d.check("a query"):
        d.eventually(lambda: psql("SELECT 41 + 1", status=None) == "42", "no answer")
    with d.check("over IPv6"):
        d.expect(d.client("psql", "-h", d.ip6, *common[2:], "-d", "postgres", "-XAtc", "SELECT 7", env=plain) == "7\n",
                 "another answer")
    with d.check("TLS"):
        d.expect(psql("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", env={"PGSSLMODE": "require"}) == "t",
                 "no TLS")
    with d.check("pgbench: tables"):
        d.client(f"{binaries}/pgbench", "-i", "-s", 2, "-q", *common, "postgres", env=plain)
    for name, more in (("1 client", ("-c", 1, "-T", 1)), ("8 clients, 2 threads", ("-c", 8, "-j", 2, "-T", 2)),
                       ("prepared", ("-M", "prepared", "-S", "-c", 8, "-T", 1)),
                       ("extended", ("-M", "extended", "-S", "-c", 8, "-T", 1)),
                       ("a connection each", ("-C", "-S", "-c", 2, "-T", 1)),
                       ("50 clients", ("-S", "-c", 50, "-t", 40))):
        with d.check(f"pgbench: {name}"):
            bench(*more)
    with d.check("pgbench: TLS"):
        bench("-S", "-c", 4, "-T", 1, env={"PGSSLMODE": "require"})
    with d.check("COPY 200,000 rows there and back"):
        rows = d.write("rows", "".join(f"{i}\t{'x' * 50}{i}\n" for i in range(200_000)))
        psql("CREATE TABLE t (i int, x text)")
        psql("COPY t FROM STDIN", stdin=rows)
        d.client("sh", "-c", f"psql -h {d.ip4} -p {port} -U me -d postgres -Xqc 'COPY t TO STDOUT' >{d.path('back')}",
                 env=plain)
        d.same("back", "rows")
    with d.check("a large result, row by row"):
        out = psql("SELECT count(*) FROM t", "-v", "FETCH_COUNT=1000")
        d.expect(out == "200000", out)
    with d.check("a query is cancelled"):
        one = d.start("psql", *common, "-d", "postgres", "-Xc", "SELECT pg_sleep(30)", env=plain)
        d.eventually(lambda: psql("SELECT count(*) FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep'") == "1",
                     "it does not run")
        one.process.send_signal(signal.SIGINT)
        d.eventually(lambda: one.process.poll() is not None, "it goes on")
        d.expect("cancel" in one.errors(), one.errors())
    with d.check("a connection is ended by another"):
        one = d.start("psql", *common, "-d", "postgres", "-Xc", "SELECT pg_sleep(30)", env=plain)
        d.eventually(lambda: psql("SELECT count(*) FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep'") == "1",
                     "it does not run")
        psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep'")
        d.eventually(lambda: one.process.poll() is not None, "it goes on")
    with d.check("LISTEN and NOTIFY"):
        one = d.start("psql", *common, "-d", "postgres", "-X", env=plain, stdin=d.write(
            "listen", "LISTEN c;\nSELECT pg_sleep(1);\nSELECT 1;\n"))
        time.sleep(0.5)
        psql("NOTIFY c, 'hello'")
        d.expect("hello" in one.wait(10), "no notification")
    with d.check("a base backup"):
        d.client(f"{binaries}/pg_basebackup", "-h", d.ip4, "-p", port, "-U", "me", "-D", d.path("backup"), "-X",
                 "stream", "--no-sync", "-c", "fast", env=plain)
        d.expect(os.path.exists(d.path("backup/PG_VERSION")), "nothing there")
    with d.check("a standby follows"):
        standby = d.port()
        for root, folders, files in os.walk(d.path("backup")):
            for name in (*folders, *files):
                shutil.chown(os.path.join(root, name), "postgres", "postgres")
        shutil.chown(d.path("backup"), "postgres", "postgres")
        d.write("backup/standby.signal", "")
        second = d.server(*as_postgres(
            f"{binaries}/postgres", "-D", d.path("backup"), "-p", str(standby), "-h", "*", "-k", "", "-c",
            "max_connections=150", "-c", f"primary_conninfo=host=127.0.0.1 port={port} user=me sslmode=disable"),
            port=standby, seconds=30)
        psql("CREATE TABLE later AS SELECT generate_series(1, 5000) AS i")
        d.eventually(lambda: d.client("psql", "-h", d.ip4, "-p", standby, "-U", "me", "-d", "postgres", "-XAtc",
                                      "SELECT count(*) FROM later", env=plain, status=None).strip() == "5000",
                     "it does not follow", 20)
        second.process.send_signal(signal.SIGINT)
        d.expect(second.process.wait(15) == 0, "another status")
    with d.check("fast stop"):
        server.process.send_signal(signal.SIGINT)
        d.expect(server.process.wait(15) == 0, f"status {server.process.returncode}: {server.errors()}")
