"""memcached with its threads (libevent), and a small driver that checks each value."""
import os

from .harness import case, free_port


@case("memcached", moves=4_000_000)
def threads(c):
    port = free_port()
    user = ["-u", "root"] if os.geteuid() == 0 else []
    server = c.server("memcached", *user, "-l", "127.0.0.1", "-p", port, "-U", "0", "-t", "4", "-m", "64", port=port)
    c.driver("memcached_values.py", port, 1000 if c.quick else 4000)
    before = server.descriptors()
    for _ in range(3):
        c.driver("memcached_values.py", port, 500)
    c.eventually(lambda: server.descriptors() <= before, lambda: f"{server.descriptors()} descriptors, {before} before")
