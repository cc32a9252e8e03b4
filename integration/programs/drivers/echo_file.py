"""echo_file.py HOST PORT FILE GOT: sends a file, ends its direction, and writes what comes back."""
import socket
import sys
import threading


def send(s, path):
    with open(path, "rb") as f:
        while piece := f.read(65536):
            s.sendall(piece)
    s.shutdown(socket.SHUT_WR)


def main():
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) as s, open(sys.argv[4], "wb") as out:
        sender = threading.Thread(target=send, args=(s, sys.argv[3]))
        sender.start()
        while piece := s.recv(65536):
            out.write(piece)
        sender.join()


main()
