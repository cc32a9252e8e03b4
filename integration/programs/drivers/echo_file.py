"""echo_file.py PORT FILE GOT: sends a file, ends its direction, and writes what comes back."""
import socket
import sys
import threading


def send(s, path):
    with open(path, "rb") as f:
        while piece := f.read(65536):
            s.sendall(piece)
    s.shutdown(socket.SHUT_WR)


def main():
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10) as s, open(sys.argv[3], "wb") as out:
        sender = threading.Thread(target=send, args=(s, sys.argv[2]))
        sender.start()
        while piece := s.recv(65536):
            out.write(piece)
        sender.join()


main()
