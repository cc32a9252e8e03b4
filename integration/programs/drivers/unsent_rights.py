"""A listener goes to the kernel while a message that carries it waits for room, and the message is then not sent."""
import os
import signal
import socket
import sys
import threading
import time

IP_MINTTL = 21  # only the kernel heeds it


class Stopped(Exception):
    pass


def stop(*_):
    raise Stopped


def send_until_stopped(channel, fd):
    try:
        socket.send_fds(channel, [b"x"], [fd])
        return "sent"
    except Stopped:
        return "not sent"


def depart(listener):
    time.sleep(0.2)  # until the message waits
    listener.setsockopt(socket.IPPROTO_IP, IP_MINTTL, 5)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)


with socket.create_server(("127.0.0.1", 0)):
    here, there = socket.socketpair()
    relative = os.fork()  # what is sent to it need not leave the stack
    if relative == 0:
        there.recv(1, socket.MSG_WAITALL | socket.MSG_PEEK)
        time.sleep(60)
        os._exit(0)
    here.setblocking(False)
    try:
        while True:
            here.send(b"x" * 4096)
    except BlockingIOError:
        here.setblocking(True)
    signal.signal(signal.SIGUSR1, stop)
    for _ in range(int(sys.argv[1])):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=depart, args=(listener,))
            thread.start()
            print(send_until_stopped(here, listener.fileno()), flush=True)
            thread.join()
    print("closed", flush=True)
    os.kill(relative, signal.SIGKILL)
    os.waitpid(relative, 0)
    sys.stdin.read()  # looked at from outside until then
