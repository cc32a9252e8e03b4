"""Programs that move files or just bytes."""
import os
import signal
import subprocess
import time

from drive import MB, PYTHON, program


def tree(d, name, files=60):
    for i in range(files):
        d.random_file(f"{name}/{i % 7}/file-{i}", 1000 * i * i)


def same_tree(d, one, other):
    done = subprocess.run(["diff", "-r", d.path(one), d.path(other)], capture_output=True, text=True, check=False)
    d.expect(done.returncode == 0, done.stdout[:200] + done.stderr[:200])


@program("rsync", "rsync",
         driven="daemon: a tree and 100 MB both ways, deltas, compression, bandwidth limit, 4 at once")
def rsync(d):
    port = d.port()
    os.makedirs(d.path("module"))
    tree(d, "tree")
    d.random_file("large", 100 * MB)
    config = d.write("rsyncd.conf", f"""use chroot = no
uid = root
gid = root
pid file = {d.path("rsyncd.pid")}
[m]
path = {d.path("module")}
read only = no
""")
    d.server("rsync", "--daemon", "--no-detach", "--config", config, "--port", port, port=port)
    url = f"rsync://{d.ip4}:{port}/m"
    with d.check("the list of modules"):
        d.expect(d.client("rsync", f"rsync://{d.ip4}:{port}/").split()[:1] == ["m"], "another list")
    with d.check("a tree there"):
        d.client("rsync", "-a", d.path("tree") + "/", f"{url}/tree/")
        same_tree(d, "tree", "module/tree")
    with d.check("a tree back"):
        d.client("rsync", "-a", f"{url}/tree/", d.path("back") + "/")
        same_tree(d, "tree", "back")
    with d.check("over IPv6"):
        d.client("rsync", "-a", f"rsync://[{d.ip6}]:{port}/m/tree/", d.path("back6") + "/")
        same_tree(d, "tree", "back6")
    with d.check("100 MB there"):
        d.client("rsync", d.path("large"), f"{url}/large")
        d.same("module/large", "large")
    with d.check("100 MB back"):
        d.client("rsync", f"{url}/large", d.path("large-back"))
        d.same("large-back", "large")
    with d.check("only what changed"):
        with open(d.path("large"), "r+b") as f:
            f.seek(50 * MB)
            f.write(os.urandom(5000))
        out = d.client("rsync", "--stats", "--no-whole-file", "-I", d.path("large"), f"{url}/large")
        d.same("module/large", "large")
        d.expect("Literal data: 100," not in out, out)
    with d.check("compressed"):
        d.client("rsync", "-az", d.path("tree") + "/", f"{url}/tree-z/")
        same_tree(d, "tree", "module/tree-z")
    with d.check("--bwlimit"):
        d.client("rsync", "--bwlimit=20m", d.path("tree/3/file-59"), f"{url}/slow")
        d.same("module/slow", "tree/3/file-59")
    with d.check("4 at once"):
        for one in [d.start("rsync", "-a", d.path("tree") + "/", f"{url}/tree-{i}/") for i in range(4)]:
            one.wait(40)
        for i in range(4):
            same_tree(d, "tree", f"module/tree-{i}")
    with d.check("--delete"):
        os.remove(d.path("tree/0/file-0"))
        d.client("rsync", "-a", "--delete", d.path("tree") + "/", f"{url}/tree/")
        same_tree(d, "tree", "module/tree")
    with d.check("a module that is not there"):
        d.client("rsync", f"rsync://{d.ip4}:{port}/none/", status=5)


@program("socat", "socat",
         driven="TCP4, TCP6, UDP, OPENSSL, PIPE, EXEC, SYSTEM, PTY, UNIX, fork, half-close, many options")
