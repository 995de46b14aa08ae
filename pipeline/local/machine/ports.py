"""Ports for servers on this machine, outside the range of outgoing connections.

The kernel chooses the ports of outgoing connections, and of servers that bind to port 0, from a range of its own: a
free port in that range may be taken before its server listens.
https://docs.kernel.org/networking/ip-sysctl.html (ip_local_port_range)
"""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
# Lower ports are the standard ports of services.
LOWEST, HIGHEST = 10_000, 65_535
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
# The range without that file: https://www.iana.org/assignments/service-names-port-numbers
_DYNAMIC = (49_152, 65_535)
# Nearly all ports are free on any machine; after this many attempts something else is wrong.
_ATTEMPTS = 200


def is_free(port: int) -> bool:
    """Whether a server can listen on this port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(besides: frozenset[int] = frozenset()) -> int:
    """A free port other than `besides`. Raises OSError if none is free."""
    choice = candidates(_outgoing())
    for _ in range(_ATTEMPTS):
        port = secrets.choice(choice)
        if port not in besides and is_free(port):
            return port
    raise OSError(f"no port is free among {len(choice)} on {LOOPBACK}")


def free_ports(count: int, besides: frozenset[int] = frozenset()) -> list[int]:
    """Different free ports other than `besides`."""
    ports: list[int] = []
    while len(ports) < count:
        ports.append(free_port(besides | frozenset(ports)))
    return ports


def candidates(outgoing: tuple[int, int]) -> range:
    """The ports to choose from: those below the range of outgoing connections, or above it, or any."""
    first, last = outgoing
    if first > LOWEST:
        return range(LOWEST, min(first, HIGHEST + 1))
    if last < HIGHEST:
        return range(max(last + 1, LOWEST), HIGHEST + 1)
    return range(LOWEST, HIGHEST + 1)


def _outgoing() -> tuple[int, int]:
    """First and last port of outgoing connections."""
    try:
        first, last = _RANGE.read_text().split()
    except (OSError, ValueError):
        return _DYNAMIC
    return int(first), int(last)
