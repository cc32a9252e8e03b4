"""Python's own web server and curl."""
import hashlib
import os

from .harness import PYTHON, case, free_port

MB = 1 << 20


def digest(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def random_file(path, size):
    with open(path, "wb") as f:
        for _ in range(0, size, MB):
            f.write(os.urandom(min(MB, size)))
    return digest(path)


@case("http.server-curl", moves=20 * MB)
def download(c):
    port = free_port()
    os.mkdir(c.path("www"))
    wanted = random_file(c.path("www/large"), (20 if c.quick else 100) * MB)
    c.server(PYTHON, "-m", "http.server", "--bind", "127.0.0.1", "--directory", c.path("www"), port, port=port)
    c.client("curl", "-sSf", "-o", c.path("got"), f"http://127.0.0.1:{port}/large")
    c.expect(digest(c.path("got")) == wanted, "the file that came is another one")
    status = c.client("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{port}/none")
    c.expect(status.strip() == "404", f"status {status} for a file that is not there")


@case("http.server-curl-parallel", moves=8 * MB)
def parallel(c):
    port = free_port()
    os.mkdir(c.path("www"))
    wanted = random_file(c.path("www/part"), MB)
    c.server(PYTHON, "-m", "http.server", "--bind", "127.0.0.1", "--directory", c.path("www"), port, port=port)
    c.client("curl", "-sSf", "--parallel", "--parallel-max", "5", "-o", c.path("got-#1"),
             f"http://127.0.0.1:{port}/part?[1-10]")
    c.expect(all(digest(c.path(f"got-{i}")) == wanted for i in range(1, 11)), "one of ten files is another one")
