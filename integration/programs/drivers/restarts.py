"""A client that outlives its servers: each is killed while the client sleeps in recv() or epoll_wait().

usage: restarts.py PORT TIMES (or `serve PORT` for the server, which it starts itself)

The client keeps its thread's and its epoll set's wakers from server to server; every answer comes late enough to sleep.
"""
import select
import signal
import socket
import subprocess
import sys
import time

LATE = 0.03
PATIENCE = 0.7


def serve(port):
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", port))
    server.listen(16)
    poll = select.poll()
    poll.register(server, select.POLLIN)
    clients = {}
    while True:
        for fd, _ in poll.poll():
            if fd == server.fileno():
                client, _ = server.accept()
                clients[client.fileno()] = client
                poll.register(client, select.POLLIN)
                continue
            data = clients[fd].recv(100)
            if data:
                time.sleep(LATE)
                clients[fd].sendall(data)
            else:
                poll.unregister(fd)
                clients.pop(fd).close()


def connect(port):
    end = time.monotonic() + 5
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            assert time.monotonic() < end, "nobody listens"
            time.sleep(0.01)


def ended(s):
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


def once(port, epoll):
    server = subprocess.Popen([sys.executable, __file__, "serve", str(port)])
    slowest = 0.0
    try:
        with connect(port) as blocking, connect(port) as polled:
            polled.setblocking(False)
            epoll.register(polled, select.EPOLLIN)
            for _ in range(3):
                begin = time.monotonic()
                blocking.sendall(b"one")
                assert blocking.recv(10) == b"one"
                polled.sendall(b"two")
                assert epoll.poll(5), "no event"
                assert polled.recv(10) == b"two"
                slowest = max(slowest, time.monotonic() - begin - 2 * LATE)
            server.send_signal(signal.SIGKILL)
            begin = time.monotonic()
            assert ended(blocking)
            assert epoll.poll(5), "no event of the end"
            assert ended(polled)
            slowest = max(slowest, time.monotonic() - begin)
    finally:
        server.kill()
        server.wait()
    return slowest


def main():
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    epoll = select.epoll()
    slowest = max(once(int(sys.argv[1]), epoll) for _ in range(int(sys.argv[2])))
    assert slowest < PATIENCE, f"one took {slowest:.2f} s"
    print(f"slowest {slowest:.3f} s")
    print("ok")


main()