def socat(d):
    d.random_file("sent", 5 * MB)
    key, chain, pem = d.certificate()

    def swap(name, listen, connect, size="sent", port=None, udp=None):
        """A file to an echo, and back whole."""
        with d.check(name):
            server = d.server("socat", listen, "PIPE" if udp else "EXEC:cat", port=port, udp=udp)
            d.client("sh", "-c", f"socat -t5 - {connect} <{d.path(size)} >{d.path('got')}")
            d.same("got", size)
            server.kill()

    for name, kind, address in (("TCP4", "TCP4", d.ip4), ("TCP6", "TCP6", f"[{d.ip6}]")):
        port = d.port()
        swap(name, f"{kind}-LISTEN:{port},reuseaddr,fork", f"{kind}:{address}:{port}", port=port)
    for name, more in (("nodelay, keepalive", "nodelay,keepalive,keepidle=5,keepintvl=1,keepcnt=3"),
                       ("small buffers", "sndbuf=65536,rcvbuf=65536"),
                       ("linger, nonblock", "linger=1,nonblock"),
                       ("mss, tos", "mss=500,tos=16"),
                       ("quickack, syncnt", "quickack=1,syncnt=4"),
                       ("cork", "cork=1")):
        port = d.port()
        with d.check(f"options: {name}"):
            server = d.server("socat", f"TCP4-LISTEN:{port},reuseaddr,fork,{more.replace('cork=1', 'nodelay')}",
                              "EXEC:cat", port=port)
            d.client("sh", "-c", f"socat -t5 - TCP4:{d.ip4}:{port},{more} <{d.path('sent')} >{d.path('got')}")
            d.same("got", "sent")
            server.kill()
    port = d.port()
    swap("OPENSSL", f"OPENSSL-LISTEN:{port},reuseaddr,fork,cert={pem},verify=0", f"OPENSSL:{d.ip4}:{port},verify=0",
         port=port)
    d.random_file("datagram", 1000)
    for name, kind, address in (("UDP4", "UDP4", d.ip4), ("UDP6", "UDP6", f"[{d.ip6}]")):
        port = d.port()
        swap(f"{name}, a datagram", f"{kind}-LISTEN:{port},reuseaddr", f"{kind}:{address}:{port}", "datagram", udp=port)
        port = d.port()
        swap(f"{name}-RECVFROM, a datagram", f"{kind}-RECVFROM:{port},fork", f"{kind}-SENDTO:{address}:{port}",
             "datagram", udp=port)
    with d.check("SYSTEM, its standard error too"):
        port = d.port()
        d.server("socat", f"TCP-LISTEN:{port},reuseaddr,fork", "SYSTEM:echo out; echo err >&2,stderr", port=port)
        d.expect(set(d.client("socat", "-", f"TCP:{d.ip4}:{port}").split()) == {"out", "err"}, "another output")
    with d.check("a terminal of its own"):
        port = d.port()
        d.server("socat", f"TCP-LISTEN:{port},reuseaddr,fork", "EXEC:tty,pty,setsid,ctty,raw", port=port)
        d.expect("/dev/pts/" in d.client("socat", "-", f"TCP:{d.ip4}:{port}"), "another output")
    with d.check("a chain: UNIX to TCP to TCP"):
        last, middle = d.port(), d.port()
        d.server("socat", f"TCP-LISTEN:{last},reuseaddr,fork", "EXEC:cat", port=last)
        d.server("socat", f"TCP-LISTEN:{middle},reuseaddr,fork", f"TCP:127.0.0.1:{last}", port=middle)
        unix = d.path("unix")
        d.start("socat", f"UNIX-LISTEN:{unix},fork", f"TCP:{d.ip4}:{middle}")
        d.eventually(lambda: os.path.exists(unix), "no socket")
        d.client("sh", "-c", f"socat -t5 - UNIX:{unix} <{d.path('sent')} >{d.path('got')}")
        d.same("got", "sent")
    with d.check("one way only (-u), a file at each end"):
        port = d.port()
        server = d.server("socat", "-u", f"TCP-LISTEN:{port},reuseaddr", f"CREATE:{d.path('stored')}", port=port)
        d.client("socat", "-u", f"FILE:{d.path('sent')}", f"TCP:{d.ip4}:{port}")
        server.wait(10)
        d.same("stored", "sent")
    with d.check("a time-out ends it (-T)"):
        port = d.port()
        server = d.server("socat", "-T", "1", f"TCP-LISTEN:{port},reuseaddr", "PIPE", port=port)
        client = d.start("socat", f"TCP:{d.ip4}:{port}", "EXEC:sleep 5")
        server.wait(5)
        client.kill()
    with d.check("refused, and tried again until somebody listens"):
        port = d.port()
        d.client("socat", "-", f"TCP:{d.ip4}:{port}", status=1)
        client = d.start("socat", "-u", f"TCP:{d.ip4}:{port},retry=50,interval=0.1", f"CREATE:{d.path('late')}")
        time.sleep(0.3)
        d.server("socat", "-u", f"FILE:{d.path('sent')}", f"TCP-LISTEN:{port},reuseaddr")
        client.wait(20)
        d.same("late", "sent")
    with d.check("50 clients at once"):
        port = d.port()
        d.server("socat", "-t20", f"TCP-LISTEN:{port},reuseaddr,fork,backlog=64", "EXEC:cat", port=port)
        several = [d.start("socat", "-t20", "-", f"TCP:{d.ip4}:{port}", stdin=d.path("datagram")) for _ in range(50)]
        for one in several:
            one.process.wait(30)
            with open(one.out, "rb") as got, open(d.path("datagram"), "rb") as sent:
                d.expect(got.read() == sent.read(), f"other bytes; {one.errors()}")


