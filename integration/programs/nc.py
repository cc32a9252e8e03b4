"""OpenBSD's nc: bytes both ways at once, ends seen by both."""
from .harness import case, free_port
from .http import MB, digest, random_file


@case("nc", moves=16 * MB)
def both_ways(c):
    port = free_port()
    up, down = random_file(c.path("up"), 10 * MB), random_file(c.path("down"), 8 * MB)
    server = c.server("nc", "-N", "-l", "127.0.0.1", port, port=port, stdin=c.path("down"), stdout=c.path("up-got"))
    c.client("nc", "-N", "127.0.0.1", port, stdin=c.path("up"), stdout=c.path("down-got"))
    c.expect(server.wait(10) == 0, f"the listening nc: {server.said()}")
    c.expect(digest(c.path("up-got")) == up, "what the client sent came as something else")
    c.expect(digest(c.path("down-got")) == down, "what the server sent came as something else")


@case("nc-refused", moves=0, columns=("kernel", "accel-client"))
def refused(c):
    c.client("nc", "-z", "127.0.0.1", free_port(), status=1)
