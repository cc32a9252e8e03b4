"""A server that forks workers and replaces those that die. Usage: prefork_server.py PORT CONTROL HOW

HOW is epoll (workers wait in epoll_wait()) or blocking (in accept(), and then in recv() for one client at a time).
daemon is blocking, but the process that listens is gone as soon as it has forked the workers, which nobody replaces.
Each connection is told its worker's pid and then gets back what it sends. A connection to CONTROL, which the master
serves itself, gets a line with the number of workers that died.
"""
import os
import select
import signal
import socket
import sys

WORKERS = 3


def listener(port):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", port))
    s.listen(128)
    return s


def hello(client):
    client.sendall(b"%d\n" % os.getpid())


def serve_blocking(server):
    while True:
        client, _ = server.accept()
        hello(client)
        try:
            while data := client.recv(65536):
                client.sendall(data)
        except OSError:
            pass
        client.close()


def serve_epoll(server):
    server.setblocking(False)
    epoll = select.epoll()
    epoll.register(server, select.EPOLLIN)
    clients = {}
    while True:
        for fd, _ in epoll.poll():
            try:
                if fd == server.fileno():
                    client, _ = server.accept()
                    hello(client)
                    clients[client.fileno()] = client
                    epoll.register(client, select.EPOLLIN)
                elif data := clients[fd].recv(65536):
                    clients[fd].sendall(data)
                else:
                    clients.pop(fd).close()
            except BlockingIOError:
                pass
            except OSError:
                if fd in clients:
                    clients.pop(fd).close()


def worker(server, how):
    if os.fork():
        return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        (serve_epoll if how == "epoll" else serve_blocking)(server)
    finally:
        os._exit(1)


def become_daemon(port):
    if not os.fork():
        server = listener(port)
        for _ in range(WORKERS):
            worker(server, "blocking")
        os._exit(0)
    os.wait()
    signal.pause()


def main():
    port, control_port, how = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    if how == "daemon":
        become_daemon(port)
    control = listener(control_port)
    server = listener(port)
    master = select.epoll()
    master.register(control, select.EPOLLIN)
    for _ in range(WORKERS):
        worker(server, how)
    died = 0
    while True:
        events = master.poll(0.005)
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            died += 1
            worker(server, how)
        for _ in events:
            client, _ = control.accept()
            client.sendall(b"%d\n" % died)
            client.close()


main()
