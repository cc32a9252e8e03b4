"""Two hosts for the cases' two processes: network namespaces joined by a veth pair (see integration/nic/world.py).

The tested process runs in the one that acceld serves, the other process moves into the second and is always plain.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "nic"))
import world  # noqa: E402

# How long a case lets packets settle; on loopback they arrive inside the sender's call.
SETTLE_US = 3000


class Wire:
    """The hosts, from opening to close()."""

    def __init__(self):
        self._world = world.World()
        try:
            for host in (self._world.a, self._world.b):
                # Refusals are to come however many cases ask for them.
                host.sh("sysctl", "-qw", "net.ipv4.icmp_ratelimit=0")
            self._world.a.accelerate()
        except BaseException:
            self._world.close()
            raise

    @property
    def prefix(self):
        return ["nsenter", f"--net=/run/netns/{self._world.a.namespace}", "--"]

    @property
    def environment(self):
        near, far = self._world.a, self._world.b
        return {"ORACLE_NEAR": near.ip4, "ORACLE_FAR": far.ip4, "ORACLE_NEAR6": near.ip6, "ORACLE_FAR6": far.ip6,
                "ORACLE_THERE": f"/run/netns/{far.namespace}", "ORACLE_SETTLE_US": str(SETTLE_US)}

    def close(self):
        self._world.close()
