"""pass_fds.py serve PORT: each connection is echoed by another interpreter that gets it by number."""
import socket
import subprocess
import sys


def serve(port):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(8)
        while True:
            connection, _ = listener.accept()
            with connection:
                fd = connection.fileno()
                subprocess.run([sys.executable, __file__, "echo", str(fd)], pass_fds=[fd], check=True)


def echo(fd):
    with socket.socket(fileno=fd) as s:
        while piece := s.recv(65536):
            s.sendall(piece)


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
else:
    echo(int(sys.argv[2]))