@program("nc", "netcat-openbsd",
         driven="TCP and UDP, both families, -N, -k, -z, -w, -q, a file each way, a proxy by -X")
def nc(d):
    d.random_file("sent", 20 * MB)
    d.random_file("datagram", 900)
    for address, family in ((d.ip4, "-4"), (d.ip6, "-6")):
        with d.check(f"{family}: a file there"):
            port = d.port()
            server = d.server("nc", family, "-l", port, port=port)
            d.client("nc", family, "-N", address, port, stdin=d.path("sent"))
            server.wait(10)
            os.replace(server.out, d.path("got"))
            d.same("got", "sent")
        with d.check(f"{family}: a file back"):
            port = d.port()
            server = d.server("nc", family, "-N", "-l", port, port=port, stdin=d.path("sent"))
            d.client("sh", "-c", f"nc {family} {address} {port} >{d.path('got')} </dev/null")
            d.same("got", "sent")
        with d.check(f"{family}: UDP"):
            port = d.port()
            server = d.server("nc", family, "-u", "-l", port, udp=port)
            d.client("nc", family, "-u", "-q", 0, "-w", 1, address, port, stdin=d.path("datagram"), status=None)
            d.eventually(lambda: os.path.getsize(server.out) == 900, lambda: f"{os.path.getsize(server.out)} bytes")
            server.kill()
    with d.check("-k: one after the other"):
        port = d.port()
        server = d.server("nc", "-k", "-l", port, port=port)
        for _ in range(10):
            d.client("nc", "-N", d.ip4, port, stdin=d.path("datagram"))
        d.eventually(lambda: os.path.getsize(server.out) == 9000, lambda: f"{os.path.getsize(server.out)} bytes")
    with d.check("-z: which ports are open"):
        out = d.said("nc", "-z", "-v", d.ip4, port)
        d.expect("succeeded" in out, out)
        d.client("nc", "-z", "-w", 2, d.ip4, 9, status=1)
    with d.check("-w: a peer that says nothing"):
        quiet = d.port()
        d.server("nc", "-l", quiet, port=quiet)
        started = time.monotonic()
        d.client("nc", "-w", 1, d.ip4, quiet)
        d.expect(time.monotonic() - started < 5, "too late")
    with d.check("ends when its peer is killed"):
        port = d.port()
        server = d.server("nc", "-l", port, port=port)
        client = d.start("nc", d.ip4, port)
        time.sleep(0.5)
        server.kill(signal.SIGKILL)
        d.eventually(lambda: client.process.poll() is not None, "it stays", 5)


@program("vsftpd", "vsftpd", "lftp",
         driven="anonymous and local files, active and passive, mirror with 4 connections, resume, "
         "over IPv6, sendfile; lftp, curl and Python's ftplib as clients")
