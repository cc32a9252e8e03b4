"""listeners.py serve FIRST COUNT | ask ADDRESS FIRST COUNT

Many threads open ports at the same time, a listener and a datagram socket each; every one of them has to answer."""
import selectors
import socket
import subprocess
import sys
import threading

THREADS, HOGS = 8, 6
HOG = "import time\nend = time.monotonic() + 20\nwhile time.monotonic() < end: pass"


def serve(first, count):
    selector, opened = selectors.DefaultSelector(), []

    def open_some(ports):
        for port in ports:
            listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
            datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            datagrams.bind(("0.0.0.0", port))
            datagrams6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            datagrams6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            datagrams6.bind(("::", port))
            opened.extend((listener, datagrams, datagrams6))

    # A machine that is busy: what a thread waits for is there long before it runs again, for others to take.
    busy = [subprocess.Popen([sys.executable, "-c", HOG], env={}) for _ in range(HOGS)]
    several = [threading.Thread(target=open_some, args=(range(first + n, first + count, THREADS),))
               for n in range(THREADS)]
    for thread in several:
        thread.start()
    for thread in several:
        thread.join()
    for one in busy:
        one.kill()
    for one in opened:
        selector.register(one, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            if key.fileobj.type == socket.SOCK_STREAM:
                connection = key.fileobj.accept()[0]
                connection.sendall(b"%d" % connection.getsockname()[1])
                connection.close()
            else:
                data, address = key.fileobj.recvfrom(100)
                key.fileobj.sendto(data, address)


def ask(address, first, count):
    wrong = []
    for port in range(first, first + count):
        try:
            with socket.create_connection((address, port), timeout=3) as s:
                if s.recv(100) != b"%d" % port:
                    wrong.append(f"TCP {port} says something else")
        except OSError as error:
            wrong.append(f"TCP {port}: {error}")
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(3)
            s.connect((address, port))
            try:
                s.send(b"%d" % port)
                if s.recv(100) != b"%d" % port:
                    wrong.append(f"UDP {port} says something else")
            except OSError as error:
                wrong.append(f"UDP {port}: {error}")
    print(f"{len(wrong)} wrong: {wrong[:5]}" if wrong else "good")


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]), int(sys.argv[3]))
else:
    ask(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
