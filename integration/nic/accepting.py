"""accepting.py serve PORT CLIENTS | ask ADDRESS PORT COUNT

A listener in an epoll set, and accept() once for every time that it is told ready: there is always a connection. Clients
come by every path at once; a second thread of the server waits in accept() for another port, and moves what comes."""
import select
import socket
import sys
import threading

THREADS = 10


def serve(port, clients):
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=400)
    other = socket.create_server(("::", port + 1), family=socket.AF_INET6, dualstack_ipv6=True)
    threading.Thread(target=other.accept, daemon=True).start()
    listener.setblocking(False)
    ready = select.epoll()
    ready.register(listener, select.EPOLLIN)
    accepted, told, nobody, open_ones = 0, 0, 0, {}
    print("ready", flush=True)
    while accepted < clients or open_ones:
        for fd, _ in ready.poll():
            if fd != listener.fileno():
                one = open_ones[fd]
                data = one.recv(4096)
                if data:
                    one.sendall(data)
                else:
                    del open_ones[fd]
                    one.close()
                continue
            told += 1
            try:
                one, _ = listener.accept()
            except BlockingIOError:
                nobody += 1
                continue
            accepted += 1
            open_ones[one.fileno()] = one
            ready.register(one, select.EPOLLIN)
    print(f"good: {accepted}" if nobody == 0 else f"told {told} times, nobody was there {nobody} times", flush=True)


def ask(address, port, count):
    failed = []

    def some():
        for _ in range(count // THREADS):
            try:
                with socket.create_connection((address, port), timeout=20) as s:
                    s.sendall(b"x" * 2000)
                    left = 2000
                    while left:
                        left -= len(s.recv(4096)) or left
            except OSError as error:
                failed.append(str(error))

    threads = [threading.Thread(target=some) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{len(failed)} failed: {failed[:5]}" if failed else "good")


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]), int(sys.argv[3]))
else:
    ask(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
