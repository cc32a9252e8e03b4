"""Remote shells."""
import os
import subprocess
import time

import loads
from drive import MB, PYTHON, program


@program("openssh", "openssh-server", "openssh-client",
         driven="login by key, commands, a terminal, scp and sftp 100 MB, "
         "port forwarding -L -R -D -W, multiplexing, keep-alive, 8 sessions at once")
def openssh(d):
    drive_ssh(d)


@program("openssh, sshd -r", "openssh-server",
         driven="the same with a server that forks and does not execute itself again")
def openssh_forks(d):
    drive_ssh(d, "-r")


def drive_ssh(d, *how):
    port = d.port()
    os.makedirs("/run/sshd", exist_ok=True)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", d.path(name)], check=True)
    with open(d.path("user.pub"), encoding="ascii") as f:
        d.write("keys/authorized", f.read(), 0o600)
    config = d.write("sshd_config", f"""Port {port}
HostKey {d.path("host")}
AuthorizedKeysFile {d.path("keys/authorized")}
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
AllowTcpForwarding yes
GatewayPorts clientspecified
Subsystem sftp internal-sftp
MaxStartups 100
""")
    d.server("/usr/sbin/sshd", "-D", "-e", *how, "-f", config, port=port)
    d.random_file("large", 100 * MB)
    options = ["-F", "/dev/null", "-i", d.path("user"), "-o", "StrictHostKeyChecking=no", "-o",
               "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes"]
    who = f"root@{d.ip4}"

    def ssh(*command, more=(), **kept):
        return d.client("ssh", *options, "-p", port, *more, who, *command, **kept)

    with d.check("a command by key"):
        d.expect(ssh("echo", "hello") == "hello\n", "another output")
    with d.check("its status"):
        ssh("exit 7", status=7)
    with d.check("over IPv6"):
        d.expect(d.client("ssh", *options, "-p", port, f"root@{d.ip6}", "echo hello") == "hello\n", "another output")
    with d.check("100 MB through a pipe, there"):
        ssh(f"cat >{d.path('there')}", stdin=d.path("large"))
        d.same("there", "large")
    with d.check("100 MB through a pipe, back"):
        sum_there = ssh(f"sha256sum <{d.path('large')}").split()[0]
        d.expect(len(sum_there) == 64, sum_there)
        d.client("sh", "-c", f"ssh {' '.join(options)} -p {port} {who} cat {d.path('large')} >{d.path('back')}")
        d.same("back", "large")
    with d.check("scp 100 MB there"):
        d.client("scp", "-q", *options, "-P", port, d.path("large"), f"{who}:{d.path('scp-there')}")
        d.same("scp-there", "large")
    with d.check("scp 100 MB back"):
        d.client("scp", "-q", *options, "-P", port, f"{who}:{d.path('large')}", d.path("scp-back"))
        d.same("scp-back", "large")
    with d.check("scp by the old protocol"):
        d.client("scp", "-O", "-q", *options, "-P", port, d.path("large"), f"{who}:{d.path('scp-old')}")
        d.same("scp-old", "large")
    with d.check("sftp"):
        batch = d.write("batch", f"put {d.path('large')} {d.path('sftp-there')}\nls {d.path('sftp-there')}\nbye\n")
        d.client("sftp", "-q", *options, "-P", port, "-b", batch, who)
        d.same("sftp-there", "large")
    with d.check("a terminal"):
        out = ssh("tty; stty size", more=("-tt",), stdin=d.write("typed", "\n"))
        d.expect("/dev/pts/" in out, out[-200:])
    with d.check("20 logins"):
        for i in range(20):
            d.expect(ssh(f"echo {i}") == f"{i}\n", "another output")
    with d.check("8 sessions at once"):
        several = [d.start("ssh", *options, "-p", port, who, f"head -c 5000000 {d.path('large')} | sha256sum")
                   for _ in range(8)]
        d.expect(len({one.wait(40) for one in several}) == 1, "different sums")

    loads.files(d)
    behind, left, right, socks = (d.port() for _ in range(4))
    d.server(PYTHON, "-m", "http.server", "--directory", d.path("www"), behind, port=behind)
    forward = d.start("ssh", *options, "-N", "-p", port, "-L", f"127.0.0.1:{left}:127.0.0.1:{behind}",
                      "-D", f"127.0.0.1:{socks}", "-R", f"127.0.0.1:{right}:127.0.0.1:{behind}", who)
    with d.check("-L"):
        d.eventually(lambda: f":{left}" in d.from_.sh("ss", "-Hltn"), lambda: "no listener: " + forward.errors())
        loads.get(d, f"http://127.0.0.1:{left}", "10m")
    with d.check("-L: ab, 200 requests"):
        loads.ab(d, f"http://127.0.0.1:{left}/1k", n=200, clients=10)
    with d.check("-D"):
        loads.get(d, f"http://127.0.0.1:{behind}", "10m", "-x", f"socks5h://127.0.0.1:{socks}", "--noproxy", "")
    with d.check("-R"):
        d.eventually(lambda: f":{right}" in d.at.sh("ss", "-Hltn"), lambda: "no listener: " + forward.errors())
    forward.kill()
    with d.check("-W"):
        out = ssh(more=("-W", f"127.0.0.1:{behind}"), stdin=d.write("request", "GET /text.html HTTP/1.0\r\n\r\n"))
        d.expect("200 OK" in out and out.count("some words") == 4000, out[:200])
    with d.check("one connection for many commands (ControlMaster)"):
        path = d.path("control")
        master = d.start("ssh", *options, "-N", "-M", "-S", path, "-p", port, who)
        d.eventually(lambda: os.path.exists(path), "no control socket")
        for i in range(10):
            d.expect(ssh(f"echo {i}", more=("-S", path)) == f"{i}\n", "another output")
        ssh(more=("-S", path, "-O", "exit"), status=None)
        d.eventually(lambda: master.process.poll() is not None, "the master stays")
    with d.check("keep-alive over an idle second"):
        out = ssh("sleep 2.5; echo still", more=("-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2"))
        d.expect(out == "still\n", out)
    with d.check("rekeying every 5 MB"):
        ssh(f"cat >{d.path('rekeyed')}", more=("-o", "RekeyLimit=5M"), stdin=d.path("large"))
        d.same("rekeyed", "large")