def vsftpd(d):
    port = d.port()
    tree(d, "ftp/tree", 40)
    d.random_file("ftp/large", 50 * MB)
    os.makedirs("/var/run/vsftpd/empty", exist_ok=True)
    os.makedirs(d.path("ftp/in"), exist_ok=True)
    os.chmod(d.path("ftp/in"), 0o777)
    os.chmod(d.path("ftp"), 0o755)
    config = d.write("vsftpd.conf", f"""listen=NO
listen_ipv6=YES
listen_port={port}
background=NO
anonymous_enable=YES
anon_root={d.path("ftp")}
anon_upload_enable=YES
anon_mkdir_write_enable=YES
anon_umask=022
write_enable=YES
local_enable=NO
connect_from_port_20=NO
ftp_username=daemon
nopriv_user=nobody
pasv_min_port=24000
pasv_max_port=24100
max_clients=0
max_per_ip=0
""")
    d.server("vsftpd", config, port=port)
    url = f"ftp://{d.ip4}:{port}"
    with d.check("a list"):
        d.expect("large" in d.client("curl", "-sSf", f"{url}/"), "not in it")
    for name, more in (("passive", ()), ("PASV rather than EPSV", ("--disable-epsv",)), ("active", ("-P", "-"))):
        with d.check(f"50 MB, {name}"):
            d.client("curl", "-sSf", *more, "-o", d.path("got"), f"{url}/large")
            d.same("got", "ftp/large")
    with d.check("over IPv6"):
        d.client("curl", "-sSfg", "-o", d.path("got"), f"ftp://[{d.ip6}]:{port}/large")
        d.same("got", "ftp/large")
    with d.check("50 MB up"):
        d.client("curl", "-sSf", "-T", d.path("ftp/large"), f"{url}/in/up")
        d.same("ftp/in/up", "ftp/large")
    with d.check("resumed"):
        with open(d.path("ftp/large"), "rb") as whole, open(d.path("got"), "wb") as part:
            part.write(whole.read(10 * MB))
        d.client("curl", "-sSf", "-C", "-", "-o", d.path("got"), f"{url}/large")
        d.same("got", "ftp/large")
    with d.check("lftp: a tree by 4 connections"):
        d.client("lftp", "-c", f"set net:timeout 10; open {url}; mirror --parallel=4 tree {d.path('tree-back')}")
        same_tree(d, "ftp/tree", "tree-back")
    with d.check("lftp: one file in 4 pieces"):
        d.client("lftp", "-c", f"set net:timeout 10; open {url}; pget -n 4 large -o {d.path('pieces')}")
        d.same("pieces", "ftp/large")
    with d.check("ftplib: 30 logins"):
        d.client(PYTHON, "-c", f"""
import ftplib
for i in range(30):
    f = ftplib.FTP()
    f.connect("{d.ip4}", {port}, timeout=10)
    f.login()
    assert "large" in f.nlst()
    f.quit()
""")
    with d.check("an aborted transfer"):
        d.client("curl", "-sS", "-m", "0.3", "--limit-rate", "100k", "-o", "/dev/null", f"{url}/large", status=28)
        d.client("curl", "-sSf", "-o", d.path("got"), f"{url}/large")
        d.same("got", "ftp/large")


@program("git daemon", "git", driven="clone, shallow clone, fetch, push, ls-remote, 5 clones at once, over IPv6")
def git(d):
    port = d.port()
    base = os.path.join(d.path("repositories"))
    made = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    work = d.path("work")
    subprocess.run([*made, "init", "-q", work], check=True)
    tree(d, "work/tree", 30)
    for i in range(20):
        d.write("work/text", f"line {i}\n" * (i + 1))
        subprocess.run([*made, "-C", work, "add", "."], check=True)
        subprocess.run([*made, "-C", work, "commit", "-q", "-m", f"commit {i}"], check=True)
    subprocess.run([*made, "clone", "-q", "--bare", work, f"{base}/r.git"], check=True)
    head = subprocess.run(["git", "-C", work, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
    d.server("git", "daemon", "--reuseaddr", f"--base-path={base}", "--export-all", "--enable=receive-pack",
             f"--port={port}", base, port=port, env={"HOME": d.world.folder})
    url = f"git://{d.ip4}:{port}/r.git"
    home = {"HOME": d.world.folder}
    with d.check("ls-remote"):
        d.expect(head.strip() in d.client("git", "ls-remote", url, env=home), "another head")
    with d.check("clone"):
        d.client("git", "clone", "-q", url, d.path("clone"), env=home)
        d.client("git", "-C", d.path("clone"), "fsck", "--full", env=home)
        same_tree(d, "work/tree", "clone/tree")
    with d.check("clone over IPv6"):
        d.client("git", "clone", "-q", f"git://[{d.ip6}]:{port}/r.git", d.path("clone6"), env=home)
        same_tree(d, "work/tree", "clone6/tree")
    with d.check("shallow clone"):
        d.client("git", "clone", "-q", "--depth", 1, url, d.path("shallow"), env=home)
        same_tree(d, "work/tree", "shallow/tree")
    with d.check("push"):
        d.write("clone/new", "new\n")
        for command in (["add", "."], ["commit", "-q", "-m", "new"]):
            subprocess.run([*made, "-C", d.path("clone"), *command], check=True)
        d.client("git", "-C", d.path("clone"), "push", "-q", "origin", "HEAD", env=home)
    with d.check("fetch what was pushed"):
        d.client("git", "-C", d.path("clone6"), "pull", "-q", env=home)
        d.same("clone6/new", "clone/new")
    with d.check("5 clones at once"):
        for one in [d.start("git", "clone", "-q", url, d.path(f"clone-{i}"), env=home) for i in range(5)]:
            one.wait(40)
        for i in range(5):
            same_tree(d, "work/tree", f"clone-{i}/tree")
    with d.check("a repository that is not there"):
        d.client("git", "ls-remote", f"git://{d.ip4}:{port}/none", env=home, status=128)
